"""ScalarDB's stored procedure ``mutate.js``, in Python: the one program that the double's containers can run.

It takes a number of mutations of one partition, then their kinds, their records and their queries, and does all of them or none: a query says
which records are there and fit; a put is merged into the one that is found. Columns that are null are left out.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.stack.azure_arm_routes import Request
from tests.stack.azure_arm_world import answer
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_entry import refused
from tests.stack.cosmosdb_feeds import item_headers, understood
from tests.stack.cosmosdb_model import Container, Document

NAME = "mutate.js"
PUT, PUT_IF_NOT_EXISTS, PUT_IF, DELETE_IF = range(4)


def run(request: Request, container: Container, name: str, at: float) -> Answer:
    """In the partition that a header names, as of now."""
    if name != NAME:
        raise refused(501, "NotImplemented", f"The double of Azure Cosmos DB runs {NAME} only")
    arguments = json.loads(request.body)
    count, key = int(arguments[0]), json.loads(request.header("x-ms-documentdb-partitionkey"))
    mutations = [arguments[first : first + count] for first in range(1, 1 + 3 * count, count)]
    written = [_one(container, key, at, *each) for each in zip(*mutations, strict=True)]
    for documents, taken in written:
        for document in documents:
            if taken:
                container.take(key, document["id"], at)
            else:
                container.put(key, document, at)
    return answer(200, "", item_headers(container))


def _one(container: Container, key: list[Any], at: float, kind: int, record: Document, query: str) -> tuple[list[Document], bool]:
    """What is to be written, or taken away."""
    fits = understood(query, []).test
    found = [document for _, document in container.living(at) if container.key_of(document) == key and fits(document)]
    if kind == DELETE_IF and found:
        return found, True
    if not found and kind in (PUT, PUT_IF_NOT_EXISTS):
        return [_merged({}, record)], False
    if len(found) == 1 and kind in (PUT, PUT_IF):
        return [_merged(copy.deepcopy(found[0]), record)], False
    raise refused(400, "BadRequest", '{"Errors":["Encountered exception while executing Javascript. Exception = no mutation"]}', 412)


def _merged(source: Document, update: Document) -> Document:
    for name, value in update.items():
        if value is None:
            source.pop(name, None)
        elif isinstance(value, dict):
            source[name] = _merged(source.get(name) or {}, value)
        else:
            source[name] = value
    return source

"""Single items through the data plane."""

from __future__ import annotations

import json
from typing import Any

from tests.stack.azure_arm_routes import Request
from tests.stack.azure_arm_world import answer
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_entry import refused
from tests.stack.cosmosdb_feeds import item_headers
from tests.stack.cosmosdb_model import Container, Document
from tests.stack.cosmosdb_state import Cosmos

MISMATCH = "PartitionKey extracted from document doesn't match the one specified in the header"


class Items:
    def __init__(self, cosmos: Cosmos) -> None:
        self.cosmos = cosmos

    def read(self, request: Request, container: Container, name: str) -> Answer:
        return self._shown(200, container, self._there(request, container, name))

    def create(self, request: Request, container: Container) -> Answer:
        document, key = self._sent(request, container)
        if container.get(key, document["id"], self.cosmos.now):
            raise refused(409, "Conflict", "Entity with the specified id already exists in the system.")
        return self._shown(201, container, container.put(key, document, self.cosmos.now))

    def upsert(self, request: Request, container: Container) -> Answer:
        document, key = self._sent(request, container)
        there = container.get(key, document["id"], self.cosmos.now)
        if there:
            self._require_match(request, there)
        return self._shown(200 if there else 201, container, container.put(key, document, self.cosmos.now))

    def replace(self, request: Request, container: Container, name: str) -> Answer:
        there = self._there(request, container, name)
        document, key = self._sent(request, container)
        if document["id"] != name:
            raise refused(400, "BadRequest", "The id of an item cannot be changed")
        self._require_match(request, there)
        return self._shown(200, container, container.put(key, document, self.cosmos.now))

    def delete(self, request: Request, container: Container, name: str) -> Answer:
        there = self._there(request, container, name)
        self._require_match(request, there)
        container.take(container.key_of(there), name, self.cosmos.now)
        return answer(204, None, item_headers(container))

    def _sent(self, request: Request, container: Container) -> tuple[Document, list[Any]]:
        document = request.json
        if not isinstance(document.get("id"), str) or not document["id"]:
            raise refused(400, "BadRequest", "The input content is invalid because the required properties - 'id; ' - are missing")
        key = container.key_of(document)
        if (sent := self._key(request)) is not None and sent != key:
            raise refused(400, "BadRequest", MISMATCH, 1001)
        return document, key

    @staticmethod
    def _key(request: Request) -> list[Any] | None:
        sent = request.header("x-ms-documentdb-partitionkey")
        return json.loads(sent) if sent else None

    def _there(self, request: Request, container: Container, name: str) -> Document:
        key = self._key(request)
        if key is None:
            raise refused(400, "BadRequest", "PartitionKey value must be supplied for this operation.")
        found = container.get(key, name, self.cosmos.now)
        if not found:
            raise refused(404, "NotFound", 'Message: {"Errors":["Resource Not Found. Learn more: https://aka.ms/cosmosdb-tsg-not-found"]}')
        return found

    @staticmethod
    def _require_match(request: Request, there: Document) -> None:
        wanted = request.header("If-Match")
        if wanted not in ("", "*", there["_etag"]):
            raise refused(412, "PreconditionFailed", "Operation cannot be performed because one of the specified precondition is not met.")

    @staticmethod
    def _shown(status: int, container: Container, document: Document) -> Answer:
        return answer(status, document, item_headers(container) | {"etag": document["_etag"]})

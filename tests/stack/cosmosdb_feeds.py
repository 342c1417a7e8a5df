"""Pages of items and of query results: by partition key, by physical partition, by a part of one, or across all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.stack.azure_arm_routes import Request
from tests.stack.azure_arm_world import answer
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_entry import refused
from tests.stack.cosmosdb_model import Container, Range
from tests.stack.cosmosdb_sql import MISSING, Query, UnsupportedError, parse
from tests.stack.cosmosdb_state import Cosmos

ALL = "Select * from root r"
#: under which clients are told to ask for a plan, and to add up themselves
CROSS_PARTITION = 1004


@dataclass
class Scope:
    """Which items a request is about; ``ranges`` are gone through one after the other."""

    key: str | None
    ranges: list[Range]
    first: str = ""
    last: str = "FF"

    def has(self, key: str, place: Range, effective: str) -> bool:
        return (self.key is None or key == self.key) and place.has(effective) and self.first <= effective < self.last


class Feeds:
    def __init__(self, cosmos: Cosmos) -> None:
        self.cosmos = cosmos

    def items(self, request: Request, container: Container) -> Answer:
        return self._page(request, container, parse(ALL, []), self._scope(request, container))

    def query(self, request: Request, container: Container) -> Answer:
        body = request.json
        query = understood(str(body.get("query", "")), body.get("parameters") or [])
        scope = self._scope(request, container)
        whole = scope.key is None and not request.header("x-ms-documentdb-partitionkeyrangeid")
        if whole and request.header("x-ms-documentdb-query-enablecrosspartition").lower() != "true":
            header = "x-ms-documentdb-query-enablecrosspartition"
            raise refused(400, "BadRequest", f"Cross partition query is required but disabled. Please set {header} to true.")
        if whole and query.count and not query.partial:
            raise refused(
                400, "BadRequest", "The provided cross partition query can not be directly served by the gateway.", CROSS_PARTITION
            )
        return self._page(request, container, query, scope)

    def plan(self, request: Request, _: Container) -> Answer:
        """For clients that add up by themselves."""
        body = request.json
        query = understood(str(body.get("query", "")), body.get("parameters") or [])
        rewritten = (
            query.text.replace(query.text[: query.text.upper().index("FROM")], 'SELECT VALUE [{"item": COUNT(1)}] ') if query.count else ""
        )
        info = {
            "distinctType": "None",
            "aggregates": ["Count"] if query.count else [],
            "rewrittenQuery": rewritten,
            "hasSelectValue": query.count,
        }
        info |= {
            "top": None,
            "offset": None,
            "limit": None,
            "orderBy": [],
            "orderByExpressions": [],
            "groupByExpressions": [],
            "groupByAliases": [],
        }
        everywhere = [{"min": "", "max": "FF", "isMinInclusive": True, "isMaxInclusive": False}]
        return answer(200, {"partitionedQueryExecutionInfoVersion": 2, "queryInfo": info, "queryRanges": everywhere})

    def _scope(self, request: Request, container: Container) -> Scope:
        key = request.header("x-ms-documentdb-partitionkey")
        wanted = request.header("x-ms-documentdb-partitionkeyrangeid")
        ranges = [each for each in container.ranges if wanted in ("", each.id)]
        if not ranges:
            raise refused(410, "Gone", "The requested partition key range is not there any more.", 1002)
        first, last = request.header("x-ms-start-epk"), request.header("x-ms-end-epk") or "FF"
        return Scope(json.dumps(json.loads(key)) if key else None, ranges, first, last)

    def _page(self, request: Request, container: Container, query: Query, scope: Scope) -> Answer:
        if query.count:
            found = [found for found, _, _ in self._matching(container, query, scope)]
            results: list[Any] = [[{"item": len(found)}]] if query.partial else [len(found)]
            return self._answer(container, results, "")
        size = int(request.header("x-ms-max-item-count") or -1)
        size = min(size, self.cosmos.settings.page) if size > 0 else self.cosmos.settings.page
        matching = self._after(self._matching(container, query, scope), request.header("x-ms-continuation"))
        page, rest = matching[:size], matching[size:]
        projected = [query.project(document) for document, _, _ in page]
        token = json.dumps({"range": page[-1][1], "after": page[-1][2]}) if rest else ""
        return self._answer(container, [each for each in projected if each is not MISSING], token)

    def _matching(self, container: Container, query: Query, scope: Scope) -> list[tuple[dict[str, Any], str, int]]:
        """With the physical partition and the place in it."""
        living = [(item, document, json.dumps(container.key_of(document))) for item, document in container.living(self.cosmos.now)]
        return [
            (document, place.id, item.place)
            for place in scope.ranges
            for item, document, key in living
            if scope.has(key, place, item.effective_key) and query.test(document)
        ]

    @staticmethod
    def _after(matching: list[tuple[dict[str, Any], str, int]], token: str) -> list[tuple[dict[str, Any], str, int]]:
        if not token:
            return matching
        try:
            begun = json.loads(token)
            last = (int(begun["range"]), int(begun["after"]))
        except (ValueError, KeyError, TypeError):
            raise refused(400, "BadRequest", "Invalid Continuation Token") from None
        return [each for each in matching if (int(each[1]), each[2]) > last]

    def _answer(self, container: Container, results: list[Any], token: str) -> Answer:
        body = {"_rid": container.rid, "Documents": results, "_count": len(results)}
        return answer(
            200, body, item_headers(container) | {"x-ms-item-count": str(len(results)), **({"x-ms-continuation": token} if token else {})}
        )


def understood(text: str, parameters: list[dict[str, Any]]) -> Query:
    try:
        return parse(text, parameters)
    except UnsupportedError as unknown:
        raise refused(501, "NotImplemented", f"The double of Azure Cosmos DB does not know this query: {unknown}") from None


def item_headers(container: Container) -> dict[str, str]:
    """Charge and session token of an answer."""
    return {"x-ms-request-charge": "1", "x-ms-session-token": f"0:-1#{container.writes}", "lsn": str(container.writes)}

"""The little of Cosmos DB's SQL that is needed here; anything else is refused loudly.

``SELECT *``, ``SELECT c.a, c.b["c"]``, ``SELECT VALUE c.a``, ``SELECT VALUE COUNT(1)``, ``FROM c`` or ``FROM root c``, and ``WHERE`` comparisons
of paths with parameters or literals, joined by ``AND``.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_QUERY = re.compile(r"\s*SELECT\s+(?P<select>.+?)\s+FROM\s+(?P<source>\w+)(?:\s+(?:AS\s+)?(?P<alias>(?!WHERE\b)\w+))?(?:\s+WHERE\s+(?P<where>.+?))?\s*;?\s*",
                    re.IGNORECASE | re.DOTALL)  # fmt: skip
_COUNT = re.compile(r"VALUE\s+COUNT\(\s*1\s*\)", re.IGNORECASE)
_PARTIAL = re.compile(r'VALUE\s+\[\{"item":\s*COUNT\(\s*1\s*\)\}\]', re.IGNORECASE)
_VALUE = re.compile(r"VALUE\s+(.+)", re.IGNORECASE | re.DOTALL)
_COMPARISON = re.compile(r"(\S+?)\s*(=|!=|<=|>=|<|>)\s*(@\w+|\"[^\"]*\"|'[^']*'|-?\d+(?:\.\d+)?|true|false|null)", re.IGNORECASE)
_PATH = re.compile(r"\w+((?:\.\w+|\[\"[^\"]+\"\])*)")
_PART = re.compile(r"\.(\w+)|\[\"([^\"]+)\"\]")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
MISSING = object()


class UnsupportedError(Exception):
    """A query that the double does not know."""


@dataclass
class Query:
    """``count``: nothing but how many; ``partial``: that of one partition, for a client that adds them up."""

    test: Callable[[Any], bool]
    project: Callable[[Any], Any]
    count: bool = False
    partial: bool = False
    text: str = ""


def parse(text: str, parameters: list[dict[str, Any]]) -> Query:
    match = _QUERY.fullmatch(text)
    if not match:
        raise UnsupportedError(text)
    alias = match["alias"] or match["source"]
    tests = _tests(match["where"], alias, {each["name"]: each["value"] for each in parameters}, text)
    select = match["select"].strip()
    counts = bool(_COUNT.fullmatch(select)), bool(_PARTIAL.fullmatch(select))
    project = (lambda document: document) if select == "*" or any(counts) else _projection(select, alias, text)
    return Query(lambda document: all(test(document) for test in tests), project, counts[0] or counts[1], counts[1], text)


def _tests(where: str | None, alias: str, values: dict[str, Any], text: str) -> list[Callable[[Any], bool]]:
    return [_test(part.strip(), alias, values, text) for part in re.split(r"\s+AND\s+", where, flags=re.IGNORECASE)] if where else []


def _test(part: str, alias: str, values: dict[str, Any], text: str) -> Callable[[Any], bool]:
    match = _COMPARISON.fullmatch(part)
    if not match:
        raise UnsupportedError(f"{part} of {text}")
    read, compare, named = _path(match[1], alias, text), _OPERATORS[match[2]], match[3]
    if named.startswith("@"):
        if named not in values:
            raise UnsupportedError(f"{named} has no value in {text}")
        value = values[named]
    else:
        value = named[1:-1] if named[0] in "'\"" else json.loads(named.lower())

    def test(document: Any) -> bool:
        found = read(document)
        return found is not MISSING and type(found) in _comparable(value) and compare(found, value)

    return test


def _comparable(value: Any) -> tuple[type, ...]:
    """Values of other types are never equal, nor less, nor more."""
    return (int, float) if type(value) in (int, float) else (type(value),)


def _projection(select: str, alias: str, text: str) -> Callable[[Any], Any]:
    if value := _VALUE.fullmatch(select):
        return _path(value[1].strip(), alias, text)
    paths = [part.strip() for part in select.split(",")]
    readers = {_PART.findall(path)[-1][0] or _PART.findall(path)[-1][1]: _path(path, alias, text) for path in paths if _PART.findall(path)}
    if len(readers) != len(paths):
        raise UnsupportedError(text)
    return lambda document: {name: found for name, read in readers.items() if (found := read(document)) is not MISSING}


def _path(path: str, alias: str, text: str) -> Callable[[Any], Any]:
    if not _PATH.fullmatch(path) or re.split(r"[.\[]", path)[0] != alias:
        raise UnsupportedError(f"{path} of {text}")
    parts = [first or second for first, second in _PART.findall(path)]

    def read(document: Any) -> Any:
        for part in parts:
            if not isinstance(document, dict) or part not in document:
                return MISSING
            document = document[part]
        return document

    return read

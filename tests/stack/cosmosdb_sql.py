"""The little of Cosmos DB's SQL that is needed here; anything else is refused loudly.

``SELECT *``, ``SELECT c.a, c.b["c"], {"d": c.e} AS f``, ``SELECT VALUE c.a``, ``SELECT VALUE COUNT(1)``; ``FROM c`` or ``FROM root c``; and ``WHERE`` comparisons of
paths with parameters or literals, ``IN``, ``LIKE`` and ``IS_DEFINED``, joined by ``AND`` and ``OR``.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_FROM = re.compile(
    r"\s*SELECT\s+(?P<select>.+?)\s+FROM\s+(?P<source>\w+)(?:\s+(?:AS\s+)?(?P<alias>(?!WHERE\b)\w+))?(?:\s+WHERE\s+(?P<where>.+?))?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_COUNT = re.compile(r"VALUE\s+COUNT\(\s*1\s*\)", re.IGNORECASE)
_PARTIAL = re.compile(r'VALUE\s+\[\{"item":\s*COUNT\(\s*1\s*\)\}\]', re.IGNORECASE)
_VALUE = re.compile(r"VALUE\s+(.+)", re.IGNORECASE | re.DOTALL)
_PATH = r'\w+(?:\.\w+|\["(?:[^"\\]|\\.)+"\])+'
_TOKEN = re.compile(rf"""\s*(?P<token>{_PATH}|@\w+|"[^"]*"|'[^']*'|-?\d+(?:\.\d+)?|!=|<=|>=|[=<>(),]|\w+)\s*""")
_AS = re.compile(r"(.+)\s+AS\s+(\w+)", re.IGNORECASE | re.DOTALL)
_MEMBER = re.compile(r'\s*("(?:[^"\\]|\\.)+")\s*:(.+)', re.DOTALL)
_PART = re.compile(r'\.(\w+)|\[("(?:[^"\\]|\\.)+")\]')
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
MISSING = object()
Test = Callable[[Any], bool]


class UnsupportedError(Exception):
    """A query that the double does not know."""


@dataclass
class Query:
    """``count``: nothing but how many; ``partial``: that of one partition, for a client that adds them up."""

    test: Test
    project: Callable[[Any], Any]
    text: str
    count: bool = False
    partial: bool = False


def parse(text: str, parameters: list[dict[str, Any]]) -> Query:
    match = _FROM.fullmatch(text)
    if not match:
        raise UnsupportedError(text)
    alias = match["alias"] or match["source"]
    test = _Condition(match["where"], alias, {each["name"]: each["value"] for each in parameters}).parse() if match["where"] else _always
    select = match["select"].strip()
    total, partial = bool(_COUNT.fullmatch(select)), bool(_PARTIAL.fullmatch(select))
    project = _whole if select == "*" or total or partial else _projection(select, alias)
    return Query(test, project, text, total or partial, partial)


def _always(_: Any) -> bool:
    return True


def _whole(document: Any) -> Any:
    return document


class _Condition:
    """What stands behind ``WHERE``, token by token."""

    def __init__(self, text: str, alias: str, values: dict[str, Any]) -> None:
        self._text, self._alias, self._values = text, alias, values
        self._tokens = [match["token"] for match in _TOKEN.finditer(text)]
        if "".join("".join(self._tokens).split()) != "".join(text.split()):
            raise UnsupportedError(text)

    def parse(self) -> Test:
        test = self._any()
        if self._tokens:
            raise UnsupportedError(self._text)
        return test

    def _next(self, *wanted: str) -> str:
        if not self._tokens or (wanted and self._tokens[0].upper() not in wanted):
            raise UnsupportedError(self._text)
        return self._tokens.pop(0)

    def _comes(self, word: str) -> bool:
        if self._tokens and self._tokens[0].upper() == word:
            self._tokens.pop(0)
            return True
        return False

    def _any(self) -> Test:
        tests = [self._all()]
        while self._comes("OR"):
            tests.append(self._all())
        return lambda document: any(test(document) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._comes("AND"):
            tests.append(self._one())
        return lambda document: all(test(document) for test in tests)

    def _one(self) -> Test:
        if self._comes("("):
            test = self._any()
            self._next(")")
            return test
        if self._comes("IS_DEFINED"):
            self._next("(")
            read = _path(self._next(), self._alias)
            self._next(")")
            wanted = self._value() if self._comes("=") else True
            return lambda document: (read(document) is not MISSING) == wanted
        read = _path(self._next(), self._alias)
        if self._comes("IN"):
            values = self._values_in()
            return lambda document: any(_holds(operator.eq, read(document), value) for value in values)
        if self._comes("LIKE"):
            pattern = re.compile(re.escape(str(self._value())).replace("%", ".*").replace("_", "."), re.DOTALL)
            return lambda document: bool(pattern.fullmatch(str(read(document))))
        compare, value = _OPERATORS[self._next(*_OPERATORS)], self._value()
        return lambda document: _holds(compare, read(document), value)

    def _values_in(self) -> list[Any]:
        self._next("(")
        values = [self._value()]
        while self._comes(","):
            values.append(self._value())
        self._next(")")
        return values

    def _value(self) -> Any:
        named = self._next()
        if named.startswith("@") and named in self._values:
            return self._values[named]
        if named[0] in "'\"":
            return named[1:-1]
        try:
            return json.loads(named.lower())
        except ValueError:
            raise UnsupportedError(f"{named} of {self._text}") from None


def _holds(compare: Callable[[Any, Any], bool], found: Any, value: Any) -> bool:
    """Values of other types are never equal, nor less, nor more."""
    kinds = (int, float) if type(value) in (int, float) else (type(value),)
    return found is not MISSING and type(found) in kinds and compare(found, value)


def _projection(select: str, alias: str) -> Callable[[Any], Any]:
    if value := _VALUE.fullmatch(select):
        return _path(value[1].strip(), alias)
    return _object([_named(part) for part in _apart(select)], alias)


def _object(members: list[tuple[str, str]], alias: str) -> Callable[[Any], Any]:
    """Of names and what they stand for; what is not there is left out."""
    readers = {name: _object(_members(of), alias) if of.startswith("{") else _path(of, alias) for name, of in members}
    return lambda document: {name: found for name, read in readers.items() if (found := read(document)) is not MISSING}


def _named(part: str) -> tuple[str, str]:
    named = _AS.fullmatch(part)
    return (named[2], named[1].strip()) if named else (_parts(part)[-1], part)


def _members(text: str) -> list[tuple[str, str]]:
    """Of ``{"name": path, …}``."""
    matches = [_MEMBER.fullmatch(part) for part in _apart(text[1:-1])]
    if not text.endswith("}") or not all(matches):
        raise UnsupportedError(text)
    return [(json.loads(match[1]), match[2].strip()) for match in matches if match]


def _apart(text: str) -> list[str]:
    """At the commas that are in no braces."""
    parts, depth = [""], 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _parts(path: str) -> list[str]:
    if not re.fullmatch(_PATH, path):
        raise UnsupportedError(path)
    return [first or json.loads(second) for first, second in _PART.findall(path)]


def _path(path: str, alias: str) -> Callable[[Any], Any]:
    parts = _parts(path)
    if re.split(r"[.\[]", path)[0] != alias:
        raise UnsupportedError(path)

    def read(document: Any) -> Any:
        for part in parts:
            if not isinstance(document, dict) or part not in document:
                return MISSING
            document = document[part]
        return document

    return read

"""From pydantic's errors to sentences that name the line, the key and what is allowed there."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from midtime.model.topology.base import shown
from midtime.model.topology.document import Document, Key, Problem
from midtime.model.topology.model import Topology

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping (`key: value`)",
    "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)",
}


def explain(document: Document, error: ValidationError) -> list[Problem]:
    """Turn every error into a problem, in the order of the file."""
    details = [detail for detail in error.errors(include_url=False) if not _consequence(detail)]
    problems = [problem for detail in details for problem in _explain(document, detail)]
    return sorted(dict.fromkeys(problems), key=lambda problem: problem.line)


def _consequence(detail: ErrorDetails) -> bool:
    """Pydantic calls a list too short when all of its items are wrong; only the items are worth a word."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _explain(document: Document, detail: ErrorDetails) -> list[Problem]:
    key: Key = detail["loc"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    if detail["type"] == "rules":
        return [document.problem(rule.key, rule.reason) for rule in context["problems"]]
    if detail["type"] == "rule":
        return [document.problem((*key, *context["key"]), context["reason"])]
    return [document.problem(_shown_key(key), _message(detail, key, context))]


def _shown_key(key: Key) -> Key:
    """Drop pydantic's mark of a wrong key of a mapping, which is no step of the file."""
    return key[:-1] if key and key[-1] == "[key]" else key


def _message(detail: ErrorDetails, key: Key, context: Mapping[str, Any]) -> str:
    kind = detail["type"]
    if kind == "missing":
        return f"is missing. {_description(key)}"
    if kind == "extra_forbidden":
        return _unknown_key(key)
    if kind == "literal_error":
        return f'"{shown(detail["input"])}" is not allowed; allowed: {_choices(key)}'
    if kind == "union_tag_invalid":
        return _unknown_engine(str(context["tag"]))
    if kind == "union_tag_not_found":
        return f"needs `engine`; allowed: {', '.join(engines())}"
    if kind == "invalid_key":
        return "a key must be text: put it in quotes"
    if kind in _WANTED:
        return _wrong_type(_WANTED[kind], detail["input"])
    return _limits(kind, context) or detail["msg"]


def _limits(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "greater_than_equal":
        return f"must be {context['ge']} or more"
    if kind == "less_than_equal":
        return f"must be {context['le']} or less"
    return "must not be empty" if kind in ("too_short", "string_too_short") else ""


def _wrong_type(wanted: str, found: object) -> str:
    if found is None:
        return f"has no value; it must be {wanted}, or be left out if it has a default"
    if isinstance(found, dict | list):
        return f"must be {wanted}, not {'a mapping' if isinstance(found, dict) else 'a list'}"
    what = f"{str(found).lower()} (YAML reads yes, no, on and off so)" if isinstance(found, bool) else f'"{shown(found)}"'
    return f"must be {wanted}, not {what}{': put it in quotes' if wanted == 'text' else ''}"


def _unknown_key(key: Key) -> str:
    section = section_at(key[:-1])
    allowed = list(section.model_fields) if section else []
    near = difflib.get_close_matches(str(key[-1]), allowed, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else "."
    return f"unknown key{hint} Allowed here: {', '.join(allowed)}"


def _unknown_engine(engine: str) -> str:
    near = difflib.get_close_matches(engine, engines(), n=1)
    hint = f'; did you mean "{near[0]}"?' if near else "."
    if amazons := next((each for each in ("rds", "aurora") if engine.startswith(each)), None):
        hint = f'; did you mean "{amazons}", with its `dialect`?'
    return f'engine "{shown(engine)}" is not known{hint} Allowed: {", ".join(engines())}'


def engines() -> list[str]:
    """Return the names of all engines."""
    return [get_args(model.model_fields["engine"].annotation)[0] for model in _models(Topology.model_fields["stores"].annotation)]


def _description(key: Key) -> str:
    section = section_at(key[:-1])
    field = section.model_fields.get(str(key[-1])) if section else None
    return field.description or "" if field else ""


def _choices(key: Key) -> str:
    section = section_at(key[:-1])
    field = section.model_fields.get(str(key[-1])) if section else None
    return ", ".join(_literals(field.annotation)) if field else ""


def _literals(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(value) for value in get_args(annotation)]
    return [value for part in get_args(annotation) for value in _literals(part)]


def section_at(key: Key) -> type[BaseModel] | None:
    """Find the section that a path of pydantic leads to; a step that is an engine's name chooses among the stores."""
    found: list[type[BaseModel]] = [Topology]
    free = False
    for step in key:
        if isinstance(step, int) or free:  # an index, or a key that the user chose: the name of a store in `drill.targets`
            free = False
            continue
        if len(found) > 1 and step in engines():
            found = [model for model in found if step in _literals(model.model_fields["engine"].annotation)]
        elif len(found) == 1 and step in found[0].model_fields:
            annotation = found[0].model_fields[step].annotation
            found, free = _models(annotation), get_origin(annotation) is dict
    return found[0] if len(found) == 1 else None


def _models(annotation: Any) -> list[type[BaseModel]]:
    """List the sections that an annotation allows, through lists, mappings, options and unions."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    if get_origin(annotation) in (Annotated, Union, types.UnionType, tuple, dict):
        parts = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
        return [model for part in parts if not isinstance(part, TypeVar) for model in _models(part)]
    return []

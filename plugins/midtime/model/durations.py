"""Lengths of time as people write them in a topology: ``500ms``, ``10s``, ``2m``, ``1h``, ``3d``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

DURATION_PATTERN = r"^[0-9]{1,17}(ms|s|m|h|d)$"
_DURATION = re.compile(DURATION_PATTERN)
_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}


def parse_duration(text: str) -> timedelta:
    """Read one number and its unit; there is no default unit, because ``deadline: 30`` must not be guessed at."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text[:40]}" is not a duration: write a whole number and a unit (ms, s, m, h, d), such as 500ms or 10s')
    unit = match.group(1)
    try:
        return int(text.strip().removesuffix(unit)) * _UNITS[unit]
    except OverflowError:
        raise ValueError(f'"{text}" is longer than any duration can be') from None


def format_duration(value: timedelta) -> str:
    """Write a duration with the largest unit that loses nothing; microseconds are below what a topology can say."""
    if value < timedelta(0) or value % _UNITS["ms"]:
        raise ValueError(f"{value!r} cannot be written as a duration of a topology")
    unit, size = next((unit, size) for unit, size in _UNITS.items() if not value % size and (value or unit == "s"))
    return f"{value // size}{unit}"


def _from_file(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    try:
        return parse_duration(value if isinstance(value, str) else str(value))
    except ValueError as error:
        raise PydanticCustomError("duration", "{reason}", {"reason": str(error)}) from None


def _positive(value: object) -> timedelta:
    length = _from_file(value)
    if not length:
        raise PydanticCustomError("duration", "must be longer than nothing")
    return length


_AS_TEXT = PlainSerializer(format_duration, return_type=str)
_SCHEMA = WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "examples": ["500ms", "10s", "2m"]})

Duration = Annotated[timedelta, BeforeValidator(_from_file), _AS_TEXT, _SCHEMA]
PositiveDuration = Annotated[timedelta, BeforeValidator(_positive), _AS_TEXT, _SCHEMA]

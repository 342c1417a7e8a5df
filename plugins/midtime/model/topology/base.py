"""What every section of a topology file is made of: strict, immutable, described values.

YAML quietly turns ``no`` into false and ``7`` into a number. The types here refuse such near misses instead of converting them:
a backup that runs with a guessed setting is worse than one that says what is wrong with the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError

T = TypeVar("T")


class Section(BaseModel):
    """A mapping of a topology file; unknown keys are refused, and nothing changes after loading."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


def short_form(schema: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Tell the JSON schema that a section may also be written in a short form."""

    def extend(section: dict[str, Any]) -> None:
        whole = dict(section)
        section.clear()
        section.update({key: whole.pop(key) for key in ("title", "description") if key in whole}, anyOf=[schema, whole])

    return extend


def broken(reason: str, *key: str | int) -> NoReturn:
    """Refuse a value with a sentence for the reader, pointing at ``key`` below the section that is being checked."""
    raise PydanticCustomError("rule", "{reason}", {"reason": reason, "key": key})


def matching(pattern: str, explanation: str) -> tuple[AfterValidator, WithJsonSchema]:
    """Make a check that explains itself; pydantic's own message would only quote the pattern."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        return value if compiled.fullmatch(value) else broken(f'"{shown(value)}" is not allowed: {explanation}')

    return AfterValidator(check), WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


def shown(value: object) -> str:
    """Shorten a value for a message, and hide what stands before an ``@``: it may be a password."""
    text = re.sub(r"//[^/@\s]*@", "//***@", str(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list that says the same thing twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            broken(f'"{shown(value)}" stands here twice', index)
    return values


def _object_url(value: str) -> str:
    """Check the address of a folder in an object store, and cut the slash at its end so that equal folders look equal."""
    try:
        parts = urlsplit(value)
    except ValueError as error:
        broken(f'"{shown(value)}" is not a URL: {error}')
    if not re.match(r"[a-z][a-z0-9+.-]*://", value) or re.search(r"[\s\x00-\x1f]", value):
        broken(
            f'"{shown(value)}" is not a URL with a scheme: write file:///folder, s3://connection@bucket/prefix or abfss://connection@container/prefix'
        )
    if parts.scheme == "file" and (parts.netloc or not parts.path.strip("/")):
        broken(f'"{shown(value)}" must name an absolute folder with three slashes: file:///var/lib/midtime')
    if parts.scheme != "file" and not parts.netloc.rpartition("@")[2]:
        broken(f'"{shown(value)}" names no bucket or container: {parts.scheme}://connection@bucket/prefix')
    if parts.query or parts.fragment or ".." in parts.path.split("/"):
        broken(f'"{shown(value)}" must be a plain folder, without "?", "#" or ".."')
    return value.rstrip("/")


def _endpoint_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^/@\s]+(/[^@\s]*)?", value):
        broken(f'"{shown(value)}" is not an address of a service: write https://host or http://host:port, without user or password')
    return value.rstrip("/")


_RATE = re.compile(r"([0-9]{1,12})(B|KB|MB|GB)/s")
_RATE_UNITS = {"GB": 10**9, "MB": 10**6, "KB": 10**3, "B": 1}


def _rate(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        broken(f"{value} has no unit: write a rate such as 50MB/s")
    match = _RATE.fullmatch(str(value))
    if match is None or not int(match.group(1)):
        broken(f'"{shown(value)}" is not a rate: write a whole number above 0 and a unit (B/s, KB/s, MB/s, GB/s), such as 50MB/s')
    return int(match.group(1)) * _RATE_UNITS[match.group(2)]


def format_rate(value: int) -> str:
    """Write a rate with the largest unit that loses nothing."""
    unit, size = next((unit, size) for unit, size in _RATE_UNITS.items() if not value % size)
    return f"{value // size}{unit}/s"


def _scalar(value: object) -> object:
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    broken(f"{shown(value)} is not a plain value: write text (in quotes, if it looks like a date), a number, true, false or null")


# A list in the file, a tuple in memory: what was loaded cannot be changed by accident.
Many = tuple[T, ...]
Flag = Annotated[bool, Strict()]
Count = Annotated[int, Strict(), Field(ge=1)]
CountOrZero = Annotated[int, Strict(), Field(ge=0)]
Port = Annotated[int, Strict(), Field(ge=1, le=65535)]
Text = Annotated[str, Field(min_length=1)]
TopologyName = Annotated[
    str, *matching(r"[a-z][a-z0-9-]{0,62}", "a small letter first, then small letters, digits and hyphens, 63 characters at most")
]
Name = Annotated[
    str,
    *matching(r"[a-z][a-z0-9_-]{0,62}", "a small letter first, then small letters, digits, hyphens and underscores, 63 characters at most"),
]
ConnId = Annotated[
    str, *matching(r"[A-Za-z0-9_.-]{1,250}", "name an Airflow connection (letters, digits, '_', '-', '.'), not a URL or a host")
]
Namespace = Annotated[str, *matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", "a ScalarDB namespace has letters, digits, '_', '-' and '.'")]
AbsolutePath = Annotated[str, *matching(r"/[^\x00-\x1f]*", "an absolute path is needed, as seen by the process that uses it")]
ObjectUrl = Annotated[str, AfterValidator(_object_url), WithJsonSchema({"type": "string", "pattern": "^[a-z][a-z0-9+.-]*://"})]
ServiceUrl = Annotated[str, AfterValidator(_endpoint_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
Rate = Annotated[
    int,
    BeforeValidator(_rate),
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_RATE.pattern}$", "examples": ["50MB/s"]}),
]
Scalar = Annotated[Any, AfterValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]

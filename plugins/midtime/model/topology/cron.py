"""When things run: cron expressions and time zones."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, WithJsonSchema

from midtime.model.topology.base import broken, shown

_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly")
_ADVICE = 'write five fields in quotes (minute hour day month weekday), such as "0 2 * * *", or one of ' + ", ".join(_PRESETS)


@lru_cache(maxsize=1024)
def _fires(expression: str) -> bool:
    """Ask Airflow's own cron library; it is imported here because most commands never need it."""
    from croniter import croniter

    # croniter's R and H draw a random moment anew in every process: no schedule.
    return not re.search(r"(?i)(^|[\s,])[rh]($|[\s,(/])", expression) and bool(croniter.is_valid(expression, strict=True))


def _cron(value: str) -> str:
    expression = " ".join(value.split())
    if expression in _PRESETS:
        return expression
    if expression.startswith("@") or len(expression.split(" ")) != 5:
        broken(f'"{shown(value)}" is not a cron expression: {_ADVICE}')
    if not _fires(expression):
        broken(f'"{shown(value)}" is not a cron expression, or names a moment that never comes: {_ADVICE}')
    return expression


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """Load a time zone of the IANA database.

    :raises ValueError: if there is none of that name
    """
    try:
        return ZoneInfo(name)
    except (OSError, LookupError, ValueError) as error:
        raise ValueError(f'"{shown(name)}" is not a time zone: use a name of the IANA database, such as Asia/Tokyo or UTC') from error


def _timezone(value: str) -> str:
    try:
        zone(value)
    except ValueError as error:
        broken(str(error))
    return value


Cron = Annotated[str, AfterValidator(_cron), WithJsonSchema({"type": "string", "examples": ["0 2 * * *", "@daily"]})]
TimeZone = Annotated[str, AfterValidator(_timezone), WithJsonSchema({"type": "string", "examples": ["UTC", "Asia/Tokyo"]})]

"""ARM's settings in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from midtime.stores.marks import Spoken


def leaves(path: str, value: Any) -> Spoken:
    """``indexingPolicy.indexingMode``: ``consistent``; lists are told whole."""
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from leaves(f"{path}.{key}" if path else key, value[key])
    elif value not in (None, [], "", False):
        yield path, short(value)


def short(value: Any) -> str:
    """One value."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)

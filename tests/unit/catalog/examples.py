"""What the catalog's tests share: one restore point, and half of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from midtime.catalog import Catalog, objects
from midtime.errors import RestorePointNotFoundError
from tests.unit.builders import part, point

POINT = point()
FULL_WIDTH = "\uff12\uff10\uff12\uff17"
"""2027 in digits that are none of ours."""


def disk(catalog: Catalog, *names: str) -> Path:
    """Where that is on this machine."""
    return Path(catalog.root.path).joinpath(*names)


def half_write(catalog: Catalog, name: str) -> None:
    catalog.begin(name)
    objects.create(catalog.folder(name) / "accounts" / "toc.dat", b"half")
    catalog.add_part(name, part())


def ids(catalog: Catalog) -> list[str]:
    return [entry.id for entry in catalog.entries()]


def unseen(catalog: Catalog, name: str) -> None:
    """Nobody who asks is told of it."""
    assert name not in ids(catalog)
    assert catalog.newest(10) == []
    assert catalog.entry(name) is None
    for wanted in (name, "latest"):
        with pytest.raises(RestorePointNotFoundError):
            catalog.resolve(wanted)

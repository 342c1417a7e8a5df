"""What the tests of bases share."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from midtime.catalog import Catalog, objects
from midtime.catalog.bases import Base, Bases
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import Artifact, RestorePoint
from tests.unit.builders import MIDTIME, days_later, part, sha256


def base(store: str = "accounts", *, days: float = 0, run: str = "base", **changes: Any) -> Base:
    at: datetime = MIDTIME + timedelta(days=days)
    fields: dict[str, Any] = {
        "id": restore_point_id(at, run),
        "topology": "bank",
        "store": store,
        "engine": "postgresql",
        "taken_at": at,
        "server": "18.6",
        "client": "18.6",
        "seconds": 1.0,
        "artifacts": (Artifact(path="base.tar.gz", size=4, sha256=sha256(b"data")),),
    }
    return Base(**(fields | changes))


def begin(catalog: Catalog, made: Base) -> Bases:
    """Announced, with its artifact; not published."""
    bases = Bases(catalog, made.store)
    objects.create(bases.folder(made.id) / "begun.json", b"{}")
    objects.create(bases.folder(made.id) / "base.tar.gz", b"data")
    return bases


def add(catalog: Catalog, *, days: float = 0, store: str = "accounts", run: str = "base") -> Base:
    """A whole base of that day."""
    made = base(store, days=days, run=run)
    begin(catalog, made).publish(made)
    return made


def point_on(made: Base, *, days: int = 0, **changes: Any) -> RestorePoint:
    """A restore point that names this base."""
    details = {"base": made.reference}
    return days_later(days, stores=(part(made.store, details=details),), **changes)

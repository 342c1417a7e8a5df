"""What the tests of retention share: restore points with real artifacts, one clock, and somebody who acts at the worst moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from midtime import retention
from midtime.catalog import Catalog, half_written, objects
from midtime.catalog.restore_points import EXPIRED
from midtime.errors import MidtimeError
from midtime.model.restore_point import Artifact, RestorePoint, State
from midtime.model.topology import Topology
from midtime.restoring import Plan, RestoreRequest, make_plan, reserve
from midtime.retention import Outcome, Retention
from tests.unit.builders import MIDTIME, days_later, drill_report, part, sha256, topology

NOW = MIDTIME + timedelta(days=100)


def with_artifacts(days: int, **changes: Any) -> RestorePoint:
    files = tuple(Artifact(path=f"accounts/{name}", size=4, sha256=sha256(b"data")) for name in ("1.dat", "toc.dat"))
    return days_later(days, stores=(part(artifacts=files),), **changes)


def add(catalog: Catalog, *days: int, drilled: bool = False) -> list[str]:
    """Whole restore points of these days; their ids."""
    points = [with_artifacts(day) for day in days]
    for point in points:
        for artifact in point.artifacts():
            objects.create(catalog.folder(point.id) / artifact.path, b"data")
        catalog.publish(point)
        if drilled:
            catalog.add_drill_report(drill_report(point))
    return [point.id for point in points]


def bank(catalog: Catalog, *, last: int = 1, days: int = 0) -> Topology:
    return topology(destination=catalog.destination, retention={"keep_last": last, "keep_days": days})


def retain(catalog: Catalog, *, last: int = 1, days: int = 0, dry_run: bool = False, holder: str = "retention/1") -> Outcome:
    return Retention(bank(catalog, last=last, days=days), holder, dry_run=dry_run).run()


def planned(catalog: Catalog, restore_point: str) -> Plan:
    body = RestoreRequest(restore_point=restore_point)
    return make_plan(bank(catalog), body, catalog.load(restore_point), kind="restore", run="r")


def reserved(catalog: Catalog, plan: Plan) -> bool:
    """A restore comes this far, or is refused."""
    try:
        reserve(catalog, plan, "restore/r")
    except MidtimeError:
        return False
    return True


def at(monkeypatch: pytest.MonkeyPatch, now: datetime = NOW) -> None:
    for module in (retention, half_written):
        monkeypatch.setattr(module, "utc_now", lambda: now)


def look_whole(catalog: Catalog) -> None:
    """Whatever looks as if it could be restored has all its artifacts."""
    for entry in catalog.entries():
        if entry.state in (State.RESTORABLE, State.DRILLED):
            assert entry.restore_point
            assert sorted(objects.names(catalog.folder(entry.id) / "accounts")) == ["1.dat", "toc.dat"], entry
            assert EXPIRED not in objects.names(catalog.folder(entry.id))


def snapshot(catalog: Catalog) -> dict[str, bytes]:
    """Every object of a topology."""
    root = catalog.root
    return {path: root.fs.cat_file(path) for path in root.fs.find(root.path)}

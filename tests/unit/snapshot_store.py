"""A cluster that is none: which snapshots stand on its nodes, and what was asked of it, is written down."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from midtime import stores
from midtime.catalog import Catalog, objects
from midtime.catalog.snapshot_notes import Note, SnapshotNotes
from midtime.errors import MidtimeError, StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores.base import WILL_BE, Question, Say, Shelf, Target
from midtime.stores.copied import Armed, SnapshotStore
from tests.unit.builders import LEDGER, part, topology
from tests.unit.operators.tasks import ArmableStore

RING = ("10.0.0.1", "10.0.0.2", "10.0.0.3")


class Snapshotted(ArmableStore, SnapshotStore):
    """Every instance is the same cluster."""

    standing: ClassVar[set[str]] = set()
    """Names of snapshots that are there."""
    down: ClassVar[str] = ""
    """The node that does not answer, if one does not."""
    asked: ClassVar[list[str]] = []
    noted: ClassVar[list[str]] = []
    """Names that were noted when the store was armed."""
    unproven: ClassVar[MidtimeError | None] = None

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> type[Snapshotted]:  # type: ignore[override]
        monkeypatch.setitem(stores.ENGINES, ("cassandra", "snapshot"), f"{cls.__module__}:{cls.__name__}")
        monkeypatch.setitem(stores.ENGINES, ("postgresql", "dump"), f"{ArmableStore.__module__}:{ArmableStore.__name__}")
        ArmableStore.reset()
        cls.standing, cls.down, cls.asked, cls.noted, cls.unproven, cls.failures = set(), "", [], [], None, {}
        return cls

    @contextmanager
    def arm(self, tag: str = "") -> Iterator[Any]:
        self.noted.extend(note.tag for note in notes(self.topology))
        self._tag = tag
        yield _Armed(self)

    def fix(self) -> Any:
        if self.name in self.failing:
            raise self.failing[self.name]
        self.standing.add(self._tag)
        ArmableStore.captured_at[self.name] = time.monotonic()
        return SimpleNamespace(midtime=utc_now(), tag=self._tag)

    def prove(self, capture: Any, shelf: Shelf) -> None:
        self.asked.append(f"prove {self.name}")
        if self.unproven:
            raise self.unproven
        objects.create(shelf.folder / shelf.prefix / "cluster.json", json.dumps(capture.tag).encode())

    def labels(self, shelf: Shelf) -> list[str]:
        assert self._tag_of(shelf)
        return list(RING)

    def upload(self, label: str, shelf: Shelf, say: Say) -> dict[str, Any]:
        self.asked.append(f"upload {label}")
        assert self._tag_of(shelf) in self.standing
        return {"files": 2, "bytes": 100, "sent_files": 1, "sent_bytes": 40}

    def collect(self, shelf: Shelf, midtime: Any, seconds: float) -> StoreBackup:
        tag = self._tag_of(shelf)
        return part(self.name, engine="cassandra", method="snapshot", midtime=midtime, seconds=seconds, tables=(), details={"tag": tag})

    def forget(self, tag: str) -> None:
        self.asked.append(f"forget {tag}")
        if self.down:
            raise StoreUnreachableError(f"node {self.down} does not answer", fix="start it")
        self.standing.discard(tag)

    def node_target(self, label: str, *, run: str) -> Target:
        return Target(self.name, "ring", f"midtime_tmp_{run}", label, f"midtime_before_{run}", node=label)

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        yield "is still in the ring", self._answer
        yield WILL_BE, lambda: f"node {target.node}, replacing what is there"

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> None:
        self.asked.append(f"restore {target.node}")

    def place(self, backup: StoreBackup, target: Target) -> None:
        self.asked.append(f"place {target.node}")
        if f"place {target.node}" in self.failures:
            raise self.failures[f"place {target.node}"]

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        self.asked.append(f"back {target.node}")

    def discard(self, target: Target) -> None:
        self.asked.append(f"discard {target.node}")

    def _tag_of(self, shelf: Shelf) -> str:
        return str(json.loads(objects.read(shelf.folder / shelf.prefix / "cluster.json")))


class _Armed(Armed):
    def __init__(self, store: Snapshotted) -> None:
        self._store = store

    def fix(self) -> Any:
        return self._store.fix()

    def check(self) -> None:
        self._store.check()


def ring(folder: Path | str, *others: str, products: Any = None, **changes: Any) -> Topology:
    """A topology with a cluster in it, and perhaps databases."""
    rows = {"name": "rows", "engine": "cassandra", "access": "local", "nodes": list(RING), "namespaces": ["bank_rows"]}
    rest = [{"name": name, "engine": "postgresql", "conn_id": f"{name}_db", "namespaces": [f"bank_{name}"]} for name in others]
    body = {"stores": [*rest, rows], "scalardb": {"coordinators": [{"store": "rows"}]}, "products": products or [LEDGER]}
    return topology(destination=str(folder) if "://" in str(folder) else f"file://{folder}", **(body | changes))


def notes(of: Topology) -> list[Note]:
    return SnapshotNotes(Catalog(of.destination, of.name)).all()

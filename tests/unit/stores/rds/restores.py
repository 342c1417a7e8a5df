"""A store in the account that is a dictionary, marked, and what a run does with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from midtime.catalog import Catalog
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cloud import Aurora, Rds
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores import looks
from midtime.stores.base import Shelf, Target, Waiting, ask
from midtime.stores.rds import checks, notes, placing, restoring, targets
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.store import RdsStore
from tests.unit.builders import topology as build
from tests.unit.stores.rds.memory import REGION, START, Memory, left_at_each

POINT, RUN, LIVE = "20261121T020007Z-3fa9c1", "abc123", "bank-prod"
TAGS = {"team": "bank", "aws:cloudformation:stack-name": "s"}
OFFERED = [
    {"DBInstanceClass": name, "StorageType": storage, "MinStorageSize": 20, "MaxStorageSize": largest, "SupportsStorageEncryption": encrypts}
    for name, storage, largest, encrypts in [
        ("db.t3.micro", "gp3", 100, True), ("db.t2.small", "gp3", 16384, False), ("db.r6g.large", "gp3", 65536, True),
        ("db.t4g.medium", "io1", 65536, True), ("db.t3.medium", "gp3", 16384, True), ("db.m5.large", "gp3", 65536, True),
        ("db.serverless", "gp3", 65536, True), ("db.t3.medium", "aurora", 0, True),
    ]
]  # fmt: skip


RESTORES = ("restore_db_instance_to_point_in_time", "restore_db_cluster_to_point_in_time")


def topology(kind: str, destination: str = "file:///nowhere", drill: Mapping[str, Any] | None = None, **store: Any) -> Topology:
    common = {
        "name": "points",
        "engine": kind,
        "dialect": "postgresql",
        "conn_id": "aws",
        "data_conn_id": "points_db",
        "region": REGION,
        "namespaces": ["bank"],
    }
    named = {"instance": LIVE} if kind == "rds" else {"cluster": LIVE}
    return build(destination=destination, stores=[common | named | store], drill={"targets": {"points": dict(drill)}} if drill else {})


class InMemory(RdsClients):
    """Without a login. There is nothing in any other region."""

    def __init__(self, memory: Memory, spec: Rds | Aurora) -> None:
        super().__init__("points", spec)
        memory = memory if spec.region == REGION else Memory()
        self.__dict__["control"] = self.__dict__["paced"] = memory.client()


class Account:
    """The account and the store, and a restore point of it."""

    def __init__(self, kind: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **spec: Any) -> None:
        self.kind, self.memory = kind, Memory()
        self.memory.offered = OFFERED
        monkeypatch.setattr(looks, "sleep", self.memory.sleep)
        for module in (notes, looks, placing, restoring, checks, targets):
            monkeypatch.setattr(module, "utc_now", lambda: self.memory.moment(self.memory.now))
        monkeypatch.setattr(targets, "RdsClients", lambda store, spec: InMemory(self.memory, spec))
        self.topology = topology(kind, f"file://{folder}", **spec)
        self.catalog = Catalog(self.topology.destination, self.topology.name)
        self.shelf = Shelf(self.catalog.folder(POINT), "points")
        self.backup: StoreBackup

    @property
    def store(self) -> RdsStore:
        """As another process would open it."""
        store = RdsStore(self.topology, "points")
        store.__dict__["aws"] = InMemory(self.memory, cast(Rds | Aurora, self.topology.store("points")))
        return store

    def fill(self) -> Account:
        live = self.memory.make(LIVE, "live", cluster=self.kind == "aurora")
        live.tags = dict(TAGS)
        if self.kind == "aurora":
            for name, size in (("w", "2xlarge"), ("r", "large")):
                self.memory.make(f"{LIVE}-{name}", "live member", of=LIVE, DBInstanceClass=f"db.r6g.{size}", Engine="aurora-postgresql")
        return self

    def mark(self) -> Account:
        self.memory.now += 600
        self.backup = self.store.mark(START + timedelta(seconds=500), self.shelf, lambda _: None)
        self.memory.now += 600
        return self

    def mark_anew(self) -> Account:
        """Another restore point, of what it is now."""
        self.shelf = Shelf(self.catalog.folder("20261121T020007Z-ffffff"), "points")
        return self.mark()

    def unprotected(self) -> Account:
        """Whoever may delete it may do so at once."""
        for each in (*self.memory.instances.values(), *self.memory.clusters.values()):
            each.said["DeletionProtection"] = False
        return self.mark_anew()

    def move(self, region: str) -> None:
        """Somebody writes another region into the topology."""
        self.topology = topology(self.kind, self.topology.destination, region=region)

    def target(self, *, drill: bool = False, in_place: bool = False, **wish: Any) -> Target:
        wished = TargetWish(**wish) if wish else self.topology.drill.targets.get("points") if drill else None
        return self.store.target(wished, run=RUN, drill=drill, in_place=in_place)

    def look(self, target: Target) -> Waiting | None:
        return self.store.restore(self.backup, self.shelf, target, lambda _: None)

    def restore(self, target: Target) -> Target:
        while waiting := self.look(target):
            self.memory.sleep(waiting.look_again.total_seconds())
        return target

    def answers(self, target: Target | None = None) -> dict[str, str]:
        """What is asked before a backup, or a restore; the first that is bad is raised."""
        questions = self.store.restore_questions(target, self.backup) if target else self.store.questions()
        found = list(ask("points", questions))
        bad = [check for check in found if not check.ok]
        if bad and bad[0].error:
            raise bad[0].error
        return {check.question: check.detail for check in found}

    def copies(self) -> dict[str, str]:
        return {name: content for name, content in self.memory.contents().items() if not name.startswith(LIVE)}

    def left_at_each(self, begin: Callable[[], object], check: Callable[[int], None]) -> int:
        return left_at_each(self.memory, self._files, self._put, begin, check)

    def _files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path(self.catalog.root.path).rglob("*") if path.is_file()}

    def _put(self, files: Mapping[Path, bytes]) -> None:
        for path in [path for path in self._files() if path not in files]:
            path.unlink()
        for path, content in files.items():
            path.write_bytes(content)


def restored(account: Account) -> list[Any]:
    return [asked for operation in RESTORES for asked in account.memory.requests(operation)]


def new_names(account: Account, name: str, *, drill: bool = False) -> dict[str, str]:
    if account.kind == "rds":
        return {name: "then"}
    return {name: "then", f"{name}-1": "member"} | ({} if drill else {f"{name}-2": "member"})


def copy_of(account: Account, name: str) -> Any:
    return (account.memory.instances if account.kind == "rds" else account.memory.clusters)[name]


def make_anew(account: Account, name: str) -> None:
    """Somebody deletes it, and makes another one with its name and its tags."""
    there = copy_of(account, name)
    account.memory.kept["made-anew"] = account.memory.kept[there.resource_id]
    there.resource_id = "made-anew"

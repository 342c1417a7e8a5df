"""A store in the subscription that is a dictionary, marked, and what a run does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from midtime.catalog import Catalog
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores import looks
from midtime.stores.azure import putting, removing
from midtime.stores.azure_database import checks, notes, placing, restorable, restoring, targets
from midtime.stores.azure_database.azure import Azure, Spec
from midtime.stores.azure_database.store import AzureDatabaseStore
from midtime.stores.base import Check, Shelf, Target, Waiting, ask
from midtime.stores.managed_sql.data import At
from tests.unit.builders import LEDGER
from tests.unit.builders import topology as build
from tests.unit.stores.azure.service import START
from tests.unit.stores.azure_database.memory import GROUP, LIVE, SUBSCRIPTION, Memory, Server

POINT, RUN = "20261121T020007Z-3fa9c1", "abc123"
RULES = {"office": {"startIpAddress": "10.1.2.3", "endIpAddress": "10.1.2.9"}}
PARAMETERS = {"azure.extensions": "PGCRYPTO", "max_connections": "500", "shared_preload_libraries": "pg_cron"}


def topology(dialect: str, destination: str = "file:///nowhere", drill: dict[str, Any] | None = None, **store: Any) -> Topology:
    spec = {
        "name": "files", "engine": f"azure_{dialect}", "conn_id": "azure", "data_conn_id": "files_db", "subscription_id": SUBSCRIPTION,
        "resource_group": GROUP, "server": LIVE, "namespaces": ["claims"],
    }  # fmt: skip
    other = {"name": "other", "engine": "postgresql", "conn_id": "other", "namespaces": ["more"]}
    targets = {"drill": {"targets": {"files": drill}}} if drill else {}
    return build(
        destination=destination, products=[LEDGER], stores=[spec | store, other], scalardb={"coordinators": [{"store": "files"}]}, **targets
    )


class InMemory(Azure):
    """Without a login. There is nothing in any other subscription."""

    def __init__(self, memory: Memory, store: str, spec: Spec) -> None:
        super().__init__(store, spec)
        self.memory = memory if spec.subscription_id == SUBSCRIPTION else Memory(memory.dialect)
        self.__dict__["arm"] = self.memory.arm


class NoData:
    """As much of the database as a restore needs."""

    database, host = "claims", f"{LIVE}.example"

    def __init__(self) -> None:
        self.refuses: Exception | None = None
        self.reached: list[At] = []

    def reach(self, at: At) -> None:
        self.reached.append(at)
        if self.refuses:
            raise self.refuses

    def check(self) -> str:
        return "all there"

    @contextmanager
    def restored(self, backup: StoreBackup, address: str) -> Iterator[Any]:
        yield address


class Subscription:
    """It, the store, and a restore point of it."""

    def __init__(self, dialect: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dialect, self.folder, self.memory, self.data = dialect, folder, Memory(dialect), NoData()
        self.topology = topology(dialect, f"file://{folder}")
        self.shelf = Shelf(Catalog(self.topology.destination, self.topology.name).folder(POINT), "files")
        self.backup: StoreBackup
        monkeypatch.setattr(looks, "sleep", self.memory.sleep)
        for module in (looks, notes, placing, putting, removing, restoring, restorable, checks):
            monkeypatch.setattr(module, "utc_now", lambda: self.memory.moment(self.memory.now))
        for module in (targets, restorable):
            monkeypatch.setattr(module, "Azure", lambda store, spec: InMemory(self.memory, store, spec))

    def change(self, **said: Any) -> None:
        """The topology says something else from now on."""
        self.topology = topology(self.dialect, f"file://{self.folder}", **said)

    @property
    def store(self) -> AzureDatabaseStore:
        """As another process would open it."""
        store = AzureDatabaseStore(self.topology, "files")
        store.__dict__["azure"] = InMemory(self.memory, "files", cast(Spec, self.topology.store("files")))
        store.__dict__["data"] = self.data
        return store

    @property
    def live(self) -> Server:
        return self.memory.servers[LIVE]

    def fill(self) -> Subscription:
        live = self.memory.make()
        live.rules = {name: dict(rule) for name, rule in RULES.items()}
        live.parameters = dict(PARAMETERS)
        return self

    def mark(self) -> Subscription:
        self.memory.now += 600
        self.backup = self.store.mark(START + timedelta(seconds=300), self.shelf, lambda _: None)
        self.memory.now += 3600
        return self

    def target(self, *, drill: bool = False, in_place: bool = False, to: str | None = None) -> Target:
        return self.store.target(TargetWish(to=to) if to else None, run=RUN, drill=drill, in_place=in_place)

    def look(self, target: Target) -> Waiting | None:
        return self.store.restore(self.backup, self.shelf, target, lambda _: None)

    def restore(self, target: Target) -> Target:
        while waiting := self.look(target):
            self.memory.sleep(waiting.look_again.total_seconds())
        return target

    def copy(self, target: Target) -> Server:
        return self.memory.servers[target.final]

    def differences(self, target: Target) -> list[str]:
        with self.store.restored(self.backup, target) as restored:
            return list(restored.setting_differences())

    def leaving(self, number: int) -> AbstractContextManager[Callable[[], bool]]:
        return self.memory.leaving(number)

    def asked(self, target: Target) -> list[Check]:
        return list(ask("files", self.store.restore_questions(target, self.backup)))


def require_whole(subscription: Subscription, target: Target) -> None:
    copy, live = subscription.copy(target), subscription.live
    assert copy.state == "Ready"
    assert (copy.rules, copy.parameters, copy.pending) == (live.rules, live.parameters, set())
    for key in ("backup", "maintenanceWindow", "network"):
        assert copy.said[key] == live.said[key], key

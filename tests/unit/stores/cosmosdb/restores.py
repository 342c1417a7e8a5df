"""A store in the subscription that is a dictionary, marked, and what a run does with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from midtime.catalog import Catalog
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cloud import Cosmosdb
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores import looks
from midtime.stores.azure import putting, removing
from midtime.stores.base import Shelf, Target, Waiting, ask
from midtime.stores.cosmosdb import backups, describing, indexing, notes, placing, restorable, restored, restoring
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.records import Shape
from midtime.stores.cosmosdb.store import CosmosdbStore
from midtime.stores.scalardb_records import Table
from tests.unit.builders import LEDGER
from tests.unit.builders import topology as build
from tests.unit.stores.azure.service import START
from tests.unit.stores.cosmosdb.memory import Memory
from tests.unit.stores.cosmosdb.service import CLOSED, GROUP, LIVE, PROCEDURE, SUBSCRIPTION, Account, Container

POINT, RUN = "20261121T020007Z-3fa9c1", "abc123"
NAMES = ("bank/accounts", "bank/midtime_fence", "coordinator/state", "scalardb/metadata")
INDEX = {"indexingMode": "consistent", "includedPaths": [{"path": "/concatenatedPartitionKey/?"}], "excludedPaths": [{"path": "/*"}]}


def topology(destination: str = "file:///nowhere", **store: Any) -> Topology:
    spec = {
        "name": "points", "engine": "cosmosdb", "conn_id": "azure", "data_conn_id": "points_db", "subscription_id": SUBSCRIPTION,
        "resource_group": GROUP, "account": LIVE, "namespaces": ["bank"],
    }  # fmt: skip
    return build(destination=destination, products=[LEDGER], stores=[spec | store], scalardb={"coordinators": [{"store": "points"}]})


class InMemory(Azure):
    """Without a login. There is nothing in any other subscription."""

    def __init__(self, memory: Memory, spec: Cosmosdb) -> None:
        super().__init__("points", spec)
        self.memory = memory if spec.subscription_id == SUBSCRIPTION else Memory()
        self.__dict__["arm"] = self.memory.arm

    def data_at(self, endpoint: str, key: str) -> Any:
        return self.memory.data(str(urlsplit(endpoint).hostname).partition(".")[0])


class Subscription:
    """It, the store, and a restore point of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, memory: Memory | None = None, **spec: Any) -> None:
        self.memory = memory or Memory()
        self.patch(monkeypatch)
        self.topology = topology(f"file://{folder}", **spec)
        self.catalog = Catalog(self.topology.destination, self.topology.name)
        self.shelf = Shelf(self.catalog.folder(POINT), "points")
        self.backup: StoreBackup
        self.known: set[Table] = {("bank", "accounts"), ("coordinator", "state"), ("elsewhere", "table")}
        """Whose metadata ScalarDB has."""

    def move(self, **spec: Any) -> None:
        """The topology's store is another one from now on."""
        self.topology = topology(self.topology.destination, **spec)

    def drill_in(self, region: str) -> None:
        """Drills go to another region from now on."""
        drill = self.topology.drill.model_copy(update={"targets": {"points": TargetWish(name="drill", location=region)}})
        self.topology = self.topology.model_copy(update={"drill": drill})

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(looks, "sleep", self.memory.sleep)
        for module in (looks, notes, placing, putting, removing, restoring, backups):
            monkeypatch.setattr(module, "utc_now", lambda: self.memory.moment(self.memory.now))
        for module in (describing, indexing, restorable):
            monkeypatch.setattr(module, "of_each", lambda things, ask: [ask(each) for each in things])
        monkeypatch.setattr("midtime.stores.cosmosdb.standing.Azure", lambda store, spec: InMemory(self.memory, spec))
        monkeypatch.setattr("midtime.stores.cosmosdb.targets.Azure", lambda store, spec: InMemory(self.memory, spec))
        monkeypatch.setattr("midtime.stores.cosmosdb.restorable.Azure", lambda store, spec: InMemory(self.memory, spec))
        monkeypatch.setattr(restored, "shapes", lambda *_: dict.fromkeys(self.known, Shape()))

    @property
    def store(self) -> CosmosdbStore:
        """As another process would open it."""
        store = CosmosdbStore(self.topology, "points")
        store.__dict__["azure"] = InMemory(self.memory, cast(Cosmosdb, self.topology.store("points")))
        return store

    def fill(self, **properties: Any) -> Subscription:
        self.memory.make(LIVE, {of: dict(self._containers(of)) for of in ("bank", "coordinator", "scalardb")}, **properties)
        live = self.memory.accounts[LIVE]
        live.throughputs["bank"] = {"throughput": 800}
        live.assignments = [
            {"name": "a1", "principalId": "p1", "roleDefinitionId": f"{GROUP}/r1", "scope": "/x/databaseAccounts/bank-prod"}
        ]
        return self

    def _containers(self, database: str) -> Iterator[tuple[str, Container]]:
        for name in NAMES:
            of, _, container = name.partition("/")
            if of != database:
                continue
            resource: dict[str, Any] = {"partitionKey": {"paths": ["/concatenatedPartitionKey"], "kind": "Hash"}, "indexingPolicy": INDEX}
            made = Container(f"rid-{name}", resource)
            if container in ("accounts", "state"):
                made.scripts["procedures"] = {each: {"body": body} for each, body in PROCEDURE.items()}
            if container == "accounts":
                made.throughput = {"autoscaleSettings": {"maxThroughput": 4000}}
                made.scripts["triggers"] = {"t": {"body": "function t() {}", "triggerType": "Pre", "triggerOperation": "All"}}
                made.scripts["functions"] = {"f": {"body": "function f() {}"}}
            if container == "midtime_fence":
                resource["defaultTtl"] = 5184000
            yield container, made

    def mark(self) -> Subscription:
        self.memory.now += 600
        self.backup = self.store.mark(START + timedelta(seconds=300), self.shelf, lambda _: None)
        self.memory.now += 600
        return self

    def target(self, *, drill: bool = False, in_place: bool = False, to: str | None = None) -> Target:
        return self.store.target(TargetWish(to=to) if to else None, run=RUN, drill=drill, in_place=in_place)

    def look(self, target: Target) -> Waiting | None:
        return self.store.restore(self.backup, self.shelf, target, lambda _: None)

    def restore(self, target: Target) -> Target:
        while waiting := self.look(target):
            self.memory.sleep(waiting.look_again.total_seconds())
        return target

    def building_indexes(self) -> Target:
        """A drill that waits for nothing else any more."""
        target = self.target(drill=True)
        while (waiting := self.look(target)) and "builds the indexes" not in waiting.detail:
            for database in self.copy(target).databases.values():
                for container in database.values():
                    container.indexed = 50
            self.memory.sleep(10)
        return target

    def copy(self, target: Target) -> Account:
        return self.memory.accounts[target.final]

    def refusing(self, *said: Any, **of: str) -> AbstractContextManager[None]:
        """As the service does."""
        return self.memory.refusing(*said, **of)

    def leaving(self, number: int) -> AbstractContextManager[Callable[[], bool]]:
        """The same."""
        return self.memory.leaving(number)


ENDS = {"publicNetworkAccess": "Enabled", "ipRules": CLOSED["ipRules"], "consistencyPolicy": {"defaultConsistencyLevel": "Strong"}}


def answers(subscription: Subscription, target: Target) -> dict[str, str]:
    return {check.question: check.detail for check in ask("points", subscription.store.restore_questions(target, subscription.backup))}


def require_whole(subscription: Subscription, target: Target) -> None:
    copy, live = subscription.copy(target), subscription.memory.accounts[LIVE]
    assert {key: copy.properties[key] for key in ENDS} == ENDS
    for name in NAMES:
        of, _, container = name.partition("/")
        now, was = copy.databases[of][container], live.databases[of][container]
        assert (now.scripts, now.throughput) == (was.scripts, was.throughput), name
    assert copy.throughputs == live.throughputs

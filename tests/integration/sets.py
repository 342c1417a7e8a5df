"""Whole sets of the databases under a real ScalarDB: captured in a pause window or without one, restored beside, counted and judged.

No Airflow here: the stores', the guard's and the verification's own code, and a bank that never stops.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog
from midtime.fencing import StoreFence
from midtime.model.instants import utc_now
from midtime.model.restore_point import Origin, RestorePoint, StoreBackup
from midtime.model.topology import Topology
from midtime.model.window import Window
from midtime.stores import open_store
from midtime.stores.base import Shelf, Target
from midtime.verification import Verification, verify
from midtime.verify.facts import Bounds, TopologyFacts
from midtime.verify.judge import judge
from midtime.verify.verdict import Verdict
from tests.integration.captures import Arming
from tests.stack.airflow import REPOSITORY
from tests.stack.bank import Bank
from tests.stack.cassandra import CassandraCluster
from tests.stack.processes import Processes, poll
from tests.stack.scalardb import Place, ScalarDB

COMMITTED = 3


@contextmanager
def busy(bank: Bank, seconds: float = 1.0, think: float = 0.0) -> Iterator[None]:
    """Under load, and warm."""
    before = bank.commits
    bank.start(threads=8, think=think)
    try:
        poll("commits", lambda: bank.commits > before + 50 or None, timeout=60)
        time.sleep(seconds)
        yield
    finally:
        bank.stop()


@contextmanager
def customers(
    processes: Processes, server: ScalarDB, bank: Bank, commits: Callable[[], int], *, threads: int = 8, think: float = 0.05
) -> Iterator[None]:
    """Clients of the bank in a process of their own: in ours every step of a capture would wait for its turn behind them.

    :param commits: how many there have been; under load, once some hundreds have been added
    :param think: seconds between two transfers of a client
    """
    command = [sys.executable, "-m", "tests.stack.bank", f"--port={server.port}", f"--accounts={bank.size}"]
    command += [f"--threads={threads}", f"--think={think}"]
    process = processes.start("customers", [*command, *(f"--table={table}" for table in bank.tables)], cwd=REPOSITORY, grace=60)
    try:
        before = commits()
        process.wait_ready(lambda: commits() > before + 200, timeout=60)
        yield
    finally:
        process.stop()
    summary = json.loads(process.log_tail(1))
    assert summary["total"] == summary["expected"], "the living bank itself lost money"


@dataclass(frozen=True)
class Part:
    """One store's backup, and the restore point below which its artifacts lie."""

    backup: StoreBackup
    point: str


@dataclass(frozen=True)
class Taken:
    """A captured set."""

    manifest: RestorePoint
    window: Window
    parts: Mapping[str, Part]
    """Of each store, what a restore brings back."""

    def but(self, store: str, of: Taken) -> Taken:
        """The same restore point, one of whose stores comes back as it was at another one: nobody knows, least of all the manifest."""
        return replace(self, parts={**self.parts, store: of.parts[store]})


class Sets:
    """One topology, and the sets that are taken of it.

    :param places: the namespaces, each a store of its own
    :param products: as the topology has them
    :param coordinators: the stores that have one; by default the first, and none where there is no Consensus Commit
    :param pause: the topology's section of that name
    :param drilled: where the stores of this name are restored to: in whole clusters of their own
    :param declared: what else the topology says of ScalarDB
    """

    grouped = False
    """Whether ScalarDB commits in groups: then the Coordinator's table has a column more."""

    def __init__(
        self,
        folder: Path,
        places: Mapping[str, Place],
        products: Sequence[Mapping[str, Any]],
        coordinators: Sequence[str] = (),
        *,
        pause: Mapping[str, Any] | None = None,
        drilled: Mapping[str, CassandraCluster] | None = None,
        **declared: Any,
    ) -> None:
        self.drilled = dict(drilled or {})
        default = () if "transaction_manager" in declared else (next(iter(places)),)
        self.places, self.coordinators = dict(places), tuple(coordinators) or default
        self._body = {
            "name": "proof",
            "destination": f"file://{folder}/restore-points",
            "products": products,
            # all clocks are one machine's
            "scalardb": {"coordinators": [{"store": name} for name in self.coordinators], "clock_bound": "0s", **declared},
            "stores": [place.store(namespace) for namespace, place in self.places.items()],
            "pause": pause or {},
            "drill": {"targets": {name: cluster.drill_target() for name, cluster in self.drilled.items()}},
        }
        self.topology = Topology.model_validate(self._body)
        self._catalog = Catalog(self.topology.destination, self.topology.name)

    def declaring(self, **declared: Any) -> Topology:
        """The same topology, which says more of ScalarDB."""
        return Topology.model_validate({**self._body, "scalardb": {**self._body["scalardb"], **declared}})

    def take(self, order: Sequence[str] = (), *, paused: bool = True) -> Taken:
        """All armed, then captured a moment apart, then copied, each with its fence.

        :param order: of the captures; by default the topology's
        """
        with ExitStack() as stack:
            arming = Arming(stack, self, order or tuple(self.places), paused=paused)
            arming.capture()
            return arming.copy()

    def copied(self, name: str, capture: Any, point: str, fence: StoreFence) -> StoreBackup:
        """A capture, read out as the operator does it."""
        backup = open_store(self.topology, name).copy(capture, self._shelf(point, name), lambda _: None)
        said = {"fence": fence.to_dict(), "quiesced": self.topology.quiesced(name)}
        return backup.model_copy(update={"details": {**backup.details, **said}})

    def taken(self, window: str, bounds: Window, point: str, backups: Mapping[str, StoreBackup]) -> Taken:
        """With the manifest that is published."""
        manifest = RestorePoint(
            id=point,
            topology=self.topology.name,
            topology_digest=self.topology.digest,
            midtime=bounds.middle,
            started_at=bounds.start,
            finished_at=utc_now(),
            stores=tuple(backups[name] for name in self.places),
            evidence={"id": window, "window": bounds.to_dict()},
            origin=Origin(midtime_version="0", dag_id="d", run_id="r", host="h"),
        )
        return Taken(manifest, bounds, {name: Part(backup, point) for name, backup in backups.items()})

    def _shelf(self, point: str, name: str) -> Shelf:
        return Shelf(self._catalog.folder(point), name)

    def commits(self) -> int:
        """Rows of the live Coordinators."""
        asked = "SELECT count(*) FROM coordinator.state"
        return sum(int(self.places[store].execute(asked)[0][0]) for store in self.coordinators)

    @contextmanager
    def restored(self, taken: Taken) -> Iterator[Restored]:
        """In databases of their own, removed at the end."""
        with ExitStack() as stack:
            targets = {}
            for name, part in taken.parts.items():
                store = open_store(self.topology, name)
                targets[name] = store.target(self.topology.drill.targets.get(name), run=uuid.uuid4().hex[:6], drill=True, in_place=False)
                stack.callback(store.discard, targets[name])
                store.restore(part.backup, self._shelf(part.point, name), targets[name], lambda _: None)
            yield Restored(self, taken, targets)

    def folder(self, taken: Taken) -> Path:
        """Where the artifacts are, below the name of each store."""
        return Path(self._catalog.folder(taken.manifest.id).path)


@dataclass(frozen=True)
class Restored:
    """A set that was brought back."""

    sets: Sets
    taken: Taken
    targets: Mapping[str, Target]

    def execute(self, store: str, statement: str) -> list[tuple[Any, ...]]:
        """Run SQL in a restored store; ``{namespace}`` and ``{coordinator}`` stand for what they are called there."""
        if store in self.sets.drilled:
            return self.sets.drilled[store].execute(statement.format(namespace=store, coordinator="coordinator"))
        place, working = self.sets.places[store], self.targets[store].working
        if place.engine == "postgresql":
            return Place(place.server, working).execute(statement.format(namespace=store, coordinator="coordinator"))
        names = {"namespace": working.replace("*", store), "coordinator": working.replace("*", "coordinator")}
        return place.execute(statement.format(**names))

    def verify(self, topology: Topology | None = None) -> Verification:
        """As a drill does it."""
        return verify(topology or self.sets.topology, self.taken.manifest, self.targets.values())

    def verdict(self, **facts: Any) -> Verdict:
        """What the records alone say: no digests, no fences, by default no freedom for the clocks."""
        with ExitStack() as stack:
            sets = {
                name: stack.enter_context(open_store(self.sets.topology, name).restored(part.backup, self.targets[name]))
                for name, part in self.taken.parts.items()
            }
            coordinators = [coordinator for restored in sets.values() for coordinator in restored.coordinators()]
            window = self.taken.window
            bounds = Bounds(int(window.start.timestamp() * 1000), int(window.end.timestamp() * 1000))
            sources = {name: restored.records() for name, restored in sets.items()}
            return judge(sources, coordinators, TopologyFacts(**{"clock_bound_ms": 0, **facts}), bounds)

    def money(self) -> int:
        """The sum by SQL of our own, as ScalarDB would read it: what is in flight goes the way that the Coordinator's row says."""
        committed = {tx_id for store in self.sets.coordinators for tx_id in self._committed(store)}
        accounts = "SELECT balance, before_balance, tx_state, tx_id FROM {namespace}.acct"
        records = [record for store in self.sets.places for record in self.execute(store, accounts)]
        return sum(int(new if state in (None, COMMITTED) or tx_id in committed else old) for new, old, state, tx_id in records)

    def _committed(self, store: str) -> Iterator[str]:
        children = ", tx_child_ids" if self.sets.grouped else ""
        for tx_id, state, *found in self.execute(store, f"SELECT tx_id, tx_state{children} FROM {{coordinator}}.state"):
            if state == COMMITTED:
                yield from (tx_id, *(f"{tx_id}:{child}" for each in found for child in (each or "").split(",")))


@contextmanager
def connected(folder: Path, places: Mapping[str, Place]) -> Iterator[None]:
    """What the stores' code finds in a worker's environment: connections, client tools, a place for staging."""
    (folder / "staging").mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIDTIME_STAGING", str(folder / "staging"))
        for namespace, place in places.items():
            patch.setenv(f"AIRFLOW_CONN_{namespace.upper()}_DB", place.conn_uri)
            if not isinstance(place.server, CassandraCluster):
                patch.setenv("PATH", str(place.server.bin_dir), prepend=":")
        yield


def sets_of(
    folder: Path, places: Mapping[str, Place], products: Sequence[ScalarDB], coordinators: Sequence[str] = (), **declared: Any
) -> AbstractContextManager[Sets]:
    """Ready to take sets of what these servers write."""
    servers = [
        {"kind": "scalardb-server", "name": f"server-{number}", "endpoints": {"static": [server.address]}}
        for number, server in enumerate(products)
    ]
    return ready(Sets(folder, places, servers, coordinators, **declared), folder)


@contextmanager
def ready(sets: Sets, folder: Path) -> Iterator[Sets]:
    """In the environment that they need."""
    with connected(folder, sets.places):
        yield sets

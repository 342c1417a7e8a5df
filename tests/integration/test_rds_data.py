"""Midtime, mark, restore and verification of an RDS for PostgreSQL in one: what its service restores is a real server, to the very second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog
from midtime.fencing import fenced
from midtime.model.clocks import StoreClock, choose, earliest_end
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import Origin, RestorePoint, StoreBackup
from midtime.model.topology import Topology
from midtime.model.window import Window
from midtime.preflight import require
from midtime.stores import looks, open_store
from midtime.stores.base import Shelf, Target, ask
from midtime.verification import Verification, verify
from midtime.verify.verdict import Outcome
from tests.integration.fixtures import ROWS, SCHEMA
from tests.integration.marked_shop import SHORTLY
from tests.integration.pitr_setting import DATABASE, folder_of_the_server
from tests.stack.processes import Processes, poll
from tests.stack.rds import RDS
from tests.stack.rds_postgres import RdsPostgres

pytestmark = pytest.mark.integration

LIVE, WINDOW = "bank-prod", "0123456789ab"
BALANCES = "SELECT coalesce(sum(balance), 0) FROM bank.acct"


@dataclass
class Marked:
    """A restore point of an instance whose data went on."""

    topology: Topology
    point: RestorePoint
    behind: RdsPostgres
    shelf: Shelf
    then: int

    def drill(self, moved: timedelta = timedelta()) -> tuple[Verification, int]:
        """Restored (with the mark at another second), verified, removed: the verdict, and what the balances were."""
        store: Any = open_store(self.topology, "accounts")
        part, shelf = self.point.stores[0], self.shelf
        if moved:
            shelf = Shelf(shelf.folder / f"moved{moved.total_seconds()}", "accounts")
            part = store.mark(part.midtime + moved, shelf, print)
        target: Target = store.target(None, run=f"{time.time_ns() % 0xFFFFFF:06x}", drill=True, in_place=False)
        try:
            while store.restore(part, shelf, target, print):
                self.behind.fulfil()
                time.sleep(SHORTLY)
            with store.restored(part, target) as restored:
                balance = int(restored.scalar(BALANCES))
            return verify(self.topology, self.point, [target]), balance
        finally:
            store.discard(target)


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Marked]:
    folder = tmp_path_factory.mktemp("rds")
    processes = Processes(folder)
    rds = RDS(processes, lag=1.0)
    with folder_of_the_server("mt-rds-") as room, pytest.MonkeyPatch.context() as patch:
        patch.setattr(looks, "sleep", lambda seconds: time.sleep(min(seconds, SHORTLY)))
        behind = RdsPostgres(processes, rds.start(), LIVE, room).start()
        try:
            behind.live.create_database(DATABASE)
            behind.live.execute(SCHEMA + ROWS, DATABASE)
            behind.back_up()
            rds.make_instance(LIVE, BackupRetentionPeriod=7)
            patch.setenv("AIRFLOW_CONN_BANK_AWS", rds.conn())
            patch.setenv("AIRFLOW_CONN_BANK_DB", behind.live.conn_uri(DATABASE))
            yield back_up(behind, folder)
        finally:
            behind.close()
            rds.close()
            processes.stop()


def topology_of(folder: Path) -> Topology:
    store = {
        "name": "accounts", "engine": "rds", "dialect": "postgresql", "conn_id": "bank_aws", "data_conn_id": "bank_db", "region": RDS.REGION,
        "instance": LIVE, "namespaces": ["bank"],
    }  # fmt: skip
    return Topology.model_validate({"name": "bank", "destination": f"file://{folder}/points", "stores": [store]})


def back_up(behind: RdsPostgres, folder: Path) -> Marked:
    """As a window does it: clock, fence row, hold, clock, fence row, the instant that all of it leaves, the mark."""
    topology = topology_of(folder)
    store: Any = open_store(topology, "accounts")
    assert require(ask("accounts", store.questions()))
    with fenced(store) as fence:
        time.sleep(6)  # for a restore to five seconds before
        fence.connect()
        clock = StoreClock("accounts", store.read_clock(), resolution=store.resolution, fleet=store.fleet, coordinator=True)
        start = datetime.now(UTC)
        fence.write(WINDOW, "before")
        then = int(behind.live.execute(BALANCES, DATABASE)[0][0])
        poll("the hold", lambda: datetime.now(UTC) > earliest_end(start, [clock]) or None, 30)
        end = datetime.now(UTC)
        clock.after = store.read_clock()
        fence.write(WINDOW, "after")
    behind.live.execute("UPDATE bank.acct SET balance = balance + 1000", DATABASE)
    window = Window(start, end)
    instant = choose(window, [clock]).instants["accounts"]
    poll("the lag to be over", lambda: behind.rds.now() > instant.timestamp() + 9 or None, 30)
    behind.live.execute("UPDATE bank.acct SET balance = balance + 1000", DATABASE)
    behind.settle()
    point_id = restore_point_id(instant, WINDOW)
    shelf = Shelf(Catalog(topology.destination, topology.name).folder(point_id), "accounts")
    backup: StoreBackup = store.mark(instant, shelf, print)
    assert store.restorable(backup).ready
    part = backup.model_copy(update={"details": {**backup.details, "fence": fence.to_dict(), "quiesced": True}})
    point = RestorePoint(
        id=point_id, topology="bank", topology_digest=topology.digest, midtime=instant, started_at=start, finished_at=datetime.now(UTC),
        stores=(part,), evidence={"id": WINDOW, "window": window.to_dict()},
        origin=Origin(midtime_version="0", dag_id="d", run_id="r", host="h"),
    )  # fmt: skip
    return Marked(topology, point, behind, shelf, then)


@pytest.mark.parametrize("includes_second", [False, True])
def test_the_midtime_comes_back_and_is_good(marked: Marked, includes_second: bool) -> None:
    """Whether the service counts the second that follows makes no difference."""
    marked.behind.rds.settings(includes_second=includes_second)
    found, balance = marked.drill()
    assert found.good, found.summary()
    assert found.verdict
    assert found.verdict.outcome is Outcome.GOOD
    assert balance == marked.then


@pytest.mark.parametrize(("moved", "grew"), [(-6, False), (7, True)])
def test_a_restore_that_lands_elsewhere_is_found(marked: Marked, moved: int, grew: bool) -> None:
    marked.behind.rds.settings(includes_second=False)
    found, balance = marked.drill(timedelta(seconds=moved))
    assert not found.good
    assert found.verdict
    assert found.verdict.outcome is Outcome.TORN, found.summary()
    assert (balance > marked.then) is grew


def test_the_live_one_went_on(marked: Marked) -> None:
    assert int(marked.behind.live.execute(BALANCES, DATABASE)[0][0]) > marked.then

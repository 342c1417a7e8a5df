"""What is in a flexible server: its clock, its fence rows, and what the project's own readers find on a restored one.

The control plane is a double; the databases are real. Where Azure would restore, the test does it: a real PostgreSQL is brought back by its own
point-in-time recovery from a base backup and archived WAL, to the instant that the store asks for, at another address.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime.fencing import fenced
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import Origin, RestorePoint
from midtime.model.topology import Topology
from midtime.model.window import Window
from midtime.preflight import require
from midtime.stores import open_managed
from midtime.stores.base import Shelf, Target, ask
from midtime.verification import Verification, verify
from midtime.verify.verdict import Outcome
from tests.integration.azure_database_behind import HERE, PostgresHistory
from tests.integration.azure_database_setting import LIVE, Shop, login
from tests.integration.mysql_setting import ROWS, SCHEMA
from tests.integration.pitr_setting import DATABASE, Archiving, archiving, folder_of_the_server
from tests.stack.azure_database import AzureDatabase
from tests.stack.mariadb import MariaDB
from tests.stack.processes import Processes, poll

pytestmark = pytest.mark.integration
__all__ = ["archiving"]

WINDOW = "0123456789ab"
THERE = "127.0.0.2"
COPIED = "INSERT INTO bank.acct SELECT {0}, 1000, 'x{0}', 3, 1, {1}, {1} + 1; INSERT INTO coordinator.state VALUES ('x{0}', NULL, 3, {1})"


class Data(Shop):
    """A server with a database behind it.

    :param conn: the Airflow connection to that
    """

    def __init__(self, server: AzureDatabase, dialect: str, folder: Path, conn: str, patch: pytest.MonkeyPatch) -> None:
        super().__init__(server, dialect, folder, data_conn_id="shop_data", fence=True)
        body = self.topology.model_dump(mode="json", exclude_unset=True)
        body["stores"][0]["namespaces"] = ["bank"]
        self.topology = Topology.model_validate(body)
        server.reset()
        self.fill()
        server.settings(lag=0.5, addresses={LIVE: HERE})
        patch.setenv("AIRFLOW_CONN_SHOP_DATA", conn)

    def back_up(self, write: Any) -> RestorePoint:
        """A window in which nobody writes but the fence, and things that are written around it."""
        store = open_managed(self.topology, "shop")
        with fenced(store) as fence:
            write(1001)
            fence.connect()
            start = datetime.now(UTC)
            fence.write(WINDOW, "before")
            offset = store.read_clock()
            instant = int(time.time() + offset.high.total_seconds()) + 2
            poll("the hold", lambda: time.time() > instant + 2 or None, 30)
            end = datetime.now(UTC)
            fence.write(WINDOW, "after")
            write(1002)
            self.server.wait_restorable(instant + 5)
            self.at = datetime.fromtimestamp(instant, UTC)
            point = restore_point_id(start, WINDOW)
            marked = store.mark(self.at, Shelf(self.catalog.folder(point), "shop"), print)
            self.backup = marked.model_copy(update={"details": {**marked.details, "fence": fence.to_dict(), "quiesced": True}})
        self.shelf = Shelf(self.catalog.folder(point), "shop")
        return RestorePoint(
            id=point, topology="shop", topology_digest=self.topology.digest, midtime=self.at, started_at=start, finished_at=end,
            stores=(self.backup,), evidence={"id": WINDOW, "window": Window(start, end).to_dict()},
            origin=Origin(midtime_version="0", dag_id="d", run_id="r", host="h"),
        )  # fmt: skip


@contextmanager
def recovered(history: PostgresHistory, instant: datetime) -> Iterator[None]:
    """What Azure does: the logins and everything else as of the instant, at another address."""
    server = history.restored(instant, THERE)
    try:
        yield
    finally:
        server.stop()


@pytest.fixture
def bank(azure_database_server: AzureDatabase, archiving: Archiving, tmp_path: Path) -> Iterator[Data]:
    with login(azure_database_server) as patch:
        yield Data(azure_database_server, "postgresql", tmp_path, archiving.server.conn_uri(DATABASE), patch)


def drilled(bank: Data, point: RestorePoint, run: str, then: Any) -> tuple[Target, Verification]:
    """Restored while the service is at it, and verified.

    :param then: what the service has restored, while it is open
    """
    target: Target = bank.store.target(None, run=run, drill=True, in_place=False)
    bank.server.settings(addresses={LIVE: HERE, target.final: THERE})
    with then:
        bank.restore(target)
        return target, verify(bank.topology, point, [target])


def test_a_bank_comes_back_to_the_midtime(bank: Data, archiving: Archiving) -> None:
    """The fence proves it: restored to the instant it is good, some seconds later it is torn."""
    with folder_of_the_server("mt-az-") as folder:
        processes = Processes(folder)
        history = PostgresHistory(archiving, folder, processes)
        point = bank.back_up(lambda n: archiving.execute(COPIED.format(n, int(time.time() * 1000))))
        poll("a commit behind the later instant", lambda: time.time() > bank.at.timestamp() + 6 or None, 30)
        archiving.execute(COPIED.format(1003, int(time.time() * 1000)))
        try:
            said = {check.question: check.detail for check in require(ask("shop", bank.store.questions()))}
            assert said["is where its data are"] == HERE
            target, found = drilled(bank, point, "abc123", recovered(history, bank.at))
            assert found.good, found.summary()
            assert found.verdict
            assert found.verdict.outcome is Outcome.GOOD
            assert found.verdict.records_read == 501
            assert found.settings == ()
            late = recovered(history, bank.at + timedelta(seconds=5))
            _, found = drilled(bank, point, "def456", late)
            assert found.verdict
            assert found.verdict.outcome is Outcome.TORN, found.summary()
            bank.store.discard(target)
        finally:
            processes.stop()


def test_a_server_that_does_not_let_the_worker_in_is_waited_for(bank: Data) -> None:
    """Nobody listens at its address."""
    bank.server.settings(addresses={LIVE: HERE, "shop-new": "127.0.0.3"})
    bank.mark()
    target = bank.target(to="shop-new")
    for _ in range(100):
        waiting = bank.store.restore(bank.backup, bank.shelf, target, print)
        if "does not let this worker in" in waiting.detail:
            return
    pytest.fail(waiting.detail)


def test_mysql(azure_database_server: AzureDatabase, mariadb_server: MariaDB, tmp_path: Path) -> None:
    """Clock, fence and readers; nobody restores a MySQL here, so what they read is the live one."""
    names = {"bank": "bank", "coordinator": "coordinator", "scalardb": "scalardb"}
    mariadb_server.execute("".join(f"DROP DATABASE IF EXISTS {each};" for each in names))
    mariadb_server.execute((SCHEMA + ROWS).format(**names))
    with login(azure_database_server) as patch:
        conn = {
            "conn_type": "mysql", "host": HERE, "port": mariadb_server.port, "login": mariadb_server.user, "password": mariadb_server.password,
        }  # fmt: skip
        shop = Data(azure_database_server, "mysql", tmp_path, json.dumps(conn), patch)
        said = {check.question: check.detail for check in require(ask("shop", shop.store.questions()))}
        assert said["has its namespaces"].endswith("bank, coordinator, scalardb")
        point = shop.back_up(lambda _: None)
        reading = shop.store.read_clock()
        assert reading.low < timedelta(seconds=1)
        assert reading.high > timedelta(seconds=-1)
        assert reading.width < timedelta(seconds=1)
        target: Target = shop.store.target(None, run="abc123", drill=True, in_place=False)
        shop.server.settings(addresses={LIVE: HERE, target.final: HERE})
        shop.restore(target)
        with shop.store.restored(shop.backup, target) as restored:
            assert restored.fences(WINDOW, "bank") == {"before", "after"}
            assert restored.schema_differences() == []
            assert restored.scalar("select count(*) from bank.acct") == 500
        found = verify(shop.topology, point, [target])
        assert found.verdict
        assert found.verdict.outcome is Outcome.TORN, "it holds the row of after the window"
        assert found.verdict.records_read == 500
        mariadb_server.execute("DROP DATABASE coordinator")
        with shop.store.restored(shop.backup, target) as restored:
            assert restored.schema_differences() == ["database coordinator: missing"]
        mariadb_server.execute("DROP DATABASE bank; DROP DATABASE scalardb;")

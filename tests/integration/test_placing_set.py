"""PostgreSQL, MariaDB and a SQLite file as one set: whoever is killed between two steps, all of it is placed in the end, or none of it."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from midtime import products
from midtime.catalog import Catalog
from midtime.catalog.placings import State, journal_of
from midtime.errors import MidtimeError, RestoreFailedError, StoreUnreachableError
from midtime.model.instants import restore_point_id, utc_now
from midtime.model.restore_point import Origin, RestorePoint
from midtime.model.topology import Topology
from midtime.placing import Placing
from midtime.restoring import Plan, reserve
from midtime.stores import open_store
from midtime.stores.base import Shelf, Target
from midtime.stores.mysql.store import MysqlStore
from midtime.stores.postgresql.store import PostgresqlStore
from midtime.stores.sqlite.store import SqliteStore
from tests.integration.fixtures import Database
from tests.integration.mysql_setting import MysqlSetting, everything
from tests.unit.processes import FORK
from tests.unit.stores.sqlite.setting import HOLDER, elsewhere, make_database, process

pytestmark = pytest.mark.integration
STORES = (PostgresqlStore, MysqlStore, SqliteStore)
OLD, NEW = [0, 0, 0], [500_000, 500_000, 500_000]


@dataclass
class LiveSet:
    """Three stores that were backed up, restored and verified, and whose live ones have changed since."""

    topology: Topology
    catalog: Catalog
    database: Database
    mysql: MysqlSetting
    file: Path
    log: Path
    """What was done to the products, by whatever process."""
    point: str = ""
    targets: tuple[Target, ...] = ()
    leases: list[str] = field(default_factory=list)

    def back_up_and_restore(self) -> None:
        parts = []
        self.point = restore_point_id(utc_now(), uuid.uuid4().hex)
        for spec in self.topology.stores:
            store = open_store(self.topology, spec.name)
            with store.capture() as capture:
                parts.append(store.copy(capture, self._shelf(spec.name), lambda _: None))
        now = utc_now()
        manifest = RestorePoint(
            id=self.point,
            topology=self.topology.name,
            topology_digest=self.topology.digest,
            midtime=now,
            started_at=now,
            finished_at=now,
            stores=tuple(parts),
            origin=Origin(midtime_version="0", dag_id="d", run_id="r", host="h"),
        )
        self.catalog.publish(manifest)
        for part in parts:
            store = open_store(self.topology, part.store)
            target = store.target(None, run="abc123", drill=False, in_place=True)
            store.restore(part, self._shelf(part.store), target, lambda _: None)
            self.targets += (target,)

    def _shelf(self, store: str) -> Shelf:
        return Shelf(self.catalog.folder(self.point), store)

    def placing(self, *, again: bool = False) -> Placing:
        """Of a new run over the same working copies, or of the last one."""
        if not again:
            self.leases.append(f"restore-{len(self.leases):06x}")
            plan = Plan("restore", self.point, utc_now(), utc_now(), True, self.targets, self.leases[-1])
            reserve(self.catalog, plan, "run")
        lease = self.catalog.leases.current(self.leases[-1])
        assert lease
        return Placing(self.topology, self.catalog, lease, lambda _: None)

    @property
    def state(self) -> State:
        return journal_of(self.catalog, self.leases[-1]).state

    def sums(self) -> list[int]:
        (postgres,) = self.database.execute("SELECT sum(balance) FROM bank.acct")[0]
        (mysql,) = self.mysql.execute("SELECT sum(balance) FROM {bank}.acct")[0]
        sqlite = elsewhere(self.file, 'SELECT sum(balance) FROM "bank$acct"')
        return [int(postgres), int(mysql), int(sqlite.strip("[](),"))]

    def everything(self) -> dict[str, Any]:
        """Byte for byte, or as near to it as a server lets us look."""
        found = everything(self.mysql)
        found["identities"] = self.database.server.execute("SELECT datname, oid FROM pg_database WHERE datname LIKE 'test%' ORDER BY 1")
        found["acct"] = self.database.execute("SELECT md5(string_agg(a::text, '' ORDER BY id)) FROM bank.acct a")
        files = {each.name: each.read_bytes() for each in self.file.parent.iterdir() if not each.name.startswith("midtime_tmp_")}
        found["files"] = {name: held for name, held in files.items() if held and not name.endswith("-shm")}
        return found

    @property
    def running(self) -> bool:
        done = self.log.read_text().split()
        return done[-1] == "start" if done else True

    def put_back_by_hand(self) -> None:
        """For the next round."""
        manifest = self.catalog.load(self.point)
        for target in self.targets:
            open_store(self.topology, target.store).put_back(manifest.store(target.store), target)


@pytest.fixture
def live(database: Database, mysql_setting: MysqlSetting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveSet:
    (tmp_path / "data").mkdir()
    file = make_database(tmp_path / "data" / "bank.db")
    bank, coordinator = mysql_setting.names("{bank} {coordinator}").split()
    mysql = mysql_setting.topology.model_dump(mode="json", exclude_unset=True)["stores"][0]
    stores = [
        {"name": "accounts", "engine": "postgresql", "conn_id": "accounts_db", "namespaces": ["bank"]},
        mysql | {"name": "points"},
        {"name": "notes", "engine": "sqlite", "path": str(file), "namespaces": ["bank"]},
    ]
    body = {
        "name": "bank",
        "destination": f"file://{tmp_path}/set",
        "products": [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:1"]}, "stop": "true", "start": "true"}],
        "scalardb": mysql_setting.topology.model_dump(mode="json", exclude_unset=True).get("scalardb", {})
        | {"coordinators": [{"store": "accounts"}]},
        "stores": stores,
    }
    topology = Topology.model_validate(body)
    log = tmp_path / "products"
    log.touch()
    _play_products(log, monkeypatch)
    made = LiveSet(topology, Catalog(topology.destination, "bank"), database, mysql_setting, file, log)
    made.back_up_and_restore()
    database.execute("UPDATE bank.acct SET balance = 0")
    mysql_setting.execute("UPDATE {bank}.acct SET balance = 0")
    elsewhere(file, 'UPDATE "bank$acct" SET balance = 0')
    assert (made.sums(), bank != coordinator) == (OLD, True)
    return made


def _play_products(log: Path, patch: pytest.MonkeyPatch) -> None:
    def note(what: str) -> Callable[..., Any]:
        def act(*_: Any, **__: Any) -> Iterator[str]:
            with log.open("a") as file:
                file.write(f"{what}\n")
            return iter(())

        return act

    patch.setattr(products, "find_all", lambda _: {"scalardb-server": ("127.0.0.1:1",)})
    patch.setattr(products, "require_serving", lambda _: iter(()))
    patch.setattr(products, "stop_all", note("stop"))
    patch.setattr(products, "start_all", note("start"))


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Fork a process that is killed at the so many-th end of a step: before or after a store is placed or put back, or a product acted on."""

    def run() -> None:
        left = [step]
        for kind in STORES:
            for name in ("place", "put_back"):
                setattr(kind, name, _counted(getattr(kind, name), left))
        for name in ("stop_all", "start_all"):
            setattr(products, name, _counted(getattr(products, name), left))
        with suppress(MidtimeError):
            work()
        os._exit(0)

    child = FORK.Process(target=run, daemon=True)
    child.start()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


def _counted(function: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    def count() -> None:
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    def counted(*args: Any, **kwargs: Any) -> Any:
        count()
        found = function(*args, **kwargs)
        count()
        return found

    return counted


def test_killed_on_the_way_forward(live: LiveSet) -> None:
    """Between any two steps: tried again, all of it is placed; given up, none of it is, or all of it where all of it was."""
    before, step, ended = live.everything(), 0, []
    while killed_at(step, live.placing().place):
        last = live.placing(again=True)
        if step % 2 and last.journal.state is not State.PLACED:
            last.place()
            assert (live.sums(), live.state) == (NEW, State.DONE), step
        else:
            placed = last.journal.state is State.PLACED
            last.settle()
            assert (live.sums(), live.state) == (NEW if placed else OLD, State.ENDED), step
        assert live.running
        ended.append(live.sums() == NEW)
        live.put_back_by_hand()
        assert live.everything() == before, step
        step += 1
    assert (live.sums(), live.running, step) == (NEW, True, 10)
    assert set(ended) == {True, False}


def test_a_store_that_cannot_be_placed_takes_the_others_back(live: LiveSet) -> None:
    """Somebody has the third one open: nothing of the first two is left; then he goes, and it is tried again."""
    before = live.everything()
    with process(HOLDER, str(live.file), "BEGIN IMMEDIATE"):
        with pytest.raises(
            StoreUnreachableError, match=r"store notes could not be put in place: .*in use; everything is as it was, and the products"
        ):
            live.placing().place()
        assert live.log.read_text().split() == ["stop", "start"]
    assert live.everything() == before
    live.placing(again=True).place()
    assert (live.sums(), live.running) == (NEW, True)


def test_killed_on_the_way_back(live: LiveSet) -> None:
    """The same, and its process is killed while it puts the others back: the teardown goes on with that."""
    before, step = live.everything(), 8  # of the steps before, the other test knows
    with process(HOLDER, str(live.file), "BEGIN IMMEDIATE"):
        while killed_at(step, live.placing().place):
            assert live.state in (State.PUTTING_BACK, State.PUT_BACK)
            live.placing(again=True).settle()
            assert (live.state, live.running) == (State.ENDED, True)
            assert live.everything() == before, step
            step += 1
    assert step > 12
    assert live.everything() == before


def test_one_that_cannot_be_put_back_keeps_the_products_stopped(live: LiveSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server is away at the worst moment. When it is back, the teardown ends it."""

    def away(*_: Any) -> None:
        raise StoreUnreachableError("does not answer")

    before = live.everything()
    with monkeypatch.context() as patch, process(HOLDER, str(live.file), "BEGIN IMMEDIATE"):
        patch.setattr(MysqlStore, "put_back", away)
        with pytest.raises(
            RestoreFailedError,
            match=r"THE SET IS HALF RESTORED.*MUST STAY SO.*store points .*does not answer; as they were: accounts, notes",
        ):
            live.placing().place()
    assert live.sums() == [0, 500_000, 0]
    assert not live.running
    live.placing(again=True).settle()
    assert live.everything() == before
    assert live.running

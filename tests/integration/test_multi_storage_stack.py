"""One ScalarDB over two databases, the real one: where its tables are, that a pause holds it, and that without a pause backups tear.

No window of ours and no Airflow here: captures of the stores' own code, restored and judged. It shows what the window is for.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from midtime.catalog import Catalog
from midtime.model.instants import restore_point_id, utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.base import Shelf, Target
from midtime.verify.facts import Bounds, TopologyFacts
from midtime.verify.judge import judge
from midtime.verify.verdict import Outcome, Rule, Verdict
from tests.stack.bank import Bank
from tests.stack.postgres import Postgres
from tests.stack.processes import poll
from tests.stack.scalardb import ScalarDB
from tests.stack.stack import TWO_DATABASES

pytestmark = pytest.mark.integration
APART = 0.02
ONE_CLOCK = TopologyFacts(clock_bound_ms=0)
"""The databases, ScalarDB and we are on one machine."""
TABLES = """
SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1
"""
ACCOUNTS = "SELECT balance, before_balance, tx_state, tx_id FROM {namespace}.acct"
COMMITTED = 3


@contextmanager
def paused(server: ScalarDB) -> Iterator[datetime]:
    """Drained, by the vendor's own command; since when."""
    server.admin("pause")
    try:
        yield utc_now()
    finally:
        server.admin("unpause")


@contextmanager
def not_paused() -> Iterator[datetime]:
    yield utc_now()


@contextmanager
def busy(bank: Bank, seconds: float = 1.0) -> Iterator[None]:
    """Under load, and warm."""
    before = bank.commits
    bank.start(threads=8)
    try:
        poll("commits", lambda: bank.commits > before + 50 or None, timeout=60)
        time.sleep(seconds)
        yield
    finally:
        bank.stop()


class TestStack:
    def test_metadata_of_each_table_lie_in_its_own_database(self, postgres_server: Postgres, multi_scalardb: ScalarDB) -> None:
        tables = {name: [table for (table,) in postgres_server.execute(TABLES, name)] for name in TWO_DATABASES}
        assert tables == {
            "bank_a": ["bank_a.acct", "coordinator.state", "scalardb.metadata"],
            "bank_b": ["bank_b.acct", "scalardb.metadata"],
        }
        described = {
            name: {table for (table,) in postgres_server.execute("SELECT DISTINCT full_table_name FROM scalardb.metadata", name)}
            for name in TWO_DATABASES
        }
        assert described == {"bank_a": {"bank_a.acct", "coordinator.state"}, "bank_b": {"bank_b.acct"}}

    def test_money_goes_between_the_databases_and_none_is_lost(self, postgres_server: Postgres, multi_bank: Bank) -> None:
        sums = "SELECT sum(balance) FROM {}.acct"
        before = [postgres_server.execute(sums.format(name), name) for name in TWO_DATABASES]
        with busy(multi_bank):
            pass
        assert [postgres_server.execute(sums.format(name), name) for name in TWO_DATABASES] != before
        assert multi_bank.total() == multi_bank.expected_total

    def test_a_pause_stops_the_bank_until_it_is_lifted(self, multi_scalardb: ScalarDB, multi_bank: Bank) -> None:
        with busy(multi_bank):
            with paused(multi_scalardb):
                assert "true" in multi_scalardb.admin("check_paused")
                commits, refused = multi_bank.commits, multi_bank.refused
                time.sleep(0.5)
                assert multi_bank.commits == commits
                assert multi_bank.refused > refused
            assert "false" in multi_scalardb.admin("check_paused")
            poll("commits after the pause", lambda: multi_bank.commits > commits + 20 or None, timeout=30)
        assert multi_bank.total() == multi_bank.expected_total

    def test_a_second_server_sees_the_same_accounts_and_is_paused_by_itself(
        self, multi_scalardb: ScalarDB, multi_scalardb_2: ScalarDB, multi_bank: Bank
    ) -> None:
        other = Bank(multi_scalardb_2.address, multi_bank.size, multi_bank.tables)
        try:
            with busy(multi_bank), busy(other), paused(multi_scalardb):
                commits, others = multi_bank.commits, other.commits
                poll("commits of the other", lambda: other.commits > others + 10 or None, timeout=30)
                assert multi_bank.commits == commits
            assert other.total() == multi_bank.total() == multi_bank.expected_total
        finally:
            other.close()


class Backups:
    """Captures of both stores, restored to databases of their own and judged."""

    def __init__(self, folder: Path, server: Postgres) -> None:
        stores = [{"name": name, "engine": "postgresql", "conn_id": f"{name}_db", "namespaces": [name]} for name in TWO_DATABASES]
        self.topology = Topology.model_validate(
            {
                "name": "two",
                "destination": f"file://{folder}/restore-points",
                "products": [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:1"]}}],
                "scalardb": {"coordinators": [{"store": "bank_a"}]},
                "stores": stores,
            }
        )
        self._server = server
        self._catalog = Catalog(self.topology.destination, self.topology.name)

    def take(self, order: Sequence[str], window: AbstractContextManager[datetime]) -> tuple[list[StoreBackup], str, Bounds]:
        """Both armed, then captured a moment apart in the window, then copied: the backups, the point, the window's bounds."""
        with ExitStack() as stack:
            armed = {name: stack.enter_context(open_store(self.topology, name).arm()) for name in order}
            with window as start:
                captures = {}
                for name in order:
                    captures[name] = armed[name].fix()
                    time.sleep(APART)
                end = utc_now()
            point = restore_point_id(end, uuid.uuid4().hex)
            bounds = Bounds(int(start.timestamp() * 1000), int(end.timestamp() * 1000))
            return [self._copy(name, capture, point) for name, capture in captures.items()], point, bounds

    def _copy(self, name: str, capture: object, point: str) -> StoreBackup:
        return open_store(self.topology, name).copy(capture, self._shelf(point, name), lambda _: None)

    def _shelf(self, point: str, name: str) -> Shelf:
        return Shelf(self._catalog.folder(point), name)

    def judged(self, backups: Sequence[StoreBackup], point: str, bounds: Bounds, facts: TopologyFacts) -> tuple[Verdict, int]:
        """Restored, read, removed again: the verdict, and the money in it."""
        with ExitStack() as stack:
            targets = {}
            for backup in backups:
                store = open_store(self.topology, backup.store)
                target = store.target(None, run=uuid.uuid4().hex[:6], drill=True, in_place=False)
                stack.callback(store.discard, target)
                store.restore(backup, self._shelf(point, backup.store), target, lambda _: None)
                targets[backup.store] = target
            sets = [stack.enter_context(open_store(self.topology, each.store).restored(each, targets[each.store])) for each in backups]
            sources = {backup.store: restored.records() for backup, restored in zip(backups, sets, strict=True)}
            coordinators = [coordinator for restored in sets for coordinator in restored.coordinators()]
            assert [coordinator.name for coordinator in coordinators] == ["bank_a/coordinator"]
            return judge(sources, coordinators, facts, bounds), self._money(targets)

    def _money(self, targets: dict[str, Target]) -> int:
        """The sum, as ScalarDB would read it: what is in flight goes the way that the Coordinator's row says."""
        committed = "SELECT tx_id FROM coordinator.state WHERE tx_state = 3"
        rows = {tx_id for (tx_id,) in self._server.execute(committed, targets["bank_a"].working)}
        records = [
            record for name in TWO_DATABASES for record in self._server.execute(ACCOUNTS.format(namespace=name), targets[name].working)
        ]
        return sum(new if state == COMMITTED or tx_id in rows else old for new, old, state, tx_id in records)


@pytest.fixture
def backups(tmp_path: Path, postgres_server: Postgres, multi_scalardb: ScalarDB, monkeypatch: pytest.MonkeyPatch) -> Backups:
    (tmp_path / "staging").mkdir()
    monkeypatch.setenv("MIDTIME_STAGING", str(tmp_path / "staging"))
    monkeypatch.setenv("PATH", str(postgres_server.bin_dir), prepend=":")
    for name in TWO_DATABASES:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}_DB", postgres_server.conn_uri(name))
    return Backups(tmp_path, postgres_server)


class TestTear:
    @pytest.mark.parametrize(
        ("order", "facts", "rules"),
        [
            (("bank_a", "bank_b"), TopologyFacts(), {Rule.UNKNOWN, Rule.TWO_STORES, Rule.HALF_COMMITTED}),
            (("bank_b", "bank_a"), ONE_CLOCK, {Rule.STAMP, Rule.STAMP_AFTER_END}),
        ],
        ids=["coordinator-first", "coordinator-last"],
    )
    def test_without_a_pause_a_backup_is_torn(
        self, backups: Backups, multi_bank: Bank, order: tuple[str, ...], facts: TopologyFacts, rules: set[Rule]
    ) -> None:
        """If it were not, the test below would prove nothing. The Coordinator first: its rows are missing; last: only stamps tell."""
        seen = []
        for _ in range(8):
            with busy(multi_bank):
                taken, point, bounds = backups.take(order, not_paused())
            verdict, money = backups.judged(taken, point, bounds, facts)
            seen.append(f"{verdict.summary()}; money off by {money - multi_bank.expected_total}")
            if verdict.outcome is Outcome.TORN and money != multi_bank.expected_total:
                assert rules & set(verdict.counts), verdict.summary()
                return
        pytest.fail(f"no backup was torn: {seen}")

    @pytest.mark.parametrize("order", [("bank_a", "bank_b"), ("bank_b", "bank_a")], ids=["coordinator-first", "coordinator-last"])
    def test_in_a_pause_it_is_whole(self, backups: Backups, multi_scalardb: ScalarDB, multi_bank: Bank, order: tuple[str, ...]) -> None:
        """The same captures of the same bank, and rules that allow the clocks nothing."""
        with busy(multi_bank):
            taken, point, bounds = backups.take(order, paused(multi_scalardb))
            commits = multi_bank.commits
            poll("commits after the pause", lambda: multi_bank.commits > commits + 20 or None, timeout=30)
        verdict, money = backups.judged(taken, point, bounds, ONE_CLOCK)
        assert verdict.outcome is Outcome.GOOD, verdict.summary()
        assert money == multi_bank.expected_total
        assert verdict.records_read == len(multi_bank.accounts)

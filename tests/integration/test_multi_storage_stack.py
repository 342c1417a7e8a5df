"""One ScalarDB over two databases, the real one: where its tables are, and that a pause, by the vendor's own command, holds it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.sets import busy
from tests.stack.bank import Bank
from tests.stack.postgres import Postgres
from tests.stack.processes import poll
from tests.stack.scalardb import ScalarDB
from tests.stack.stack import TWO_DATABASES

pytestmark = pytest.mark.integration
TABLES = """
SELECT schemaname || '.' || tablename FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename <> 'midtime_fence' ORDER BY 1
"""


@contextmanager
def paused(server: ScalarDB) -> Iterator[None]:
    """Drained, by the vendor's own command."""
    server.admin("pause")
    try:
        yield
    finally:
        server.admin("unpause")


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

    @pytest.mark.long  # test_two_phase_commit.py has two servers
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

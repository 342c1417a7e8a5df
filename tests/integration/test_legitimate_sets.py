"""What looks like a tear and is none, as the real ScalarDB leaves it: good where the topology says so, and told where it does not.

One ScalarDB over two PostgreSQL databases that commits in groups, whose second table was imported with its rows; beside it another one
with the ``jdbc`` transaction manager, which knows no Coordinator. ScalarDB 3.13 has no one-phase commit: its records are made out of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from midtime.verify.coordinators import parent_and_child
from midtime.verify.verdict import Outcome, Reason, Rule
from tests.integration.sets import Restored, Sets, Taken, busy, customers, sets_of
from tests.stack.bank import START_BALANCE, Bank
from tests.stack.scalardb import ScalarDB, account_schema, jdbc_storage
from tests.stack.stack import Stack

pytestmark = pytest.mark.integration
FIRST, SECOND = "legit_a", "legit_b"
UNTOUCHED = 10
"""Imported rows that no transaction writes to."""
EXISTING = f"""
CREATE SCHEMA {SECOND};
CREATE TABLE {SECOND}.acct (id int PRIMARY KEY, balance int, owner text);
INSERT INTO {SECOND}.acct SELECT id, {START_BALANCE}, 'a customer of old' FROM generate_series(0, 59) id
"""
PLAIN = f"{FIRST}.plain"
PURGE = "DELETE FROM coordinator.state WHERE tx_created_at < (SELECT max(tx_created_at) - 500 FROM coordinator.state)"
ONE_PHASE = "UPDATE {namespace}.acct SET tx_committed_at = tx_prepared_at WHERE tx_id = ANY(string_to_array('TX_IDS', ','))"


@pytest.fixture(scope="module")
def grouped(stack: Stack) -> Iterator[ScalarDB]:
    """Commits in groups; one of its tables was there before it."""
    places = stack.in_postgres(FIRST, SECOND)
    places[SECOND].execute(EXISTING)
    server = stack.scalardb_over(
        places, "scalardb-groups", tables=[f"{FIRST}.acct"], consensus_commit__coordinator__group_commit__enabled="true"
    )
    with closing(server):
        server.import_tables(f"{SECOND}.acct")
        yield server


@pytest.fixture(scope="module")
def other_manager(stack: Stack, grouped: ScalarDB) -> Iterator[Bank]:
    """Transfers by the ``jdbc`` transaction manager, in one of the databases."""
    properties = {**jdbc_storage(stack.postgres, FIRST), "scalar.db.transaction_manager": "jdbc"}
    server = ScalarDB(stack.processes, properties, schema=account_schema(PLAIN, transaction=False), name="scalardb-jdbc")
    with closing(server.start()), closing(Bank(server.address, 50, [PLAIN])) as bank:
        yield bank.load()


@pytest.fixture(scope="module")
def bank(stack: Stack, grouped: ScalarDB) -> Bank:
    return stack.bank_over(grouped, (FIRST, SECOND))


@pytest.fixture(scope="module")
def sets(stack: Stack, grouped: ScalarDB, bank: Bank, other_manager: Bank, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sets]:
    with sets_of(tmp_path_factory.mktemp("sets"), stack.in_postgres(FIRST, SECOND), [grouped]) as sets:
        sets.grouped = True
        yield sets


@pytest.fixture(scope="module")
def taken(stack: Stack, sets: Sets, grouped: ScalarDB, bank: Bank, other_manager: Bank) -> Taken:
    """Captured in a window, both banks being under load."""
    with customers(stack.processes, grouped, bank, sets.commits), busy(other_manager, seconds=0.2):
        return sets.take()


@pytest.fixture
def restored(sets: Sets, taken: Taken) -> Iterator[Restored]:
    with sets.restored(taken) as restored:
        yield restored


def test_group_commit_import_and_another_manager(restored: Restored, bank: Bank, other_manager: Bank) -> None:
    """Good, although the transactions' own ids are in no Coordinator, some records have none, and one table's belong to another manager."""
    found = restored.verify()
    assert found.good, found.summary()
    assert found.verdict is not None
    assert found.verdict.explained == {Reason.IMPORTED: UNTOUCHED}
    assert found.verdict.non_transactional == (f"{FIRST}: {PLAIN}", f"{FIRST}: scalardb.metadata", f"{SECOND}: scalardb.metadata")
    assert restored.money() == bank.expected_total + UNTOUCHED * START_BALANCE
    assert restored.execute(FIRST, f"SELECT sum(balance) FROM {PLAIN}") == [(other_manager.expected_total,)]
    full = {tx_id for store in (FIRST, SECOND) for (tx_id,) in restored.execute(store, "SELECT tx_id FROM {namespace}.acct") if tx_id}
    known = {tx_id for (tx_id,) in restored.execute(FIRST, "SELECT tx_id FROM {coordinator}.state")}
    assert any(parent_and_child(tx_id) for tx_id in full - known), "nothing was committed in a group"


def test_a_group_that_lacks_a_child(restored: Restored) -> None:
    """The row is there, the transaction is not in it: torn."""
    groups = dict(restored.execute(FIRST, "SELECT tx_id, tx_child_ids FROM {coordinator}.state WHERE tx_child_ids <> ''"))
    shown = sorted(tx_id for (tx_id,) in restored.execute(FIRST, "SELECT tx_id FROM {namespace}.acct WHERE tx_state = 3"))
    group, child = next(parts for tx_id in shown if (parts := parent_and_child(tx_id)) and parts[0] in groups)
    left = ",".join(each for each in groups[group].split(",") if each != child)
    restored.execute(FIRST, f"UPDATE {{coordinator}}.state SET tx_child_ids = '{left}' WHERE tx_id = '{group}'")
    verdict = restored.verdict()
    assert verdict.outcome is Outcome.TORN
    assert f"{group}:{child}" in {finding.tx_id for finding in verdict.findings}


def test_purge(stack: Stack, sets: Sets, grouped: ScalarDB, bank: Bank) -> None:
    """Rows of finished transactions are removed from the living Coordinator, as a purge does it."""
    with customers(stack.processes, grouped, bank, sets.commits):
        pass
    sets.places[FIRST].execute(PURGE)
    taken = sets.take()
    with sets.restored(taken) as restored:
        declared, silent = restored.verify(sets.declaring(purge=True)), restored.verify()
        money = restored.money()
    assert declared.good, declared.summary()
    assert declared.verdict is not None
    assert declared.verdict.explained[Reason.PURGED] > 0
    assert money == bank.expected_total + UNTOUCHED * START_BALANCE
    assert silent.verdict is not None
    assert silent.verdict.outcome is Outcome.TORN
    assert {Rule.UNKNOWN, Rule.TWO_STORES} & silent.verdict.counts.keys()


def test_one_phase_commit(restored: Restored) -> None:
    """As later versions leave it: one stamp for both steps, all of it in one store, and no row."""
    shown = {
        store: {tx_id for (tx_id,) in restored.execute(store, "SELECT tx_id FROM {namespace}.acct") if tx_id} for store in (FIRST, SECOND)
    }
    alone = shown[SECOND] - shown[FIRST]
    restored.execute(SECOND, ONE_PHASE.replace("TX_IDS", ",".join(alone)))
    restored.execute(FIRST, forgetting(alone))
    assert restored.verdict(one_phase_commit=True).outcome is Outcome.GOOD
    assert restored.verdict(one_phase_commit=True).explained[Reason.ONE_PHASE] >= len(alone)
    silent = restored.verdict()
    assert silent.outcome is Outcome.UNEXPLAINED
    assert silent.counts == {Rule.UNKNOWN: len(alone)}


def forgetting(tx_ids: set[str]) -> str:
    """Takes transactions out of the Coordinator: their own rows, and their places in those of their groups."""
    listed = ",".join(f"'{tx_id}'" for tx_id in tx_ids)
    return (
        f"DELETE FROM {{coordinator}}.state WHERE tx_id IN ({listed}); "
        "UPDATE {coordinator}.state SET tx_child_ids = (SELECT coalesce(string_agg(child, ','), '') "
        f"FROM unnest(string_to_array(tx_child_ids, ',')) child WHERE tx_id || ':' || child NOT IN ({listed})) WHERE tx_child_ids <> ''"
    )


def test_a_database_of_another_manager_alone(stack: Stack, sets: Sets, other_manager: Bank) -> None:
    """No Coordinator and no columns: nothing is said of transactions, and one snapshot is whole by itself."""
    with sets_of(stack.directory / "jdbc-sets", stack.in_postgres(FIRST), [], transaction_manager="jdbc") as alone:
        with busy(other_manager, seconds=0.2):
            taken = alone.take(paused=False)
        with alone.restored(taken) as restored:
            found = restored.verify()
            assert restored.execute(FIRST, f"SELECT sum(balance) FROM {PLAIN}") == [(other_manager.expected_total,)]
    assert found.good, found.summary()

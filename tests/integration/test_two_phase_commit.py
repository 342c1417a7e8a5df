"""Two-phase commit: two ScalarDB Servers, each over a database of its own, and one window over both.

ScalarDB 3.13: the server at which a transaction is begun writes the Coordinator row, the one that joined only reads it, for lazy recovery.
So both must have the same Coordinator; here it is in the first one's database. Group commit is refused together with this interface.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.integration.rounds import Rounds
from tests.integration.sets import Sets, busy, sets_of
from tests.stack.bank import Bank, TwoPhaseBank
from tests.stack.scalardb import ScalarDB
from tests.stack.stack import Stack

pytestmark = pytest.mark.integration
FIRST, SECOND = "phase_a", "phase_b"
ROUNDS = 1
MANY_ROUNDS = 100


@pytest.fixture(scope="module")
def servers(stack: Stack) -> Iterator[list[ScalarDB]]:
    """One over each database; both know the Coordinator in the first."""
    first, second = stack.in_postgres(FIRST), stack.in_postgres(SECOND)
    with ExitStack() as ends:
        yield [
            ends.enter_context(closing(stack.scalardb_over(places, f"scalardb-{next(iter(places))}", coordinator=first[FIRST])))
            for places in (first, second)
        ]


@pytest.fixture(scope="module")
def bank(servers: list[ScalarDB]) -> Iterator[Bank]:
    addresses = {f"{namespace}.acct": server.address for namespace, server in zip((FIRST, SECOND), servers, strict=True)}
    with closing(TwoPhaseBank(addresses)) as bank:
        yield bank.load()


@pytest.fixture(scope="module")
def sets(stack: Stack, servers: list[ScalarDB], bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sets]:
    with sets_of(tmp_path_factory.mktemp("sets"), stack.in_postgres(FIRST, SECOND), servers) as sets:
        yield sets


@pytest.mark.parametrize("rounds", [ROUNDS, pytest.param(MANY_ROUNDS, marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "order", [(FIRST, SECOND), pytest.param((SECOND, FIRST), marks=pytest.mark.long)], ids=["coordinator-first", "coordinator-last"]
)
def test_one_window_over_both(sets: Sets, bank: Bank, order: tuple[str, str], rounds: int, capsys: pytest.CaptureFixture[str]) -> None:
    seen = Rounds(sets, order, bank.expected_total)
    with busy(bank, think=0.05):
        seen.run(rounds)
    if rounds > ROUNDS:
        with capsys.disabled():
            print(f"\n{seen}")
    seen.require()
    assert bank.total() == bank.expected_total

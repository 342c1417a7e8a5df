"""The proof of the pause window: with it every set is whole, without it sets are torn, and verification says so of every one.

Real transactions between two databases, eight clients that never stop, captures 20 ms apart in both orders. An independent sum over the
accounts tells what is true; it knows nothing of verification, and verification nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.rounds import Rounds
from tests.integration.sets import Sets, customers, sets_of
from tests.stack.bank import Bank
from tests.stack.stack import Stack

pytestmark = pytest.mark.integration
ROUNDS = 2
MANY_ROUNDS = 100


@pytest.fixture(
    scope="module", params=[pytest.param("multi", marks=pytest.mark.long), "mixed"], ids=["postgresql-postgresql", "postgresql-mariadb"]
)
def proof(request: pytest.FixtureRequest, stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sets, Bank]]:
    """A ScalarDB over two databases, and its bank under load."""
    places, server, bank = (getattr(stack, f"{request.param}_{part}") for part in ("places", "scalardb", "bank"))
    with sets_of(tmp_path_factory.mktemp("sets"), places, [server]) as sets, customers(stack.processes, server, bank, sets.commits):
        yield sets, bank


@pytest.mark.parametrize("rounds", [ROUNDS, pytest.param(MANY_ROUNDS, marks=pytest.mark.long)])
@pytest.mark.parametrize("order", ["coordinator-first", pytest.param("coordinator-last", marks=pytest.mark.long)])
def test_whole_in_a_window_and_torn_without(proof: tuple[Sets, Bank], order: str, rounds: int, capsys: pytest.CaptureFixture[str]) -> None:
    sets, bank = proof
    seen = Rounds(sets, list(sets.places) if order == "coordinator-first" else list(reversed(sets.places)), bank.expected_total)
    seen.run(rounds)
    if rounds > ROUNDS:
        with capsys.disabled():
            print(f"\n{seen}")
    seen.require()

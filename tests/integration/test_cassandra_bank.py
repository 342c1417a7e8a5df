"""The proof of issue 7: a bank between a Cassandra of three nodes and a PostgreSQL, or within the Cassandra alone, that never stops.

With the window every set is whole and its sum exact; the same captures without it are torn, and verification says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.rounds import Rounds
from tests.integration.sets import Sets, customers, sets_of
from tests.stack.bank import Bank
from tests.stack.cassandra import CassandraCluster
from tests.stack.scalardb import Place
from tests.stack.stack import Stack

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.timeout(3600)]
ROUNDS = 2
"""A third one goes through a real Airflow, its drill included: ``test_airflow_cassandra.py``."""
MANY_ROUNDS = 10
CALM: Any = {"threads": 3, "think": 0.3}
"""Three nodes share the machine with everything else; a snapshot takes long enough for some transfers all the same."""


@pytest.fixture(scope="module")
def beside(stack: Stack) -> CassandraCluster:
    """Where drills go: a single node, so that nothing has to be restarted for each."""
    return stack.lone_cassandra


@pytest.fixture
def proof(stack: Stack, beside: CassandraCluster, tmp_path: Path) -> Iterator[tuple[Sets, Bank]]:
    """Cassandra, with the Coordinator, and PostgreSQL under one ScalarDB, and its bank under load: to each test its own.

    The next one has the Coordinator in the same cluster, and these customers are none that it pauses.
    """
    (ring, *_), server, bank = stack.ring_places, stack.ring_scalardb, stack.ring_bank
    with (
        sets_of(tmp_path, stack.ring_places, [server], drilled={ring: beside}) as sets,
        customers(stack.processes, server, bank, sets.commits, **CALM),
    ):
        yield sets, bank


@pytest.mark.parametrize(("rounds", "controls"), [(ROUNDS, 0), pytest.param(MANY_ROUNDS, MANY_ROUNDS, marks=pytest.mark.long)])
def test_whole_in_a_window_and_torn_without(
    proof: tuple[Sets, Bank], rounds: int, controls: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A set takes more than a minute, most of it JVMs that start: every day those without a window are left to ``test_torn_sets.py``."""
    sets, bank = proof
    seen = Rounds(sets, list(sets.places), bank.expected_total)
    seen.run(rounds, controls)
    with capsys.disabled():
        print(f"\n{seen}")
    seen.require()


@pytest.mark.long
def test_a_cluster_alone(stack: Stack, beside: CassandraCluster, tmp_path: Path) -> None:
    """No other database: its nodes are captured each on its own, so a pause is needed all the same."""
    places = {"bank_alone": Place(stack.cassandra)}
    server = stack.scalardb_over(places, "scalardb-alone")
    bank = stack.bank_over(server, places)
    try:
        with (
            sets_of(tmp_path, places, [server], drilled={"bank_alone": beside}) as sets,
            customers(stack.processes, server, bank, sets.commits, **CALM),
        ):
            seen = Rounds(sets, list(sets.places), bank.expected_total)
            seen.run(1)
    finally:
        server.close()
    assert not seen.spoilt, seen
    assert not seen.missed, seen

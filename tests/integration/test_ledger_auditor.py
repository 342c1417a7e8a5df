"""Ledger and Auditor in one topology: who is paused in what order, and one restore point for the stores of both.

The products are doubles: the Auditor has no public source. Their stores are real ones, with tables as ScalarDL leaves them: the Ledger's
with ScalarDB's columns, the Auditor's without.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from midtime.scalar.double import Double
from midtime.verify.verdict import Outcome
from tests.integration.sets import Sets, ready
from tests.stack.postgres import Postgres
from tests.stack.scalardb import Place

pytestmark = pytest.mark.integration
LEDGER, AUDITOR = "ledger", "auditor"
WITH_ROWS = {LEDGER: "ledger.asset", AUDITOR: "auditor.asset_proof"}
METADATA = "CREATE SCHEMA scalardb; CREATE TABLE scalardb.metadata (full_table_name text, column_name text, PRIMARY KEY (full_table_name, column_name));"
TABLES = {
    LEDGER: METADATA
    + """
CREATE SCHEMA coordinator; CREATE TABLE coordinator.state (tx_id text PRIMARY KEY, tx_state int, tx_created_at bigint);
CREATE SCHEMA ledger; CREATE TABLE ledger.asset (
    id text, age int, tx_id text, tx_state int, tx_version int, tx_prepared_at bigint, tx_committed_at bigint, PRIMARY KEY (id, age));
INSERT INTO coordinator.state SELECT 't' || n, 3, 1763700000000 + n FROM generate_series(1, 50) n;
INSERT INTO ledger.asset SELECT 'asset', n, 't' || n, 3, 1, 1763700000000 + n, 1763700000001 + n FROM generate_series(1, 50) n""",
    AUDITOR: METADATA
    + """
CREATE SCHEMA auditor; CREATE TABLE auditor.asset_proof (id text, age int, hash bytea, PRIMARY KEY (id, age));
INSERT INTO auditor.asset_proof SELECT 'asset', n, decode('00', 'hex') FROM generate_series(1, 50) n""",
}


@pytest.fixture(scope="module")
def places(postgres_server: Postgres) -> Iterator[dict[str, Place]]:
    found = {store: Place(postgres_server, f"dl_{store}") for store in TABLES}
    for store, place in found.items():
        postgres_server.create_database(place.database)
        place.execute(TABLES[store])
    yield found
    for place in found.values():
        postgres_server.execute(f"DROP DATABASE {place.database} WITH (FORCE)")


@pytest.fixture
def ledger() -> Iterator[Double]:
    with Double() as double:
        yield double


@pytest.fixture
def auditor() -> Iterator[Double]:
    with Double() as double:
        yield double


@pytest.mark.parametrize("strict", [False, True])
def test_one_restore_point_for_both(tmp_path: Path, places: dict[str, Place], ledger: Double, auditor: Double, strict: bool) -> None:
    """The Ledger is paused; the Auditor in strict mode alone, before the Ledger, and it is unpaused after it."""
    products = [
        {"kind": f"scalardl-{store}", "endpoints": {"static": [double.address]}, "stores": [store]}
        for store, double in ((LEDGER, ledger), (AUDITOR, auditor))
    ]
    with ready(Sets(tmp_path, places, products, [LEDGER], pause={"strict": strict}), tmp_path) as sets:
        taken = sets.take()
        with sets.restored(taken) as restored:
            found = restored.verify()
            rows = [restored.execute(store, f"SELECT count(*) FROM {table}") for store, table in WITH_ROWS.items()]
    assert found.good, found.summary()
    assert found.verdict is not None
    assert found.verdict.outcome is Outcome.GOOD
    assert rows == [[(50,)], [(50,)]]
    assert {backup.store: backup.details["quiesced"] for backup in taken.manifest.stores} == {LEDGER: True, AUDITOR: strict}
    said = [note for note in found.verdict.notes if "quiesced" in note]
    assert bool(said) is not strict
    assert_calls(ledger, auditor, strict=strict)


def assert_calls(ledger: Double, auditor: Double, *, strict: bool) -> None:
    """Each pause waited for the drain, and each gate is open again."""
    assert not ledger.paused
    assert not auditor.paused
    (pause,), (unpause,) = ledger.calls("pause"), ledger.calls("unpause")
    if not strict:
        assert auditor.calls() == [], "nobody even asked"
        return
    (first,), (last,) = auditor.calls("pause"), auditor.calls("unpause")
    assert first["answered"] <= pause["at"]
    assert unpause["at"] <= last["at"]

"""A good set, spoilt in one way after the other: what finds it, and that it is named.

Counts, digests and fences find nearly all of it; so the record rules are asked alone as well (``Restored.verdict``), as they are where
nothing else is to be had. The set is of a PostgreSQL and a MariaDB under load, and of four more moments around its window.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from midtime.errors import ArtifactError
from midtime.verification import Verification
from midtime.verify.rules import EARLY_RESTORE
from midtime.verify.verdict import Outcome, Rule, Severity, Verdict
from tests.integration.captures import Arming
from tests.integration.sets import Restored, Sets, Taken, customers, sets_of
from tests.stack.stack import IN_MARIADB, IN_POSTGRES, Stack

pytestmark = pytest.mark.integration
MOMENTS = (-5, -1, 0, 1, 5)
"""Seconds from the window; at 0 is the window itself."""
STORES = [IN_POSTGRES, IN_MARIADB]
COORDINATOR = IN_POSTGRES


@pytest.fixture(scope="module")
def sets(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sets]:
    with sets_of(tmp_path_factory.mktemp("sets"), stack.mixed_places, [stack.mixed_scalardb]) as sets:
        yield sets


@pytest.fixture(scope="module")
def moments(stack: Stack, sets: Sets) -> Mapping[int, Taken]:
    """One bank, five moments: the window, and what a restore would hit that lands beside it."""
    with ExitStack() as armed:
        with customers(stack.processes, stack.mixed_scalardb, stack.mixed_bank, sets.commits):
            armings = {moment: Arming(armed, sets, STORES, paused=moment == 0) for moment in MOMENTS}
            began = time.monotonic() - MOMENTS[0]
            for moment, arming in armings.items():
                time.sleep(max(0.0, began + moment - time.monotonic()))
                arming.capture()
        return {moment: arming.copy() for moment, arming in armings.items()}


@pytest.fixture
def good(sets: Sets, moments: Mapping[int, Taken]) -> Iterator[Restored]:
    """The window's set, restored, to be spoilt."""
    with sets.restored(moments[0]) as restored:
        yield restored


def test_unspoilt_it_is_good(good: Restored, stack: Stack) -> None:
    found = good.verify()
    assert found.good, found.summary()
    assert found.verdict is not None
    assert found.verdict.outcome is good.verdict().outcome is Outcome.GOOD
    assert found.verdict.notes == (), "proven against a restore that lands too early"
    assert good.money() == stack.mixed_bank.expected_total


# -- the Coordinator ---------------------------------------------------------------------------------------------------------------------


def test_a_coordinator_row_is_missing(good: Restored) -> None:
    """Of a transaction that wrote to both stores, and of one that the other store alone still shows."""
    final = "SELECT tx_id FROM {namespace}.acct WHERE tx_state = 3"
    shown = {store: {tx_id for (tx_id,) in good.execute(store, final)} for store in STORES}
    in_two, in_one = shown[IN_POSTGRES] & shown[IN_MARIADB], shown[IN_MARIADB] - shown[IN_POSTGRES]
    gone = {Rule.TWO_STORES: min(in_two), Rule.UNKNOWN: min(in_one)}
    good.execute(COORDINATOR, f"DELETE FROM {{coordinator}}.state WHERE tx_id IN ('{gone[Rule.TWO_STORES]}', '{gone[Rule.UNKNOWN]}')")
    verdict = torn(good.verdict())
    assert {finding.rule: finding.tx_id for finding in verdict.findings if finding.severity is Severity.TORN} == gone
    assert "rows instead of" in difference(good.verify(), f"{COORDINATOR}: coordinator.state")


def test_the_coordinators_table_is_missing(good: Restored) -> None:
    good.execute(COORDINATOR, "DROP TABLE {coordinator}.state")
    verdict = torn(good.verdict())
    assert [finding.store for finding in verdict.findings if finding.rule is Rule.NO_COORDINATOR] == [f"{COORDINATOR}/coordinator"]
    assert "missing" in difference(good.verify(), f"{COORDINATOR}: coordinator.state")


# -- records, tables, artifacts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", STORES)
def test_a_record_is_set_back(good: Restored, stack: Stack, store: str) -> None:
    """Such a record was good once, and 3.13 logs no write sets: its digest is the one thing that tells."""
    columns = ("balance", "tx_id", "tx_state", "tx_version", "tx_prepared_at", "tx_committed_at")
    older = ", ".join(f"{column} = before_{column}" for column in columns)
    ((number,),) = good.execute(store, "SELECT min(id) FROM {namespace}.acct WHERE before_balance <> balance AND tx_state = 3")
    good.execute(store, f"UPDATE {{namespace}}.acct SET {older} WHERE id = {number}")
    assert good.money() != stack.mixed_bank.expected_total
    assert "content differs in bucket" in difference(good.verify(), f"{store}: {store}.acct")
    assert good.verdict().outcome is Outcome.GOOD


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    ("statement", "table", "says"),
    [
        ("UPDATE {namespace}.acct SET owner = 'somebody' WHERE id = 7", "", "content differs in bucket"),
        ("DELETE FROM {namespace}.acct WHERE id = 7", "", "49 rows instead of 50"),
        ("DROP TABLE {namespace}.acct", "", "missing (50 rows were captured)"),
        ("CREATE INDEX somebodys ON {namespace}.acct (balance)", "table ", "another shape"),
    ],
    ids=["a digest is off", "a row is missing", "a table is missing", "a table has another shape"],
)
def test_content_is_not_what_was_captured(good: Restored, store: str, statement: str, table: str, says: str) -> None:
    good.execute(store, statement)
    assert says in difference(good.verify(), f"{store}: {table}{store}.acct")


@pytest.mark.parametrize("store", STORES)
def test_an_artifact_is_corrupt(sets: Sets, moments: Mapping[int, Taken], store: str) -> None:
    """Of the right size, and one bit is another: nothing of it is restored."""
    taken = moments[0]
    file = max((sets.folder(taken) / store).rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    with flipped(file), pytest.raises(ArtifactError, match=file.name), sets.restored(taken):
        pass


# -- one store at another instant --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment])
@pytest.mark.parametrize("store", STORES)
def test_one_store_is_of_another_instant(sets: Sets, moments: Mapping[int, Taken], store: str, moment: int) -> None:
    """Midtime and one or five seconds, early or late: fences and digests name the store each time. And without them, the records?

    The sum alone is no proof: what came and what went in a second may be the same, and was, once.
    """
    mixed = moments[0].but(store, moments[moment])
    with sets.restored(mixed) as restored:
        found, records = restored.verify(), restored.verdict()
    assert found.verdict is not None
    (fence,) = [finding for finding in torn(found.verdict).findings if finding.rule is Rule.FENCE]
    assert fence.store == store
    assert ("too late" if moment > 0 else "too early") in fence.message
    assert difference(found, f"{store}: {store}.acct")
    if moment > 0:
        assert Rule.STAMP in torn(records).counts
    elif store == COORDINATOR:
        assert {Rule.UNKNOWN, Rule.TWO_STORES} & torn(records).counts.keys()
    else:  # nothing in old records says that newer ones are missing
        assert records.outcome is Outcome.GOOD
        assert EARLY_RESTORE in records.notes[0], "and it says so"


def torn(verdict: Verdict) -> Verdict:
    assert verdict.outcome is Outcome.TORN, verdict.summary()
    return verdict


def difference(found: Verification, begins: str) -> str:
    """The first of this table; the set is not good."""
    assert not found.good
    return next(difference for difference in found.differences if difference.startswith(begins))


@contextmanager
def flipped(file: Path) -> Iterator[None]:
    """One bit in the middle of it, and back."""
    whole = file.read_bytes()
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    try:
        yield
    finally:
        file.write_bytes(whole)

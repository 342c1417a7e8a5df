"""What was restored of Oracle and SQL Server, verified. H2 runs the SQL; no real server has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from midtime.errors import RequestError
from midtime.model.restore_point import Origin, RestorePoint
from midtime.stores.managed_sql import readers
from midtime.verification import Verification, verify
from midtime.verify.verdict import Outcome
from tests.unit.stores.managed_sql.shops import COMMITTED_AT, Shop
from tests.unit.stores.rds.restores import POINT

WINDOW = "0123456789ab"
BEGAN = datetime.fromtimestamp(COMMITTED_AT / 1000, UTC) + timedelta(seconds=30)
ENDED = BEGAN + timedelta(seconds=10)


def fence(shop: Shop, *places: str) -> None:
    with shop.data.fence() as fence:
        fence.prepare()
        for place in places:
            fence.write(WINDOW, place)  # type: ignore[arg-type]


def drill(shop: Shop) -> Verification:
    """Marked, restored, verified through the store as a drill does it."""
    account = shop.account.mark()
    written = {"namespace": "bank", "before": "then", "after": "later", "why": ""}
    part = account.backup.model_copy(update={"details": {**account.backup.details, "fence": written, "quiesced": True}})
    point = RestorePoint(
        id=POINT, topology="points", topology_digest=account.topology.digest, midtime=account.backup.midtime, started_at=BEGAN,
        finished_at=ENDED, stores=(part,),
        evidence={"id": WINDOW, "window": {"start": _text(BEGAN), "end": _text(ENDED)}},
        origin=Origin(midtime_version="0", dag_id="d", run_id="r", host="h"),
    )  # fmt: skip
    target = account.restore(account.target(drill=True))
    patched = pytest.MonkeyPatch()
    patched.setattr("midtime.verification.open_store", lambda *_: account.store)
    try:
        return verify(account.topology, point, [target])
    finally:
        patched.undo()


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def outcome(found: Verification) -> Outcome:
    assert found.verdict
    return found.verdict.outcome


def test_what_is_whole_is_good(shop: Shop) -> None:
    fence(shop, "before")
    found = drill(shop)
    assert found.good, found.summary()
    assert outcome(found) is Outcome.GOOD
    key = "host" if shop.dialect == "oracle" else "server"
    copied = shop.asked[-1]
    assert copied[key].startswith("midtime-tmp-"), "it is the copy that was read"
    # An instance tells its plain port; Oracle's TLS has one of its own, an option's.
    assert str(copied["port"]) == ("2484" if shop.dialect == "oracle" else "5433")


TORN = {
    "its transaction is unknown": 'DELETE FROM "coordinator"."state" WHERE "tx_id" = \'Tx3\'',
    "its transaction has another name": 'DELETE FROM "coordinator"."state" WHERE "tx_id" = \'Tx3\'; '
    "INSERT INTO \"coordinator\".\"state\" VALUES ('TX3', '', 3, 1)",
    "half of it is only prepared": 'DELETE FROM "coordinator"."state" WHERE "tx_id" = \'Tx3\'; '
    "INSERT INTO \"bank\".\"acct\" VALUES (7, 'g/7', X'07', 1, 'Tx3', 1, 1, 1, NULL, NULL)",
    "it was prepared after the window": f'UPDATE "bank"."acct" SET "tx_prepared_at" = {COMMITTED_AT + 60_000} WHERE "tx_id" = \'Tx3\'',
    "it was committed after the window": f'UPDATE "coordinator"."state" SET "tx_created_at" = {COMMITTED_AT + 60_000} WHERE "tx_id" = \'Tx3\'',
}


@pytest.mark.parametrize("how", TORN)
def test_what_is_torn_is_called_so(shop: Shop, how: str) -> None:
    fence(shop, "before")
    shop.run(TORN[how])
    found = drill(shop)
    assert outcome(found) is Outcome.TORN, found.summary()
    assert "Tx3" in found.summary() or "TX3" in found.summary()


@pytest.mark.parametrize("places", [(), ("before", "after")])
def test_a_restore_that_landed_elsewhere(shop: Shop, places: tuple[str, ...]) -> None:
    """Its records agree with each other."""
    fence(shop, *places)
    assert outcome(drill(shop)) is Outcome.TORN


def test_a_group_s_children(shop: Shop) -> None:
    """An empty text is NULL to Oracle; a list is not."""
    group = "0123456789abcdef01234567"
    shop.run(f"INSERT INTO \"coordinator\".\"state\" VALUES ('{group}', 'one,two', 3, {COMMITTED_AT})")
    for number, child in enumerate(("one", "two")):
        shop.run(
            f"INSERT INTO \"bank\".\"acct\" VALUES ({number}, 'group', X'01', 1, '{group}${child}', 3, 1, {COMMITTED_AT}, {COMMITTED_AT}, NULL)"
        )
    fence(shop, "before")
    assert outcome(drill(shop)) is Outcome.GOOD
    shop.run('UPDATE "coordinator"."state" SET "tx_child_ids" = \'one\' WHERE "tx_child_ids" = \'one,two\'')


def test_a_namespace_that_did_not_come_back(shop: Shop) -> None:
    shop.run('DROP SCHEMA "scalardb" CASCADE')
    fence(shop, "before")
    assert "schema scalardb: missing" in str(drill(shop).differences)


def test_what_the_login_may_not_see_is_told(shop: Shop) -> None:
    """A right that was lost since the mark: tables would be missing from the catalog, and from the verdict."""
    fence(shop, "before")
    shop.world.readable.remove("bank")
    if shop.dialect == "oracle":
        shop.run("DELETE FROM session_privs")
        shop.world.says["SESSION_USER"] = "bank"
    hidden = "bank" if shop.dialect == "sqlserver" else "coordinator"
    assert f"schema {hidden}: the login may not read all of it" in str(drill(shop).differences)


def restored(shop: Shop) -> Any:
    return shop.data.restored(shop.account.mark().backup, ("copy", 1))


class TestReading:
    def test_tables_and_keys(self, shop: Shop) -> None:
        """No views, nothing of a recycle bin, no other schema's; keys in the key's order, whatever the columns'."""
        if shop.dialect == "oracle":
            shop.run(
                'CREATE TABLE "bank"."BIN$x" ("tx_id" VARCHAR2(8), "tx_state" INT, "tx_version" INT, "tx_prepared_at" INT, "tx_committed_at" INT)'
            )
        shop.run('CREATE SCHEMA "other"; CREATE TABLE "other"."t" ("id" INT)')
        with restored(shop) as found:
            source = found.records()
            assert (list(source.tables()), list(source.non_transactional())) == (["bank.acct"], ["bank.log"])
            (rows,) = source.records("bank.acct")
            first = min(rows, key=lambda each: each.key)
            assert (first.key, first.tx_id, first.tx_state, first.tx_version) == ("a\\/1/1/01ff", "Tx1", 3, 1)
            assert (first.prepared_at, first.committed_at) == (COMMITTED_AT, COMMITTED_AT + 1)
            assert all(type(number) is int for number in (first.tx_state, first.prepared_at))

    def test_metadata_that_stand_apart(self, shop: Shop) -> None:
        shop.run('ALTER TABLE "bank"."acct" RENAME TO "acct_tx_metadata"')
        shop.run('CREATE TABLE "bank"."acct_data" ("id" INT)')
        with restored(shop) as found:
            assert (list(found.records().tables()), list(found.records().non_transactional())) == (["bank.acct"], ["bank.log"])

    def test_imported_records_have_no_transaction(self, shop: Shop) -> None:
        shop.run("INSERT INTO \"bank\".\"acct\" VALUES (9, 'i', X'01', 1, NULL, NULL, NULL, NULL, NULL, NULL)")
        with restored(shop) as found:
            assert None in {record.tx_id for rows in found.records().records("bank.acct") for record in rows}

    def test_a_table_without_a_key(self, shop: Shop) -> None:
        shop.run('ALTER TABLE "bank"."acct" DROP PRIMARY KEY')
        with restored(shop) as found:
            keys = [record.key for rows in found.records().records("bank.acct") for record in rows]
            assert len(set(keys)) == 5

    def test_batches(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("midtime.stores.dbapi.BATCH", 2)
        with restored(shop) as found:
            assert [len(rows) for rows in found.records().records("bank.acct")] == [2, 2, 1]

    def test_the_coordinator(self, shop: Shop) -> None:
        with restored(shop) as found:
            (state,) = found.coordinators()
            assert state.exists()
            assert state.oldest_created_at() == COMMITTED_AT + 1
            assert {row.tx_id for row in state.rows_newer_than(COMMITTED_AT + 3)} == {"Tx4", "Tx5"}
            assert [(row.state, row.child_ids) for row in state.lookup(["Tx2", "none"]).values()] == [(3, ())]

    def test_ids_that_differ_in_capitals_are_others(self, shop: Shop) -> None:
        """SQL Server's default collation takes one for the other."""
        with restored(shop) as found:
            (state,) = found.coordinators()
            assert state.lookup(["tX1", "TX1"]) == {}

    def test_more_ids_than_a_list_holds(self, shop: Shop) -> None:
        wanted = [f"none{number}" for number in range(2 * readers.AT_ONCE)]
        with restored(shop) as found:
            (state,) = found.coordinators()
            assert set(state.lookup([*wanted, "Tx1", "Tx5"])) == {"Tx1", "Tx5"}

    def test_a_coordinator_of_an_old_scalardb(self, shop: Shop) -> None:
        shop.run('ALTER TABLE "coordinator"."state" DROP COLUMN "tx_child_ids"')
        with restored(shop) as found:
            (state,) = found.coordinators()
            assert state.lookup(["Tx1"])["Tx1"].child_ids == ()

    def test_no_fence_table_no_fence_rows(self, shop: Shop) -> None:
        with restored(shop) as found:
            assert found.fences(WINDOW, "bank") == frozenset()


class TestQuestions:
    def test_a_sum(self, shop: Shop) -> None:
        with restored(shop) as found:
            assert int(found.scalar('SELECT SUM("balance") FROM "bank"."acct";')) == 500
            assert int(found.scalar('SELECT COUNT(*) FROM "bank"."acct" WHERE "id" <> \'DELETE; --\'')) == 5
            assert found.session.connection.autocommit, "the Coordinator is asked in autocommit"

    @pytest.mark.parametrize(
        "query",
        [
            'DELETE FROM "bank"."acct"', 'SELECT 1; DELETE FROM "bank"."acct"', 'SELECT 1 DELETE FROM "bank"."acct"',
            'SELECT * INTO "bank"."copy" FROM "bank"."acct"', "BEGIN NULL; END;", "SELECT 1 COMMIT", "SELECT 1 -- what",
        ],
    )  # fmt: skip
    def test_what_does_more_than_ask(self, shop: Shop, query: str) -> None:
        with restored(shop) as found, pytest.raises(RequestError, match="no single SELECT that only reads"):
            found.scalar(query)
        assert shop.world.rows('SELECT COUNT(*) FROM "bank"."acct"') == [(5,)]

    def test_what_the_server_refuses(self, shop: Shop) -> None:
        with restored(shop) as found:
            with pytest.raises(RequestError, match="failed"):
                found.scalar('SELECT balance FROM "bank"."acct"' if shop.dialect == "oracle" else "SELECT [none] FROM [bank].[acct]")
            assert found.session.connection.autocommit

"""The mark, and whether what it claims has come true: for every table, which must still be the table that was marked."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from midtime.catalog import Catalog
from midtime.catalog.artifacts import damaged
from midtime.errors import MidtimeError, NotRestorableError, StoreAccessError, StoreStatementError, StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.model.restore_point import StoreBackup
from midtime.stores.base import Shelf
from midtime.stores.dynamodb.settings import MarkedTables
from midtime.stores.marks import FILE
from tests.unit.stores.dynamodb.world import FENCE, TABLES, World, bank, refusing

POINT = "20261121T020007Z-3fa9c1"
MINUTE = timedelta(minutes=1)


def shelf(world: World) -> Shelf:
    return Shelf(Catalog(world.topology.destination, "bank").folder(POINT), "points")


def instant() -> datetime:
    return (utc_now() - 10 * MINUTE).replace(microsecond=0)


@pytest.fixture
def marked(world: World) -> StoreBackup:
    return world.store.mark(instant(), shelf(world), lambda _: None)


def settings(world: World) -> MarkedTables:
    path = shelf(world).folder / "points" / FILE
    return MarkedTables.unseal(path.read_bytes(), where=str(path))


def test_every_table_with_its_identity(world: World, marked: StoreBackup) -> None:
    ids = {name: world.client.describe_table(TableName=name)["Table"]["TableId"] for name in (*TABLES, FENCE)}
    assert marked.details["tables"] == ids
    assert (marked.method, marked.engine, marked.tables) == ("pitr", "dynamodb", ())
    assert (marked.details["region"], marked.details["account"], marked.details["prefix"]) == ("ap-northeast-1", "123456789012", "")
    assert list(damaged(marked.artifacts, shelf(world).folder)) == []
    found = settings(world)
    assert [table.name for table in found.tables] == sorted(ids)
    assert found.instant == marked.midtime
    assert found.table("bank.accounts").table_id == ids["bank.accounts"]


def test_until_the_shortest_history_is_over(world: World, marked: StoreBackup) -> None:
    assert marked.restorable_until == marked.midtime + timedelta(days=35)
    world.recover("bank.accounts", 7)
    again = world.store.mark(marked.midtime + timedelta(seconds=1), shelf(world), lambda _: None)
    assert again.restorable_until == again.midtime + timedelta(days=7)


def test_nothing_secret_in_it(world: World, marked: StoreBackup) -> None:
    everything = marked.model_dump_json() + (shelf(world).folder / "points" / FILE).read_bytes().decode()
    assert "very-secret" not in everything
    assert "AKIAEXAMPLE" not in everything


def test_marked_again_it_is_the_first_one(world: World, marked: StoreBackup) -> None:
    """The manifest may name it by then."""
    world.client.tag_resource(ResourceArn=settings(world).table("bank.accounts").arn, Tags=[{"Key": "later", "Value": "1"}])
    again = world.store.mark(marked.midtime, shelf(world), lambda _: None)
    assert (again.artifacts, again.details) == (marked.artifacts, marked.details)


@pytest.mark.parametrize("left", ["half", "another instant"])
def test_what_another_mark_left_is_replaced(world: World, marked: StoreBackup, left: str) -> None:
    at = marked.midtime
    if left == "half":
        (shelf(world).folder / "points" / FILE).write_bytes(b'{"version": 1, "tab')
    else:
        at += timedelta(seconds=1)
    again = world.store.mark(at, shelf(world), lambda _: None)
    assert settings(world).instant == again.midtime == at
    assert list(damaged(again.artifacts, shelf(world).folder)) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda world: world.recover("bank.owners", on=False), "bank.owners has its point-in-time recovery switched off"),
        (lambda world: world.history("bank.owners", earliest=utc_now()), "bank.owners has a history of 35 days that begins at"),
        (lambda world: world.history(FENCE, earliest=utc_now()), f"{FENCE} has a history of 35 days that begins at"),
    ],
)
def test_no_mark_where_a_table_cannot_be_restored(world: World, spoil: Callable[[World], None], said: str) -> None:
    spoil(world)
    with pytest.raises(NotRestorableError, match=said) as caught:
        world.store.mark(instant(), shelf(world), lambda _: None)
    assert not caught.value.retryable
    assert not (shelf(world).folder / "points").exists()


def test_no_mark_without_the_fence_table(tmp_path: Path) -> None:
    with bank(fence=False, destination=f"file://{tmp_path}") as world, pytest.raises(StoreAccessError, match=FENCE):
        world.store.mark(instant(), shelf(world), lambda _: None)


def test_a_fence_that_was_declined(tmp_path: Path) -> None:
    with bank(fence=False, destination=f"file://{tmp_path}", store={"fence": False}) as world:
        assert set(world.store.mark(instant(), shelf(world), lambda _: None).details["tables"]) == set(TABLES)


class TestRestorable:
    def test_it_waits_for_the_last_table(self, world: World, marked: StoreBackup) -> None:
        world.history("bank.owners", latest=marked.midtime - timedelta(seconds=1))
        said = world.store.restorable(marked)
        assert not said.ready
        assert "1 of 6 tables do not reach" in said.detail
        assert "the last is bank.owners" in said.detail
        world.history("bank.owners", latest=marked.midtime)
        assert world.store.restorable(marked).ready

    def test_recreated(self, world: World, marked: StoreBackup) -> None:
        world.client.delete_table(TableName="bank.owners")
        world.create("bank.owners")
        world.history("bank.owners", earliest=marked.midtime - MINUTE, latest=marked.midtime + MINUTE)
        with pytest.raises(NotRestorableError, match=r"bank\.owners is another table of that name, created at"):
            world.store.restorable(marked)

    def test_deleted(self, world: World, marked: StoreBackup) -> None:
        world.client.delete_table(TableName="bank.owners")
        with pytest.raises(NotRestorableError, match=r"bank\.owners was deleted"):
            world.store.restorable(marked)

    def test_switched_off_and_on(self, world: World, marked: StoreBackup) -> None:
        world.recover("bank.owners", on=False)
        with pytest.raises(NotRestorableError, match=r"bank\.owners has its point-in-time recovery switched off"):
            world.store.restorable(marked)
        world.recover("bank.owners")
        with pytest.raises(NotRestorableError, match=r"bank\.owners has a history of 35 days that begins at .*, behind "):
            world.store.restorable(marked)

    def test_shorter_than_its_age(self, world: World, marked: StoreBackup) -> None:
        world.recover("bank.owners", days=1)
        world.history("bank.owners", earliest=marked.midtime + timedelta(seconds=1), latest=utc_now())
        with pytest.raises(NotRestorableError, match="a history of 1 days"):
            world.store.restorable(marked)

    def test_another_region(self, world: World, marked: StoreBackup) -> None:
        """Also another account: nothing there is what was marked."""
        with pytest.raises(NotRestorableError, match=r"was deleted.*and 1 more"):
            World(store={"region": "eu-west-1"}).store.restorable(marked)

    @pytest.mark.parametrize(
        ("code", "status", "kind"),
        [
            ("ThrottlingException", 400, StoreStatementError),
            ("InternalServerError", 500, StoreUnreachableError),
            ("ExpiredTokenException", 400, StoreAccessError),
            ("AccessDeniedException", 400, StoreAccessError),
        ],
    )
    def test_refused(self, world: World, marked: StoreBackup, code: str, status: int, kind: type[MidtimeError]) -> None:
        refusing(world.aws.control, "DescribeContinuousBackups", code, status=status)
        with pytest.raises(kind, match="store points") as caught:
            world.store.restorable(marked)
        assert type(caught.value) is kind

    def test_the_marks_details_are_all_that_it_needs(self, world: World, marked: StoreBackup) -> None:
        again = StoreBackup.model_validate(json.loads(marked.model_dump_json()))
        world.histories(earliest=marked.midtime - MINUTE, latest=marked.midtime + MINUTE)
        assert world.store.restorable(again).detail.startswith("all of 6 tables up to ")

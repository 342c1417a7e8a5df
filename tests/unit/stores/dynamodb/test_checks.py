"""The preflight of a backup: what is wrong is named before anything is paused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from midtime.errors import MidtimeError, NotRestorableError, StoreAccessError, StoreStatementError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.stores.base import Check, ask
from midtime.stores.dynamodb.store import DynamodbStore
from tests.unit.stores.dynamodb.world import FENCE, World, bank, refusing


def answers(world: World) -> dict[str, Check]:
    return {check.question: check for check in ask("points", world.store.questions())}


def bad(world: World) -> tuple[str, MidtimeError]:
    (last,) = [check for check in answers(world).values() if not check.ok]
    assert last.error
    return last.question, last.error


def test_all_is_well(world: World) -> None:
    said = answers(world)
    assert [each for each in said.values() if not each.ok] == []
    assert said["is reachable"].detail == "ap-northeast-1, 6 tables for this login"
    assert said["has its tables"].detail == "5 tables"
    assert "35 days" in said["keeps a history"].detail
    assert said["can be restored"].detail.startswith("5 tables, 5 at once")
    assert said["has a fence table"].detail == f"{FENCE} is there"


def test_a_prefix() -> None:
    with bank(prefix="prod_") as world:
        world.client.create_table(
            TableName="bank.other",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )  # somebody else's, without the prefix and without a history
        said = answers(world)
    assert all(each.ok for each in said.values())
    assert said["has its tables"].detail == "5 tables"
    assert said["has a fence table"].detail == f"prod_{FENCE} is there"


def test_before_the_first_backup_there_is_no_fence_table() -> None:
    with bank(fence=False) as world:
        assert "the next backup makes it" in answers(world)["has a fence table"].detail


def test_a_fence_that_was_declined() -> None:
    with bank(store={"fence": False}) as world:
        assert "has a fence table" not in answers(world)


def test_a_fence_tables_history_is_not_asked_for(world: World) -> None:
    """The pausing task switches it on."""
    world.recover(FENCE, on=False)
    said = answers(world)
    assert all(each.ok for each in said.values())
    assert "switches its point-in-time recovery on" in said["has a fence table"].detail


def test_no_history_of_one_table(world: World) -> None:
    world.recover("bank.owners", on=False)
    question, error = bad(world)
    assert (question, type(error)) == ("keeps a history", StoreAccessError)
    assert "off for bank.owners" in error.message


@pytest.mark.parametrize("name", ["coordinator.state", "scalardb.metadata"])
def test_a_table_that_must_be_there(world: World, name: str) -> None:
    world.client.delete_table(TableName=name)
    question, error = bad(world)
    assert (question, type(error)) == ("has its tables", StoreAccessError)
    assert f"{name} is not in ap-northeast-1" in error.message


def test_a_namespace_without_tables(world: World) -> None:
    for name in ("bank.accounts", "bank.owners"):
        world.client.delete_table(TableName=name)
    assert "any table bank.* is not in" in bad(world)[1].message


def test_a_table_that_only_scalardb_knows_of(world: World) -> None:
    world.client.delete_table(TableName="bank.owners")
    question, error = bad(world)
    assert question == "has its tables"
    assert "ScalarDB's metadata names bank.owners, which is not there" in error.message


def test_scalardbs_list_of_tables_may_be_long(world: World) -> None:
    """More than a page of it."""
    for number in range(4):
        world.client.put_item(TableName="scalardb.metadata", Item={"id": {"S": str(number)}, "columns": {"S": "x" * 390_000}})
    world.know("bank.gone")
    assert "names bank.gone" in bad(world)[1].message


def test_an_old_scalardb_has_no_list_of_namespaces(world: World) -> None:
    world.client.delete_table(TableName="scalardb.namespaces")
    assert "no scalardb.namespaces" in answers(world)["has its tables"].detail


def test_another_region(world: World) -> None:
    elsewhere = World(store={"region": "eu-west-1"})
    question, error = bad(elsewhere)
    assert question == "has its tables"
    assert "coordinator.state, scalardb.metadata, any table bank.* are not in eu-west-1, which has 0 tables" in error.message


def test_a_history_that_has_not_begun(world: World) -> None:
    world.history("bank.owners", earliest=utc_now() + timedelta(minutes=1))
    question, error = bad(world)
    assert (question, type(error)) == ("keeps a history", NotRestorableError)
    assert "bank.owners has not begun" in error.message


def test_a_history_that_is_shorter_than_the_retention(world: World) -> None:
    world.recover("bank.owners", days=7)
    assert "the shortest is of 7 days (bank.owners); `retention.keep_days` is 30" in answers(world)["keeps a history"].detail


@pytest.mark.parametrize(
    ("operation", "code", "question", "kind", "said"),
    [
        ("ListTables", "AccessDeniedException", "is reachable", StoreAccessError, "access denied"),
        ("ListTables", "ExpiredTokenException", "is reachable", StoreAccessError, "credentials have expired"),
        ("ListTables", "UnrecognizedClientException", "is reachable", StoreAccessError, "access denied"),
        ("DescribeContinuousBackups", "ThrottlingException", "has its tables", StoreStatementError, "throttled"),
        ("GetResourcePolicy", "AccessDeniedException", "may be marked", StoreAccessError, "access denied"),
    ],
)
def test_refused(world: World, operation: str, code: str, question: str, kind: type[MidtimeError], said: str) -> None:
    refusing(world.aws.control, operation, code)
    asked, error = bad(world)
    assert (asked, type(error)) == (question, kind)
    assert said in error.message
    assert "points" in error.message
    assert "very-secret" not in str(error)


def test_a_connection_that_is_not_there(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """Nobody is asked with whatever credentials the worker happens to have."""
    monkeypatch.delenv("AIRFLOW_CONN_AWS")
    question, error = bad(world)
    assert (question, type(error)) == ("is reachable", StoreAccessError)
    assert "aws" in error.message


def test_a_table_that_is_being_deleted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from midtime.stores.dynamodb import checks, history

    real: Callable[..., list[history.History]] = history.histories

    def deleting(*arguments: object) -> list[history.History]:
        found = real(*arguments)
        return [history.History(each.name, each.table_id, "DELETING") if each.name == "bank.owners" else each for each in found]

    monkeypatch.setattr(checks, "histories", deleting)
    question, error = bad(world)
    assert (question, error.retryable) == ("is at rest", True)
    assert "bank.owners (DELETING)" in error.message


def beside_another(**second: Any) -> World:
    """A second store of the topology, which the account may have, or another one."""
    world = World()
    body = world.topology.model_dump(mode="json", exclude_unset=True)
    body["stores"].append({**body["stores"][0], "name": "second", "namespaces": ["other"], **second})
    world.topology = Topology.model_validate({**body, "scalardb": {"coordinators": [{"store": "points"}]}})
    world.store = DynamodbStore(world.topology, "points")
    return world


def login_as(monkeypatch: pytest.MonkeyPatch, name: str, key: str) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps({"conn_type": "aws", "login": key, "password": "x"}))


def test_two_stores_of_the_same_tables(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through two connections: each would be marked twice, at two instants, and be restored over the other."""
    login_as(monkeypatch, "AWS_TOO", "AKIAOTHER")
    question, error = bad(beside_another(conn_id="aws_too"))
    assert (question, type(error)) == ("shares no table", StoreAccessError)
    assert "scalardb.metadata, scalardb.namespaces are also store second's" in error.message


def test_two_stores_whose_prefixes_make_the_same_names(world: World) -> None:
    """``ba`` + ``nk.accounts``."""
    assert "bank.accounts" in bad(beside_another(prefix="ba", namespaces=["nk"]))[1].message


def test_two_stores_of_the_same_names_in_two_accounts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    other = World(store={"conn_id": "aws_too"})
    login_as(monkeypatch, "AWS_TOO", "AKIAOTHER")
    made = beside_another(conn_id="aws_too")
    monkeypatch.setattr(other.aws.control, "describe_table", lambda **_: {"Table": {"TableId": "another"}})
    monkeypatch.setattr("midtime.stores.dynamodb.checks.Aws", lambda *_: other.aws)
    assert all(check.ok for check in answers(made).values())


def test_two_stores_apart(world: World) -> None:
    """Of which one has no tables yet, which is its own preflight's affair."""
    assert "shares no table" in answers(beside_another(prefix="other_"))
    assert all(check.ok for check in answers(beside_another(prefix="other_")).values())

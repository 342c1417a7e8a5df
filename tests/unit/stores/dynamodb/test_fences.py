"""The fence table: made beforehand with a history; rows are items; nothing of it may take long inside a window."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from midtime.errors import StoreAccessError, StoreUnreachableError
from midtime.stores.dynamodb import fences
from midtime.stores.dynamodb.fences import DynamodbFence
from tests.unit.stores.dynamodb.world import FENCE, World, bank, refusing


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(fences, "LOOK", 1)
    with bank(fence=False) as made:
        yield made


def history(world: World) -> str:
    said = world.client.describe_continuous_backups(TableName=FENCE)["ContinuousBackupsDescription"]
    return str(said["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"])


def test_made_once_with_a_history(fresh: World) -> None:
    for _ in range(2):
        with fresh.store.fence() as fence:
            fence.prepare()
    assert history(fresh) == "ENABLED"
    table = fresh.client.describe_table(TableName=FENCE)["Table"]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert [key["AttributeName"] for key in table["KeySchema"]] == ["window_id", "place"]
    ttl = fresh.client.describe_time_to_live(TableName=FENCE)["TimeToLiveDescription"]
    assert (ttl["TimeToLiveStatus"], ttl["AttributeName"]) == ("ENABLED", "expires_at")


def test_a_prefix() -> None:
    with bank(fence=False, prefix="prod_") as world, world.store.fence() as fence:
        fence.prepare()
        assert f"prod_{FENCE}" in world.client.list_tables()["TableNames"]


def test_its_history_is_switched_on_again(world: World) -> None:
    world.recover(FENCE, on=False)
    with world.store.fence() as fence:
        fence.prepare()
    assert history(world) == "ENABLED"


def test_a_new_table_is_not_ready_at_once(fresh: World) -> None:
    calls = refusing(fresh.aws.control, "UpdateContinuousBackups", "ContinuousBackupsUnavailableException", times=1)
    with fresh.store.fence() as fence:
        fence.prepare()
    assert (calls(), history(fresh)) == (2, "ENABLED")


def test_we_may_not_make_it(fresh: World) -> None:
    refusing(fresh.aws.control, "CreateTable", "AccessDeniedException")
    with fresh.store.fence() as fence, pytest.raises(StoreAccessError, match="access denied"):
        fence.prepare()


def test_the_name_is_somebody_elses(fresh: World) -> None:
    """Known before anything is paused, and asked by the preflight."""
    fresh.create(FENCE)
    with fresh.store.fence() as fence, pytest.raises(StoreAccessError, match="other keys than window_id and place"):
        fence.prepare()
    with pytest.raises(StoreAccessError, match="other keys"):
        fences.describe_fence(fresh.aws, FENCE)


def test_a_table_that_never_gets_a_history(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fences, "PATIENCE", 0.1)
    world.recover(FENCE, on=False)
    with world.store.fence() as fence:
        monkeypatch.setattr(fence, "_keep_history", lambda: None)
        with pytest.raises(StoreUnreachableError, match=f"{FENCE} has no history after"):
            fence.prepare()


def test_rows(world: World) -> None:
    with world.store.fence() as fence:
        fence.write("w1", "before")
        fence.write("w1", "before")  # the SDK may send it twice
        fence.write("w1", "after")
    items = world.client.scan(TableName=FENCE)["Items"]
    assert sorted((item["window_id"]["S"], item["place"]["S"]) for item in items) == [("w1", "after"), ("w1", "before")]
    for item in items:
        kept = int(item["expires_at"]["N"]) - int(item["written_at"]["N"]) / 1000
        assert kept > 35 * 86400  # longer than any history


@pytest.mark.parametrize("place", ["before", "after"])
def test_not_written(world: World, place: fences.Place) -> None:
    refusing(world.aws.hurried if place == "before" else world.aws.data, "PutItem", "AccessDeniedException")
    with world.store.fence() as fence, pytest.raises(StoreAccessError):
        fence.write("w1", place)


def test_a_service_that_hangs_costs_seconds() -> None:
    """Nothing answers here: the row inside the window is given up by itself."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        world = World(store={"endpoint": f"http://127.0.0.1:{port}"})
        fence = DynamodbFence(world.aws, FENCE)
        began = time.monotonic()
        with pytest.raises(StoreUnreachableError, match="store points: no answer"):
            fence.write("w1", "before")
    assert time.monotonic() - began < 8

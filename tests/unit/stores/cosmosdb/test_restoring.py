"""An account comes back under another name, with what a restore loses."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime.stores.base import WILL_BE
from midtime.stores.naming import COPY_TAG
from tests.unit.stores.cosmosdb.memory import Memory
from tests.unit.stores.cosmosdb.restores import Subscription, answers, require_whole
from tests.unit.stores.cosmosdb.service import LIVE, PROCEDURE


def test_a_drill_comes_and_goes(subscription: Subscription) -> None:
    target = subscription.target(drill=True)
    assert target.final == target.working == f"midtime-tmp-abc123-{target.working[19:23]}-points"
    assert answers(subscription, target)[WILL_BE].startswith(f"new account `{target.final}` in Japan East")
    subscription.restore(target)
    require_whole(subscription, target)
    assert subscription.copy(target).tags == {
        "team": "bank", COPY_TAG: target.working, "midtime:topology": subscription.topology.name, "midtime:restored": LIVE,
    }  # fmt: skip
    fence = subscription.copy(target).databases["bank"]["midtime_fence"]
    subscription.store.place(subscription.backup, target)
    assert "defaultTtl" not in fence.resource
    subscription.store.discard(target)
    assert list(subscription.memory.accounts) == [LIVE]
    assert list(Path(str(subscription.catalog.root / ".copies").removeprefix("file://")).iterdir()) == []


def test_a_drill_s_name_is_each_run_s_own(subscription: Subscription) -> None:
    """Else a sweeper could remove the account of the run that follows."""
    target = subscription.target(drill=True, to="b" * 44)
    assert target.working == target.final == "b" * 37 + "-abc123"


def test_what_is_placed_stays_with_its_times_to_live(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(to="bank-new"))
    for _ in range(2):
        subscription.store.place(subscription.backup, target)
    subscription.store.discard(target)
    copy = subscription.copy(target)
    assert (
        copy.databases["bank"]["midtime_fence"].resource == subscription.memory.accounts[LIVE].databases["bank"]["midtime_fence"].resource
    )
    assert (copy.tags[COPY_TAG], copy.tags["team"]) == (f"placed {target.working}", "bank")
    require_whole(subscription, target)


def test_put_back_it_goes(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(to="bank-new"))
    subscription.store.place(subscription.backup, target)
    subscription.store.put_back(subscription.backup, target)
    subscription.store.discard(target)
    assert list(subscription.memory.accounts) == [LIVE]


def test_there_and_back_as_often_as_wanted(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(to="bank-new"))
    for _ in range(4):
        subscription.store.place(subscription.backup, target)
        assert subscription.copy(target).tags[COPY_TAG] == f"placed {target.working}"
        subscription.store.put_back(subscription.backup, target)
        assert subscription.copy(target).tags[COPY_TAG] == target.working


def test_nobody_gets_in_before_the_rules_are_there(subscription: Subscription) -> None:
    target, memory = subscription.target(to="bank-new"), subscription.memory
    seen: list[Any] = []

    def look(operation: str) -> None:
        if target.final in memory.accounts:
            said = memory.accounts[target.final].properties
            seen.append((said["publicNetworkAccess"], bool(said["ipRules"])))

    memory.before_each = look
    subscription.restore(target)
    assert ("Enabled", False) not in seen
    assert {("Disabled", False), ("Enabled", True)} == set(seen)


def test_strong_whatever_was_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subscription = Subscription(tmp_path, monkeypatch).fill(consistencyPolicy={"defaultConsistencyLevel": "BoundedStaleness"}).mark()
    target = subscription.restore(subscription.target(drill=True))
    assert subscription.copy(target).properties["consistencyPolicy"]["defaultConsistencyLevel"] == "Strong"


def test_an_index_is_waited_for(subscription: Subscription) -> None:
    target, memory = subscription.target(drill=True), subscription.memory
    while (waiting := subscription.look(target)) and "stored procedure" not in waiting.detail:
        memory.sleep(10)
    index = subscription.copy(target).databases["coordinator"]["state"]
    index.indexed = 40
    memory.sleep(10)
    waiting = subscription.look(target)
    assert waiting
    assert "the service builds the indexes of 1 container, coordinator/state is at 40 %" in waiting.detail
    read = memory.counts["list_sql_stored_procedures"]
    subscription.look(target)
    assert memory.counts["list_sql_stored_procedures"] == read, "ARM takes a few hundred calls in five minutes"
    index.indexed = 100
    assert subscription.look(target) is None


def test_a_deleted_account(subscription: Subscription) -> None:
    live = subscription.memory.accounts[LIVE]
    subscription.memory.delete(LIVE)
    target = subscription.target(drill=True)
    assert "the account was deleted at" in answers(subscription, target)["can be restored to the instant"]
    subscription.restore(target)
    assert subscription.copy(target).databases["bank"]["accounts"].scripts["procedures"].keys() == PROCEDURE.keys()
    assert live.gone_at


def test_looked_at_in_the_time_that_it_takes(subscription: Subscription) -> None:
    waiting = subscription.look(subscription.target(drill=True))
    assert waiting
    assert waiting.look_again == timedelta(seconds=5)


def test_what_is_different_is_listed(subscription: Subscription) -> None:
    target = subscription.restore(subscription.target(to="bank-new"))
    with subscription.store.restored(subscription.backup, target) as restored:
        assert restored.schema_differences() == []
        assert restored.setting_differences() == ["account bank-new: role of p1 was r1 for the account, is not there"]
        container = subscription.copy(target).databases["bank"]["accounts"]
        container.resource["indexingPolicy"] = {"indexingMode": "none"}
        subscription.copy(target).properties["consistencyPolicy"] = {"defaultConsistencyLevel": "Session"}
    with subscription.store.restored(subscription.backup, target) as restored:
        assert any("indexingPolicy" in each for each in restored.schema_differences())
        assert "account bank-new: its consistency is Session, not Strong" in restored.schema_differences()


def test_a_table_that_was_dropped_before_the_mark(subscription: Subscription) -> None:
    """Of namespaces that are not the store's ScalarDB may know what it likes."""
    target = subscription.restore(subscription.target(drill=True))
    subscription.known.add(("bank", "gone"))
    with subscription.store.restored(subscription.backup, target) as restored:
        assert restored.schema_differences() == [
            "bank/gone: missing, though ScalarDB's metadata of that instant name it: dropped before the mark"
        ]


def test_namespaces_that_joined_or_left_the_topology_since(subscription: Subscription) -> None:
    """What was marked says what is missing."""
    target = subscription.restore(subscription.target(drill=True))
    subscription.move(namespaces=["elsewhere"])
    with subscription.store.restored(subscription.backup, target) as restored:
        assert restored.schema_differences() == []
    subscription.known.add(("bank", "gone"))
    with subscription.store.restored(subscription.backup, target) as restored:
        assert [said.partition(":")[0] for said in restored.schema_differences()] == ["bank/gone"]


def test_memory_is_as_strict_as_the_service() -> None:
    """Two operations at once, and a second restore under one name, are refused: else these tests could not fail."""
    memory = Memory()
    memory.make("a", {})
    memory.accounts["a"].state = "Updating"
    with pytest.raises(Exception, match="another operation"):
        memory.begin_update("g", "a", None)
    with pytest.raises(Exception, match="exists"):
        memory.begin_create_or_update("g", "a", None)

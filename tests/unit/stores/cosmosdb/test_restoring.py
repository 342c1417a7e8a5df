"""An account comes back under another name, whoever is killed when, with what a restore loses; and another's account is never touched."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import (
    NotRestorableError,
    RequestError,
    RestoreFailedError,
    StoreAccessError,
    StoreStatementError,
    StoreUnreachableError,
    TargetExistsError,
)  # fmt: skip
from midtime.stores.base import WILL_BE, Target, ask
from midtime.stores.naming import COPY_TAG
from tests.unit.stores.cosmosdb.memory import CLOSED, LIVE, OPEN, PROCEDURE, Memory, refusal
from tests.unit.stores.cosmosdb.restores import NAMES, Subscription, subscription

__all__ = ["subscription"]

ENDS = {"publicNetworkAccess": "Enabled", "ipRules": CLOSED["ipRules"], "consistencyPolicy": {"defaultConsistencyLevel": "Strong"}}


def answers(subscription: Subscription, target: Target) -> dict[str, str]:
    return {check.question: check.detail for check in ask("points", subscription.store.restore_questions(target, subscription.backup))}


def require_whole(subscription: Subscription, target: Target) -> None:
    copy, live = subscription.copy(target), subscription.memory.accounts[LIVE]
    assert {key: copy.properties[key] for key in ENDS} == ENDS
    for name in NAMES:
        of, _, container = name.partition("/")
        now, was = copy.databases[of][container], live.databases[of][container]
        assert (now.scripts, now.throughput) == (was.scripts, was.throughput), name
    assert copy.throughputs == live.throughputs


class TestComing:
    def test_a_drill_comes_and_goes(self, subscription: Subscription) -> None:
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

    def test_a_drill_s_name_is_each_run_s_own(self, subscription: Subscription) -> None:
        """Else a sweeper could remove the account of the run that follows."""
        target = subscription.target(drill=True, to="b" * 44)
        assert target.working == target.final == "b" * 37 + "-abc123"

    def test_what_is_placed_stays_with_its_times_to_live(self, subscription: Subscription) -> None:
        target = subscription.restore(subscription.target(to="bank-new"))
        for _ in range(2):
            subscription.store.place(subscription.backup, target)
        subscription.store.discard(target)
        copy = subscription.copy(target)
        assert (
            copy.databases["bank"]["midtime_fence"].resource
            == subscription.memory.accounts[LIVE].databases["bank"]["midtime_fence"].resource
        )
        assert (copy.tags[COPY_TAG], copy.tags["team"]) == (f"placed {target.working}", "bank")
        require_whole(subscription, target)

    def test_put_back_it_goes(self, subscription: Subscription) -> None:
        target = subscription.restore(subscription.target(to="bank-new"))
        subscription.store.place(subscription.backup, target)
        subscription.store.put_back(subscription.backup, target)
        subscription.store.discard(target)
        assert list(subscription.memory.accounts) == [LIVE]

    def test_there_and_back_as_often_as_wanted(self, subscription: Subscription) -> None:
        target = subscription.restore(subscription.target(to="bank-new"))
        for _ in range(4):
            subscription.store.place(subscription.backup, target)
            assert subscription.copy(target).tags[COPY_TAG] == f"placed {target.working}"
            subscription.store.put_back(subscription.backup, target)
            assert subscription.copy(target).tags[COPY_TAG] == target.working

    def test_nobody_gets_in_before_the_rules_are_there(self, subscription: Subscription) -> None:
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

    def test_strong_whatever_was_marked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        subscription = Subscription(tmp_path, monkeypatch).fill(consistencyPolicy={"defaultConsistencyLevel": "BoundedStaleness"}).mark()
        target = subscription.restore(subscription.target(drill=True))
        assert subscription.copy(target).properties["consistencyPolicy"]["defaultConsistencyLevel"] == "Strong"

    def test_an_index_is_waited_for(self, subscription: Subscription) -> None:
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

    def test_a_deleted_account(self, subscription: Subscription) -> None:
        live = subscription.memory.accounts[LIVE]
        subscription.memory.delete(LIVE)
        target = subscription.target(drill=True)
        assert "the account was deleted at" in answers(subscription, target)["can be restored to the instant"]
        subscription.restore(target)
        assert subscription.copy(target).databases["bank"]["accounts"].scripts["procedures"].keys() == PROCEDURE.keys()
        assert live.gone_at

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_the_service_answers_no_more_now(self, subscription: Subscription, status: int) -> None:
        target = subscription.target(drill=True)
        subscription.look(target)

        def refuse(operation: str) -> None:
            raise refusal(status, "not now")

        subscription.memory.before_each = refuse
        waiting = subscription.look(target)
        assert waiting
        assert "the service does not answer now" in waiting.detail
        subscription.memory.before_each = lambda operation: None
        subscription.restore(target)
        require_whole(subscription, target)

    def test_the_service_takes_no_more_now(self, subscription: Subscription) -> None:
        refused = iter([429, 503, 412] * 3)

        def refuse(operation: str) -> None:
            if operation.startswith("begin_") and "retrieve" not in operation and (status := next(refused, 0)):
                raise refusal(status, "not now")

        subscription.memory.before_each = refuse
        target = subscription.restore(subscription.target(drill=True))
        require_whole(subscription, target)


class TestKilled:
    @pytest.mark.parametrize("answer_lost", [False, True])
    def test_left_at_any_call_and_gone_on_with(self, subscription: Subscription, answer_lost: bool) -> None:
        """Killed before a call, or when it has taken effect: one restore is asked for, and everything is there in the end."""
        memory, target, number = subscription.memory, subscription.target(drill=True), 1
        memory.answer_lost = answer_lost
        while True:
            begun = memory.counts["begin_create_or_update"]
            with subscription.leaving(number) as left:
                subscription.restore(target)
            if not left():
                break
            subscription.restore(target)
            require_whole(subscription, target)
            assert memory.counts["begin_create_or_update"] == begun + 1, number
            with subscription.leaving(1 + number % 7):
                subscription.store.discard(target)
            subscription.store.discard(target)
            assert list(memory.accounts) == [LIVE], number
            number += 1 if number < 12 else 4
        assert number > 100

    @pytest.mark.parametrize("answer_lost", [False, True])
    def test_left_while_it_is_placed(self, subscription: Subscription, answer_lost: bool) -> None:
        memory, number = subscription.memory, 1
        memory.answer_lost = answer_lost
        while True:
            target = subscription.restore(subscription.target(to="bank-new"))
            with subscription.leaving(number) as left:
                subscription.store.place(subscription.backup, target)
            if not left():
                break
            if number % 2:
                subscription.store.place(subscription.backup, target)
                assert subscription.copy(target).tags[COPY_TAG] == f"placed {target.working}"
                assert subscription.copy(target).databases["bank"]["midtime_fence"].resource["defaultTtl"] == 5184000
            subscription.store.put_back(subscription.backup, target)
            subscription.store.discard(target)
            assert list(memory.accounts) == [LIVE], number
            number += 1
        assert number > 20

    def test_the_answer_to_the_restore_was_lost(self, subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
        memory, target = subscription.memory, subscription.target(drill=True)
        real = memory.begin_create_or_update

        def lost(*said: Any, **asked: Any) -> None:
            real(*said, **asked)
            raise refusal(504, "gateway")

        monkeypatch.setattr(memory, "begin_create_or_update", lost)
        assert subscription.look(target)
        subscription.restore(target)
        require_whole(subscription, target)
        assert memory.counts["begin_create_or_update"] == 1

    def test_what_was_asked_for_and_is_not_to_be_seen_is_waited_for(
        self, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory, target = subscription.memory, subscription.target(drill=True)
        real = memory.begin_create_or_update

        def lost(*said: Any, **asked: Any) -> None:
            raise refusal(504, "gateway")

        monkeypatch.setattr(memory, "begin_create_or_update", lost)
        subscription.look(target)
        memory.sleep(60)
        waiting = subscription.look(target)
        assert waiting
        assert "not to be seen yet" in waiting.detail
        assert memory.counts["begin_create_or_update"] == 1
        monkeypatch.setattr(memory, "begin_create_or_update", real)
        memory.sleep(60)
        subscription.restore(target)
        require_whole(subscription, target)

    def test_discarded_before_the_account_is_to_be_seen(self, subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
        """The process died with its request on the way: the sweeper must not forget the account that comes of it."""
        memory, target = subscription.memory, subscription.target(drill=True)
        real = memory.begin_create_or_update
        on_its_way: list[Callable[[], None]] = []

        def slow(*said: Any, **asked: Any) -> None:
            on_its_way.append(lambda: real(*said, **asked))
            raise refusal(504, "gateway")

        monkeypatch.setattr(memory, "begin_create_or_update", slow)
        subscription.look(target)
        memory.before_each = lambda operation: on_its_way.pop()() if on_its_way and memory.now > 1230 else None
        subscription.store.discard(target)
        for late in on_its_way:
            late()
        assert list(memory.accounts) == [LIVE]

    def test_one_that_is_being_deleted_is_given_time(self, subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
        memory, target = subscription.memory, subscription.restore(subscription.target(drill=True))
        real = memory._begin
        monkeypatch.setattr(memory, "_begin", lambda operation, seconds, *said, **asked: real(operation, 1500, *said, **asked))
        subscription.store.discard(target)
        assert list(memory.accounts) == [LIVE]
        assert memory.counts["begin_delete"] == 1

    def test_an_account_that_is_being_restored_goes_later(self, subscription: Subscription) -> None:
        memory, target = subscription.memory, subscription.target(drill=True)
        memory.seconds = 3600
        subscription.look(target)
        with pytest.raises(StoreUnreachableError, match=r"cannot be removed yet: .*in progress"):
            subscription.store.discard(target)
        memory.sleep(3600)
        subscription.store.discard(target)
        assert list(memory.accounts) == [LIVE]


class TestRefused:
    def test_a_name_that_is_taken(self, subscription: Subscription) -> None:
        subscription.memory.taken.add("bank-new")
        target = subscription.target(to="bank-new")
        with pytest.raises(TargetExistsError, match="the name bank-new is taken"):
            subscription.restore(target)
        assert "the name bank-new is taken" in answers(subscription, target)[WILL_BE]
        subscription.store.discard(target)
        assert subscription.memory.counts["begin_create_or_update"] == 0

    @pytest.mark.parametrize("how", ["made by hand", "another source", "another instant", "another run", "placed"])
    def test_another_account_of_that_name_is_never_deleted(self, subscription: Subscription, how: str) -> None:
        target = subscription.restore(subscription.target(to="bank-new"))
        copy = subscription.copy(target)
        if how == "made by hand":
            del copy.properties["restoreParameters"]
        elif how == "another source":
            copy.properties["restoreParameters"]["restoreSource"] += "0"
        elif how == "another instant":
            copy.properties["restoreParameters"]["restoreTimestampInUtc"] = "2026-11-21T02:05:01Z"
        else:
            copy.tags[COPY_TAG] = "midtime-tmp-ffffff" if how == "another run" else f"placed {target.working}"
        subscription.store.discard(target)
        assert "bank-new" in subscription.memory.accounts
        assert subscription.memory.counts["begin_delete"] == 0

    @pytest.mark.parametrize("how", ["made by hand", "another run"])
    def test_somebody_elses_account_is_not_gone_on_with(self, subscription: Subscription, how: str) -> None:
        target = subscription.target(to="bank-new")
        subscription.look(target)
        copy = subscription.copy(target)
        if how == "another run":
            copy.tags[COPY_TAG] = "midtime-tmp-ffffff"
        else:
            del copy.properties["restoreParameters"]
        with pytest.raises(TargetExistsError, match="is somebody else's"):
            subscription.look(target)

    def test_a_restore_that_is_refused_leaves_nothing_to_wait_for(self, subscription: Subscription) -> None:
        def refuse(operation: str) -> None:
            if operation == "begin_create_or_update":
                raise refusal(403, "AuthorizationFailed", "AuthorizationFailed")

        subscription.memory.before_each = refuse
        target, now = subscription.target(drill=True), subscription.memory.now
        for _ in range(2):
            with pytest.raises(StoreAccessError, match="access denied"):
                subscription.look(target)
        subscription.store.discard(target)
        assert subscription.memory.now == now

    def test_the_operation_failed(self, subscription: Subscription) -> None:
        subscription.memory.failing["begin_create_or_update"] = "no capacity in Japan East"
        target = subscription.target(drill=True)
        for _ in range(2):
            with pytest.raises(RestoreFailedError, match="InternalServerError: no capacity in Japan East"):
                subscription.restore(target)
        assert subscription.memory.counts["begin_create_or_update"] == 1
        subscription.store.discard(target)
        assert list(subscription.memory.accounts) == [LIVE]

    def test_a_change_failed_and_is_tried_again(self, subscription: Subscription) -> None:
        subscription.memory.failing["begin_update"] = "busy network"
        target = subscription.target(drill=True)
        with pytest.raises(RestoreFailedError, match=r"ipRules.*InternalServerError: busy network"):
            subscription.restore(target)
        subscription.restore(target)
        require_whole(subscription, target)

    def test_deleted_meanwhile(self, subscription: Subscription) -> None:
        target = subscription.target(drill=True)
        while (waiting := subscription.look(target)) and "stored procedure" not in waiting.detail:
            subscription.memory.sleep(10)
        subscription.memory.delete(target.final)
        with pytest.raises(RestoreFailedError, match="was there, and somebody has deleted it"):
            subscription.restore(target)
        assert subscription.memory.counts["begin_create_or_update"] == 1

    def test_a_container_that_was_not_there_then(self, subscription: Subscription) -> None:
        del subscription.memory.accounts[LIVE].databases["coordinator"]["state"]
        target = subscription.target(drill=True)
        assert "coordinator/state was not there then" in answers(subscription, target)["can be restored to the instant"]
        with pytest.raises(NotRestorableError, match="coordinator/state was not there then"):
            subscription.restore(target)

    def test_an_account_that_is_kept_no_more(self, subscription: Subscription) -> None:
        del subscription.memory.accounts[LIVE]
        assert (
            "is not among the accounts that can be restored any more"
            in answers(subscription, subscription.target())["can be restored to the instant"]
        )

    def test_an_account_that_was_gone_by_then(self, subscription: Subscription) -> None:
        subscription.memory.delete(LIVE)
        later = subscription.backup.midtime + timedelta(seconds=3600)
        subscription.backup = subscription.backup.model_copy(update={"midtime": later})
        assert "was deleted at" in answers(subscription, subscription.target())["can be restored to the instant"]

    def test_not_reached_yet(self, subscription: Subscription) -> None:
        subscription.memory.now = 350
        assert (
            "cannot be restored to 2026-11-21T02:05:00Z yet"
            in answers(subscription, subscription.target())["can be restored to the instant"]
        )

    def test_in_place(self, subscription: Subscription) -> None:
        with pytest.raises(RequestError, match="restores an account into a new one only") as caught:
            subscription.target(in_place=True, to="bank-new")
        assert "restore all stores beside" in caught.value.fix

    @pytest.mark.parametrize("name", ["Bank", "a", "-bank", "bank-", "b" * 45, "bank_new", "bänk"])
    def test_no_name(self, subscription: Subscription, name: str) -> None:
        with pytest.raises(RequestError, match="is no name of an account"):
            subscription.target(to=name)

    def test_the_live_account(self, subscription: Subscription) -> None:
        with pytest.raises(RequestError, match="is the live account"):
            subscription.target(to=LIVE)

    def test_a_right_that_is_missing(self, subscription: Subscription) -> None:
        subscription.memory.allowed = [{"actions": ["Microsoft.DocumentDB/databaseAccounts/*"], "notActions": []}]
        assert "restorableDatabaseAccounts/restore/action" in answers(subscription, subscription.target())["may be restored"]

    def test_another_subscription(self, subscription: Subscription) -> None:
        details = {**subscription.backup.details, "subscription": "00000000-0000-0000-0000-000000000000"}
        subscription.backup = subscription.backup.model_copy(update={"details": details})
        assert "was marked in subscription 00000000" in answers(subscription, subscription.target())["is what was marked"]

    def test_too_long(self, subscription: Subscription) -> None:
        subscription.memory.seconds = 1e6
        with pytest.raises(RestoreFailedError, match=r"restore of bank-prod to 2026-11-21T02:05:00Z, after"):
            subscription.restore(subscription.target(drill=True))

    def test_expired_in_the_middle(self, subscription: Subscription) -> None:
        target = subscription.target(drill=True)
        subscription.look(target)

        def expired(operation: str) -> None:
            raise refusal(401, "ExpiredAuthenticationToken", "ExpiredAuthenticationToken")

        subscription.memory.before_each = expired
        with pytest.raises(StoreAccessError, match="credentials have expired"):
            subscription.look(target)
        subscription.memory.before_each = lambda operation: None
        subscription.restore(target)
        require_whole(subscription, target)

    def test_a_network_that_does_not_let_the_worker_in(self, subscription: Subscription) -> None:
        target, memory = subscription.target(drill=True), subscription.memory

        def closed(operation: str) -> None:
            if operation == "read_container":
                raise refusal(403, "blocked by your Cosmos DB account firewall settings")

        memory.before_each = closed
        for _ in range(12):
            waiting = subscription.look(target)
            assert waiting
            memory.sleep(20)
        assert "does not let this worker in: give it a private endpoint" in waiting.detail
        memory.before_each = lambda operation: None
        assert subscription.look(target) is None

    def test_an_open_account_that_refuses_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        subscription = Subscription(tmp_path, monkeypatch).fill(**OPEN).mark()

        def closed(operation: str) -> None:
            if operation == "read_container":
                raise refusal(403, "no")

        subscription.memory.before_each = closed
        with pytest.raises(StoreAccessError):
            subscription.restore(subscription.target(drill=True))

    def test_throughput_that_is_refused_is_said_and_left(self, subscription: Subscription) -> None:
        def refuse(operation: str) -> None:
            if operation == "begin_update_sql_container_throughput":
                raise refusal(400, "more than your quota", "BadRequest")

        subscription.memory.before_each = refuse
        target = subscription.restore(subscription.target(drill=True))
        subscription.memory.before_each = lambda operation: None
        assert subscription.copy(target).throughputs["bank"] == {"throughput": 800}
        with subscription.store.restored(subscription.backup, target) as restored:
            assert restored.schema_differences() == []
            assert "bank/accounts: throughput was 4000 RU/s, autoscaled, is 1000 RU/s, autoscaled" in restored.setting_differences()

    def test_a_procedure_that_is_refused_fails_the_restore(self, subscription: Subscription) -> None:
        def refuse(operation: str) -> None:
            if operation == "begin_create_update_sql_stored_procedure":
                raise refusal(400, "no such syntax", "BadRequest")

        subscription.memory.before_each = refuse
        with pytest.raises(StoreStatementError, match="no such syntax"):
            subscription.restore(subscription.target(drill=True))

    def test_one_that_is_taken_and_does_not_show(self, subscription: Subscription, monkeypatch: pytest.MonkeyPatch) -> None:
        memory = subscription.memory
        monkeypatch.setattr(memory, "_script", lambda kind, said, asked: memory._begin(kind, 1, lambda: None, asked))
        with pytest.raises(
            RestoreFailedError, match=r"stored procedure mutate.js of .*: the service took it 3 times, and it does not show"
        ):
            subscription.restore(subscription.target(drill=True))


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


def test_memory_is_as_strict_as_the_service() -> None:
    """Two operations at once, and a second restore under one name, are refused: else these tests could not fail."""
    memory = Memory()
    memory.make("a", {})
    memory.accounts["a"].state = "Updating"
    with pytest.raises(Exception, match="another operation"):
        memory.begin_update("g", "a", None)
    with pytest.raises(Exception, match="exists"):
        memory.begin_create_or_update("g", "a", None)

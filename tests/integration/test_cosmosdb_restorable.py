"""The wait until every container's backups reach the mark: what is asked, what is not asked again, and how the wait ends."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from midtime.dag_parts import restore_points
from midtime.errors import NotRestorableError, StoreAccessError
from midtime.model.instants import utc_now
from midtime.model.restore_point import StoreBackup
from midtime.operators.restorable import RestorableOperator
from midtime.stores.base import Restorable
from midtime.stores.cosmosdb import backups, restorable
from tests.integration.cosmosdb_marks import ALL, ASKED, FENCE, LAG, Bank
from tests.unit.builders import point

pytestmark = pytest.mark.integration


@pytest.fixture
def bank(still_cosmos_bank: Bank) -> Bank:
    return still_cosmos_bank


class TestRestorable:
    """Each look is a store of its own, as another process would open it."""

    @pytest.fixture
    def made(self, bank: Bank) -> StoreBackup:
        return bank.marked()

    def look(self, bank: Bank, made: StoreBackup, before: Restorable | None = None) -> Restorable:
        return bank.store.restorable(made, before.passed if before else ())

    def test_it_waits_for_the_last_container(self, bank: Bank, made: StoreBackup) -> None:
        first = self.look(bank, made)
        assert not first.ready
        assert first.detail.startswith(f"{len(ALL) + 1} of {len(ALL) + 1} containers do not reach")
        short = made.midtime.timestamp() - 1
        bank.server.settings(backed_up={"bank/owners": short})
        bank.later(LAG + 1)
        second = self.look(bank, made, first)
        assert not second.ready
        assert second.detail.endswith(f"; bank/owners reaches {datetime.fromtimestamp(short, UTC):%Y-%m-%dT%H:%M:%SZ}")
        assert second.detail.startswith(f"1 of {len(ALL) + 1} containers do not reach")
        bank.server.settings(backed_up={"bank/owners": short + 1})
        assert self.look(bank, made, second).ready

    @pytest.mark.long
    def test_what_has_passed_is_not_asked_again(self, bank: Bank, made: StoreBackup) -> None:
        bank.server.settings(backed_up={"bank/owners": made.midtime.timestamp() - 1})
        bank.later(LAG + 1)
        first = self.look(bank, made)
        assert set(first.passed) == {*ALL, FENCE} - {"bank/owners"}
        asked = bank.count()
        second = self.look(bank, made, first)
        assert bank.count() == asked + 1
        assert second.passed == first.passed

    @pytest.mark.long
    def test_a_look_asks_no_more_than_arm_takes(self, bank: Bank, made: StoreBackup, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(restorable, "AT_MOST", 2)
        bank.later(LAG + 1)
        asked, said = bank.count(), None
        for looks in range(1, 4):
            said = self.look(bank, made, said)
            assert said.ready is (looks == 3)
            assert bank.count() == asked + 2 * looks

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            (lambda bank: bank.drop("bank/owners"), "bank/owners was deleted"),
            (
                lambda bank: (bank.drop("bank/owners"), bank.later(1), bank.container("bank/owners")),
                "bank/owners is another container of that name",
            ),
            (lambda bank: bank.remake(), "account bank-prod is another account of that name"),
            (lambda bank: bank.arm.database_accounts.begin_delete(*bank.where).result(), "account bank-prod was deleted"),
            (lambda bank: bank.later(9 * 24 * 3600), "account bank-prod has a history that begins at"),
        ],
    )
    def test_it_never_will_be(self, bank: Bank, made: StoreBackup, spoil: Any, said: str) -> None:
        spoil(bank)
        with pytest.raises(NotRestorableError, match=said) as caught:
            self.look(bank, made)
        assert not caught.value.retryable
        assert caught.value.fix

    @pytest.mark.long
    def test_also_where_the_container_had_passed(self, bank: Bank, made: StoreBackup) -> None:
        bank.later(LAG + 1)
        before = self.look(bank, made)
        assert before.ready
        bank.drop("bank/owners")
        with pytest.raises(NotRestorableError, match="bank/owners was deleted"):
            self.look(bank, made, before)

    @pytest.mark.parametrize("kind", ["throttling", "unavailable", "error", "failed", "conflict"])
    @pytest.mark.long
    def test_a_container_that_does_not_say_is_asked_again(
        self, bank: Bank, made: StoreBackup, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The others are not, and the wait goes on."""
        monkeypatch.setattr("azure.core.pipeline.transport.RequestsTransport.sleep", lambda *_: None)
        bank.later(LAG + 1)
        monkeypatch.setattr("midtime.stores.each.AT_ONCE", 1)
        bank.fail(kind, ASKED, skip=2, times=6)
        first = self.look(bank, made)
        assert not first.ready
        assert "does not say: store bank: " in first.detail
        bank.server.faults()
        asked = bank.count()
        assert self.look(bank, made, first).ready
        assert bank.count() - asked == len(ALL) + 1 - len(first.passed) <= 5

    @pytest.mark.long
    def test_one_that_hangs(self, bank: Bank, made: StoreBackup, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backups, "PATIENCE", 0.5)
        bank.server.settings(stopped_at=None, backup_information=600)
        began = time.monotonic()
        said = self.look(bank, made)
        assert not said.ready
        assert "does not say within 0.5 s" in said.detail
        assert time.monotonic() - began < 10

    @pytest.mark.parametrize(("kind", "said"), [("expired", "credentials have expired"), ("denied", "access denied")])
    def test_a_login_that_is_good_no_more(self, bank: Bank, made: StoreBackup, kind: str, said: str) -> None:
        """In the middle of the wait: somebody must mend it, and clear the task."""
        bank.later(LAG + 1)
        bank.fail(kind, ASKED, skip=3)
        with pytest.raises(StoreAccessError, match=said) as caught:
            self.look(bank, made)
        assert not caught.value.retryable


class TestTask:
    """The task that waits, with the store behind it."""

    @contextmanager
    def published(self, bank: Bank, *, minutes_ago: int) -> Iterator[RestorableOperator]:
        made = point(stores=(bank.marked(),), finished_at=utc_now() - timedelta(minutes=minutes_ago))
        bank.catalog.publish(made)
        yield RestorableOperator(task_id="restorable", topology=bank.topology, restore_point=made.id, asset=restore_points(bank.topology))

    def context(self, task: RestorableOperator) -> Any:
        return {"outlet_events": {task.asset: SimpleNamespace(extra=None)}}

    def test_it_ends_where_the_backups_never_advance(self, bank: Bank) -> None:
        with self.published(bank, minutes_ago=61) as task:
            bank.server.settings(backed_up={"bank/owners": bank.server.now() - 600})
            bank.later(LAG + 1)
            with pytest.raises(AirflowFailException) as caught:
                task.execute(self.context(task))
        assert "1 of 6 containers do not reach" in str(caught.value)
        assert "bank/owners reaches" in str(caught.value)
        assert "clear this task" in str(caught.value)

    def test_it_defers_and_goes_on_in_another_process(self, bank: Bank) -> None:
        with self.published(bank, minutes_ago=1) as task:
            bank.server.settings(backed_up={"bank/owners": bank.server.now() - 600})
            bank.later(LAG + 1)
            with pytest.raises(TaskDeferred) as deferred:
                task.execute(self.context(task))
            bank.server.settings(backed_up={})
            asked = bank.count()
            again = RestorableOperator(task_id="restorable", topology=bank.topology, restore_point=task.restore_point, asset=task.asset)
            said = again.resume(self.context(task), **json.loads(json.dumps(deferred.value.kwargs)))
            assert said["bank"].startswith("all of 6 containers reach")
            assert bank.count() == asked + 1

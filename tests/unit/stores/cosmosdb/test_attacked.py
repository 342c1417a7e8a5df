"""What a strict reviewer found: moments and inputs in which a restore was taken for good, asked for twice, left behind, or a secret told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import HttpTransport
from azure.mgmt.cosmosdb import CosmosDBManagementClient

from midtime.errors import RestoreFailedError, TargetExistsError
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.notes import Operation
from midtime.stores.cosmosdb.operations import look
from midtime.stores.cosmosdb.restoring import begin
from tests.unit.stores.cosmosdb.memory import KEY, LIVE, refusal
from tests.unit.stores.cosmosdb.restores import Subscription, subscription

__all__ = ["subscription"]


def test_the_operation_is_forgotten_and_the_restore_fails(subscription: Subscription) -> None:
    """Its containers are there, its data are not."""
    memory, target = subscription.memory, subscription.target(drill=True)
    subscription.look(target)
    copy = subscription.copy(target)
    memory.operations.clear()
    memory.sleep(30)
    assert subscription.look(target)
    live = memory.accounts[LIVE]
    for of in live.databases:
        copy.databases[of] = {name: memory._restored(each, {"restoreWithTtlDisabled": True}) for name, each in live.databases[of].items()}
        copy.throughputs[of] = {"throughput": 400} if live.throughputs[of] else None
    copy.state = "Failed"
    with pytest.raises(RestoreFailedError):
        subscription.restore(target)


def test_the_operation_fails_before_the_account_says_so(subscription: Subscription) -> None:
    """Once the account is gone, nobody asks for a second one."""
    memory, target = subscription.memory, subscription.target(drill=True)
    memory.failing["begin_create_or_update"] = "no capacity"
    memory.seconds = 3
    subscription.look(target)
    copy = subscription.copy(target)
    memory.sleep(10)
    memory._sweep()
    copy.state = "Creating"
    for _ in range(2):
        with pytest.raises(RestoreFailedError, match="no capacity"):
            subscription.look(target)
        memory.accounts.pop(target.final, None)
        memory.sleep(200)
    assert memory.counts["begin_create_or_update"] == 1


def test_put_back_while_its_tag_is_on_the_way(subscription: Subscription) -> None:
    """It would stay, and be charged for, as one that was placed."""
    memory = subscription.memory
    memory.answer_lost = True
    for number in range(1, 400):
        target = subscription.restore(subscription.target(to="bank-new"))
        with subscription.leaving(number) as left:
            subscription.store.place(subscription.backup, target)
        if not left():
            break
        subscription.store.put_back(subscription.backup, target)
        subscription.store.discard(target)
        assert list(memory.accounts) == [LIVE], (number, memory.log[-1])
    assert number > 3


def test_triggers_that_the_service_refuses_spoil_nothing(subscription: Subscription) -> None:
    def refuse(operation: str) -> None:
        if operation == "begin_create_update_sql_trigger":
            raise refusal(400, "no", "BadRequest")

    subscription.memory.before_each = refuse
    target = subscription.restore(subscription.target(drill=True))
    subscription.memory.before_each = lambda operation: None
    with subscription.store.restored(subscription.backup, target) as restored:
        assert restored.schema_differences() == []


def test_two_stores_whose_drills_have_one_name(subscription: Subscription) -> None:
    target = subscription.target(drill=True)
    subscription.look(target)
    other = type(target).from_dict({**target.to_dict(), "store": "tickets"})
    with pytest.raises(TargetExistsError, match="is the name for store points in this run"):
        begin(subscription.topology, subscription.backup, subscription.shelf, other)


class Overheard(HttpTransport[Any, Any]):
    """Hears where a request would have gone."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def open(self) -> None: ...
    def close(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...

    def send(self, request: Any, **_: Any) -> Any:
        self.urls.append(request.url)
        raise InterruptedError


@pytest.mark.parametrize("path", ["https://evil.example/x", "//evil.example/x", "/subscriptions/s?a=b"])
def test_a_note_sends_no_token_elsewhere(path: str) -> None:
    class Login:
        def get_token(self, *_: str, **__: Any) -> AccessToken:
            return AccessToken("secret", 2**40)

    heard = Overheard()
    arm = CosmosDBManagementClient(cast(Any, Login()), "s", transport=heard)
    with pytest.raises(InterruptedError):
        look(cast(Azure, SimpleNamespace(store="points", arm=arm)), Operation(what="x", path=path))
    assert all(url.startswith("https://management.azure.com/") for url in heard.urls)


def test_a_key_that_is_cut_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "repair.py"
    script.write_text("import os, sys\nprint('x' * 490 + os.environ['MIDTIME_COSMOSDB_KEY'])\nsys.exit(3)\n")
    repair = {"command": [sys.executable, str(script)], "timeout": "30s"}
    broken = Subscription(tmp_path, monkeypatch, repair=repair).fill().mark()
    with pytest.raises(RestoreFailedError) as caught:
        broken.restore(broken.target(drill=True))
    assert KEY[:8] not in str(caught.value)

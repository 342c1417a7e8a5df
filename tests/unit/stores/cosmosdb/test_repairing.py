"""The user's own command puts the stored procedures back: with what it needs, with nothing shown, and it is not believed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from midtime.errors import RestoreFailedError
from tests.unit.stores.cosmosdb.restores import Subscription, require_whole
from tests.unit.stores.cosmosdb.service import KEY, PROCEDURE

SCRIPT = """
import os, sys
with open(sys.argv[1], "a") as file:
    file.write(os.environ["MIDTIME_COSMOSDB_ENDPOINT"] + " " + os.environ["MIDTIME_COSMOSDB_ACCOUNT"] + chr(10))
assert os.environ["MIDTIME_COSMOSDB_KEY"] not in " ".join(sys.argv)
print("key is", os.environ["MIDTIME_COSMOSDB_KEY"])
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def said(tmp_path: Path) -> Path:
    return tmp_path / "said"


def repaired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Path, code: int) -> Subscription:
    script = tmp_path / "repair.py"
    script.write_text(SCRIPT)
    repair = {"command": [sys.executable, str(script), str(said), str(code)], "timeout": "30s"}
    return Subscription(tmp_path, monkeypatch, repair=repair).fill().mark()


def test_it_runs_once_and_is_given_the_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Path) -> None:
    subscription = repaired(tmp_path, monkeypatch, said, 0)
    target, real = subscription.target(drill=True), subscription.memory.list_sql_stored_procedures

    def after_the_command(*where: str) -> object:
        if said.exists():  # by another version of ScalarDB
            for of, name in (("bank", "accounts"), ("coordinator", "state")):
                subscription.copy(target).databases[of][name].scripts["procedures"] = {each: {"body": "newer"} for each in PROCEDURE}
        return real(*where)

    monkeypatch.setattr(subscription.memory, "list_sql_stored_procedures", after_the_command)
    subscription.restore(target)
    subscription.look(target)  # as if the process had died right behind the command
    assert said.read_text() == f"https://{target.final}.example {target.final}\n"
    assert subscription.memory.counts["begin_create_update_sql_stored_procedure"] == 0
    with subscription.store.restored(subscription.backup, target) as restored:
        assert restored.schema_differences() == []


def test_not_before_the_account_lets_anybody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Path) -> None:
    subscription = repaired(tmp_path, monkeypatch, said, 0)
    target = subscription.target(drill=True)
    with subscription.refusing(403, "blocked by your Cosmos DB account firewall settings", of="read_container"):
        for _ in range(30):
            waiting = subscription.look(target)
            subscription.memory.sleep(20)
    assert waiting
    assert "does not let this worker in" in waiting.detail
    assert not said.exists()
    with pytest.raises(RestoreFailedError, match="did not put back"):
        subscription.restore(target)
    assert said.exists()


def test_one_that_does_nothing_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Path) -> None:
    subscription = repaired(tmp_path, monkeypatch, said, 0)
    with pytest.raises(RestoreFailedError, match=r"did not put back mutate.js of bank/accounts, mutate.js of coordinator/state"):
        subscription.restore(subscription.target(drill=True))


def test_one_that_fails_says_why_without_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Path) -> None:
    subscription = repaired(tmp_path, monkeypatch, said, 3)
    with pytest.raises(RestoreFailedError, match=r"key is \*\*\*\n\(exit code 3\)") as caught:
        subscription.restore(subscription.target(drill=True))
    assert KEY not in str(caught.value)


def test_a_key_that_is_cut_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "repair.py"
    script.write_text("import os, sys\nprint('x' * 490 + os.environ['MIDTIME_COSMOSDB_KEY'])\nsys.exit(3)\n")
    repair = {"command": [sys.executable, str(script)], "timeout": "30s"}
    broken = Subscription(tmp_path, monkeypatch, repair=repair).fill().mark()
    with pytest.raises(RestoreFailedError) as caught:
        broken.restore(broken.target(drill=True))
    assert KEY[:8] not in str(caught.value)


@pytest.mark.parametrize("built", [True, False])
def test_it_is_taken_out_of_the_topology_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Path, built: bool) -> None:
    """The procedures of the mark are put there instead, also where everything else was done."""
    subscription = repaired(tmp_path, monkeypatch, said, 3)
    target = subscription.target(drill=True)
    if built:
        with pytest.raises(RestoreFailedError, match="the repair command failed"):
            subscription.restore(target)
    else:
        subscription.look(target)
    subscription.move()
    subscription.restore(target)
    require_whole(subscription, target)

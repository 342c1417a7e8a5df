"""What a copy is made with is asked for before the service is asked for the copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from midtime.errors import StoreAccessError
from midtime.stores.rds.groups import groups_of, require_groups
from tests.unit.stores.rds.memory import refusal
from tests.unit.stores.rds.restores import Account
from tests.unit.stores.rds.test_targets import marked


def test_all_are_there(account: Account) -> None:
    said = account.answers(account.target(to="bank-new"))["has its groups"]
    own = {"rds": "parameter group tuned", "aurora": "cluster parameter group tuned-cluster"}[account.kind]
    assert "subnet group private" in said
    assert own in said


@pytest.mark.parametrize(
    ("kind", "name", "noun"),
    [
        ("rds", "private", "subnet group"),
        ("rds", "tuned", "parameter group"),
        ("rds", "options", "option group"),
        ("aurora", "private", "subnet group"),
        ("aurora", "tuned", "parameter group"),
        ("aurora", "tuned-cluster", "cluster parameter group"),
    ],
)
@pytest.mark.parametrize("drill", [True, False])
def test_one_is_gone(kind: str, name: str, noun: str, drill: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account(kind, tmp_path, monkeypatch).fill().mark()
    account.memory.groups.discard(name)
    with pytest.raises(StoreAccessError, match=f"gone: {noun} {name}") as caught:
        account.answers(account.target(drill=drill))
    assert "under its old name" in caught.value.fix
    ((_, answer),) = account.store.drill_questions()
    with pytest.raises(StoreAccessError, match=f"gone: {noun} {name}"):
        answer()
    assert not {operation for operation, _ in account.memory.asked if operation.startswith("restore")}


def test_all_that_are_gone_are_named(rds: Account) -> None:
    rds.memory.groups.clear()
    with pytest.raises(StoreAccessError, match="gone: subnet group private, parameter group tuned, option group options"):
        rds.answers(rds.target())


def test_a_drills_own_subnet_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of the marked one, also where there is none any more."""
    account = Account("rds", tmp_path, monkeypatch, drill={"subnet_group": "drills"}).fill().mark()
    account.memory.groups.discard("private")
    assert "subnet group drills" in account.answers(account.target(drill=True))["has its groups"]
    with pytest.raises(StoreAccessError, match="gone: subnet group private"):
        account.answers(account.target(to="bank-new"))
    account.memory.groups.discard("drills")
    with pytest.raises(StoreAccessError, match="gone: subnet group drills"):
        account.answers(account.target(drill=True))


def test_amazons_own_are_not_asked_for(rds: Account) -> None:
    settings = {"DBParameterGroupName": "default.postgres16", "OptionGroupName": "default:postgres-16", "DBSubnetGroupName": "default"}
    assert groups_of(marked(settings=settings)) == {}
    assert require_groups(rds.store.aws, {}) == "none but Amazon's own"


def test_a_mark_that_did_not_note_them(rds: Account) -> None:
    details = {key: value for key, value in rds.backup.details.items() if key != "groups"}
    rds.backup = rds.backup.model_copy(update={"details": details})
    assert rds.answers(rds.target())["has its groups"] == "none but Amazon's own"


def test_a_login_that_may_not_ask(rds: Account) -> None:
    def refuse(operation: str, _: object) -> None:
        if operation == "describe_option_groups":
            raise refusal("AccessDenied", status=403)

    rds.memory.before_each = refuse
    with pytest.raises(StoreAccessError, match="access denied") as caught:
        rds.answers(rds.target())
    assert "docs/rds.md" in caught.value.fix

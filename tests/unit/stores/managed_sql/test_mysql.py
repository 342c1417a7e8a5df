"""What a managed MySQL must be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from midtime.errors import StoreAccessError, StoreStatementError
from midtime.stores.managed_sql import mysql
from midtime.stores.managed_sql.mysql import MysqlData, RestoredMysql
from midtime.stores.mysql.connections import Login, Session
from tests.unit.builders import topology


class Server(Session):
    """One that says no more than whether it may be written, and what the login may read."""

    def __init__(self, said: tuple[Any, ...], granted: str = "SELECT ON *.*") -> None:
        super().__init__(None, Login("h", 3306, "u", "p", {}))
        self.answers: dict[str, list[tuple[Any, ...]]] = {
            "VERSION": [("8.0.36",)], "read_only": [said], "CURRENT_ROLE": [("NONE",)], "partial_revokes": [],
            "SHOW GRANTS": [(f"GRANT {granted} TO `u`@`%`",)], "schemata": [("bank_accounts",)],
        }  # fmt: skip

    def rows(self, query: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        return next(answer for words, answer in self.answers.items() if words in query)


def check(monkeypatch: pytest.MonkeyPatch, said: tuple[Any, ...], granted: str = "SELECT ON *.*") -> str:
    @contextmanager
    def connect(*_: Any) -> Iterator[Session]:
        yield Server(said, granted)

    monkeypatch.setattr(mysql, "connect", connect)
    monkeypatch.setattr(mysql, "check_namespaces", lambda *_: "bank")
    return MysqlData(topology(), "accounts", "data", None).check()


@pytest.mark.parametrize("said", [(1, 0), (0, 1), ("ON", "OFF"), ("NO_LOCK_NO_ADMIN", "OFF")])
def test_a_reader(monkeypatch: pytest.MonkeyPatch, said: tuple[Any, ...]) -> None:
    """What its primary has committed may not be in it yet."""
    with pytest.raises(StoreStatementError, match="h:3306 is read-only") as caught:
        check(monkeypatch, said)
    assert caught.value.fix


@pytest.mark.parametrize("said", [(0, 0), ("OFF", "OFF")])
def test_a_writer(monkeypatch: pytest.MonkeyPatch, said: tuple[Any, ...]) -> None:
    assert check(monkeypatch, said) == "h:3306, MySQL 8.0.36; bank"


SOME = "SELECT ON `bank_accounts`.`acct`"


def test_tables_that_the_login_may_not_see_would_be_called_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server hides them: they would be missing from the catalog, and from the verdict."""
    with pytest.raises(StoreAccessError, match="the login of 'data' may not read all of bank_accounts") as caught:
        check(monkeypatch, (0, 0), SOME)
    assert caught.value.fix


@pytest.mark.parametrize("granted", ["SELECT ON *.*", "ALL PRIVILEGES ON *.*", "INSERT, SELECT ON `%`.*"])
def test_what_the_login_may_see_as_a_whole(monkeypatch: pytest.MonkeyPatch, granted: str) -> None:
    assert check(monkeypatch, (0, 0), granted)


@pytest.mark.parametrize(
    ("granted", "there", "told"),
    [
        ("SELECT ON *.*", True, []),
        (SOME, True, ["database bank_accounts: the login may not read all of it"]),
        (SOME, False, ["database bank_accounts: missing"]),
    ],
)
def test_a_right_that_was_lost_since_the_mark(granted: str, there: bool, told: list[str]) -> None:
    server = Server((0, 0), granted)
    if not there:
        server.answers["schemata"] = []
    backup: Any = None
    restored = RestoredMysql(topology(), backup, {"bank_accounts": "bank_accounts"}, session=server, streaming=server)
    assert restored.schema_differences() == told

"""What a managed MySQL must be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from midtime.errors import StoreStatementError
from midtime.stores.managed_sql import mysql
from midtime.stores.managed_sql.mysql import MysqlData
from midtime.stores.mysql.connections import Login, Session
from tests.unit.builders import topology


class Server(Session):
    """One that says no more than whether it may be written."""

    def __init__(self, said: tuple[Any, ...]) -> None:
        super().__init__(None, Login("h", 3306, "u", "p", {}))
        self.said = said

    def rows(self, query: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        return [("8.0.36",)] if "VERSION" in query else [self.said]


def check(monkeypatch: pytest.MonkeyPatch, said: tuple[Any, ...]) -> str:
    @contextmanager
    def connect(*_: Any) -> Iterator[Session]:
        yield Server(said)

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

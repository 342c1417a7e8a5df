"""A login, and an account with a bank's tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stores.dynamodb.restores import Account
from tests.unit.stores.dynamodb.world import World, bank


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"conn_type": "aws", "login": "AKIAEXAMPLE", "password": "very-secret"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS", json.dumps(said))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with bank(destination=f"file://{tmp_path}/points") as made:
        yield made


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(tmp_path, monkeypatch).fill().mark()

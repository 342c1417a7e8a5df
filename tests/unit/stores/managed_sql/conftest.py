"""The same bank in both dialects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.stores.managed_sql.shops import Shop, shop_of


@pytest.fixture(params=["oracle", "sqlserver"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with shop_of(request.param, tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with shop_of("oracle", tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def sqlserver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with shop_of("sqlserver", tmp_path, monkeypatch) as made:
        yield made

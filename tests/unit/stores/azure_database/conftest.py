"""A restore point of a server, in a subscription that is a dictionary; of both services."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stores.azure_database.restores import Subscription


@pytest.fixture(params=["postgresql", "mysql"])
def subscription(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subscription:
    return Subscription(request.param, tmp_path, monkeypatch).fill().mark()

"""A restore point of an account, in a subscription that is a dictionary."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stores.cosmosdb.restores import Subscription


@pytest.fixture
def subscription(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subscription:
    return Subscription(tmp_path, monkeypatch).fill().mark()

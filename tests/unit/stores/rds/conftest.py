"""A restore point of an instance, and one of a cluster, in an account that is a dictionary."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stores.rds.restores import Account


@pytest.fixture(params=["rds", "aurora"])
def account(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    """What holds for both."""
    return Account(request.param, tmp_path, monkeypatch).fill().mark()


@pytest.fixture
def rds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account("rds", tmp_path, monkeypatch).fill().mark()


@pytest.fixture
def aurora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account("aurora", tmp_path, monkeypatch).fill().mark()

"""Three stores on their way into place."""

from __future__ import annotations

import pytest

from tests.unit.placing_world import THREE, Run, World


@pytest.fixture
def run(destination: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Three stores, in place."""
    return Run(World(*THREE), destination, monkeypatch)


@pytest.fixture
def beside(destination: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Three stores, under names of their own."""
    return Run(World(*THREE, in_place=False), destination, monkeypatch)

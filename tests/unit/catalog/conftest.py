"""The leases of a catalog on disk or anywhere, and their clock."""

from __future__ import annotations

import pytest

from midtime.catalog import Catalog, Leases, leases
from tests.unit.catalog.lease_examples import Clock


@pytest.fixture
def folder(any_catalog: Catalog) -> Leases:
    return any_catalog.leases


@pytest.fixture
def on_disk(catalog: Catalog) -> Leases:
    return catalog.leases


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leases, "utc_now", made)
    return made

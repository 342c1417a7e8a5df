"""What a file of tests in a real Airflow does once with its managed stores, which it names by a fixture ``managed_stores``: back up, wait, drill."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.managed_airflow import BackedUp, Managed


@pytest.fixture(scope="module")
def backed_up(managed_stores: Managed) -> Iterator[BackedUp]:
    """While money moves. Nothing of it is restorable yet."""
    with managed_stores.backed_up() as made:
        yield made


@pytest.fixture(scope="module")
def restorable(managed_stores: Managed, backed_up: BackedUp) -> BackedUp:
    """Its drill is under way."""
    return managed_stores.restorable(backed_up)


@pytest.fixture(scope="module")
def drilled(managed_stores: Managed, restorable: BackedUp) -> BackedUp:
    """Its drill is over, and was good."""
    return managed_stores.drilled(restorable)

"""What the tests of a cluster's way into place share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.stores.cassandra.moving_room import World, new_world


@pytest.fixture
def world() -> Iterator[World]:
    """Two nodes that run."""
    with new_world() as world:
        yield world

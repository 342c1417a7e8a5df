"""Doubles in processes of their own, one of each contract for a whole module, and clients that are closed with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from midtime.scalar.client import AdminClient
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint

Connect = Callable[[Endpoint], AdminClient]


@pytest.fixture(scope="module")
def doubles() -> Iterator[dict[str, Double]]:
    """By contract; :func:`double` and :func:`old_double` put them back to their start."""
    with Double(contract="new") as new, Double(contract="old") as old:
        yield {"new": new, "old": old}


@pytest.fixture
def double(doubles: dict[str, Double]) -> Double:
    """Of the new contract, as after a start."""
    doubles["new"].control(reset=True)
    return doubles["new"]


@pytest.fixture
def old_double(doubles: dict[str, Double]) -> Double:
    """Of the old contract, as after a start."""
    doubles["old"].control(reset=True)
    return doubles["old"]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Make clients that end with the test."""
    clients: list[AdminClient] = []

    def made(endpoint: Endpoint) -> AdminClient:
        clients.append(AdminClient(endpoint))
        return clients[-1]

    yield made
    for client in clients:
        client.close()


@pytest.fixture
def client(double: Double, connect: Connect) -> AdminClient:
    """Of the double of the new contract, connected."""
    made = connect(double.endpoint())
    made.connect(timeout=10)
    return made

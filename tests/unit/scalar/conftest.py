"""Doubles in processes of their own, one of each contract for a whole module, and clients that are closed with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from midtime.scalar.client import AdminClient
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint
from midtime.scalar.watchdog import Watchdog
from tests.unit.processes import until
from tests.unit.scalar.windows import Task, TaskOf, gone, pid_of

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


@pytest.fixture
def task(tmp_path: Path) -> Iterator[TaskOf]:
    """Pausing tasks that end with the test, and so do their watchdogs."""
    tasks: list[Task] = []

    def made(*doubles: Double, **plan: object) -> Task:
        tasks.append(Task(tmp_path / f"{len(tasks)}.jsonl", *([one.address] for one in doubles), **plan))
        return tasks[-1]

    yield made
    for one in tasks:
        one.close()


@pytest.fixture
def watchdog(double: Double, tmp_path: Path) -> Iterator[Watchdog]:
    """Of this process, over the double; started."""
    made = Watchdog([double.endpoint()], journal=tmp_path / "journal.jsonl", patience=10)
    made.start()
    yield made
    made.close()
    until(lambda: gone(pid_of(made)), "the watchdog ends")

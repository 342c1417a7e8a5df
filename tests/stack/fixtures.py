"""Fixtures of the real parts: each is started once in a test run, by the first test that asks for it, and ended with the run.

Ctrl-C runs the same teardown; a killed pytest is noticed by the guards of the processes (``launch.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.airflow import LocalAirflow
from tests.stack.bank import Bank
from tests.stack.postgres import Postgres
from tests.stack.scalardb import ScalarDB
from tests.stack.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All parts; its ``topologies_dir`` is empty at first, and what a test writes there becomes DAGs within seconds."""
    directory = tmp_path_factory.mktemp("stack")
    topologies = directory / "topologies"
    topologies.mkdir()
    with Stack(directory, topologies_dir=topologies) as parts:
        yield parts


@pytest.fixture(scope="session")
def postgres_server(stack: Stack) -> Postgres:
    """The server that is backed up; tests make databases of their own in it."""
    return stack.postgres


@pytest.fixture(scope="session")
def scalardb(stack: Stack) -> ScalarDB:
    return stack.scalardb


@pytest.fixture(scope="session")
def bank(stack: Stack) -> Bank:
    """Loaded and at rest: the test starts and stops it."""
    return stack.bank


@pytest.fixture(scope="session")
def local_airflow(stack: Stack) -> LocalAirflow:
    """Connections are added with ``local_airflow.add_connection(…)``."""
    return stack.airflow

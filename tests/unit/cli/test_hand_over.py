"""Who gets no connection: the rest is proven on the double, with a real database of Airflow's."""

from __future__ import annotations

import pytest

from midtime.errors import RequestError
from tests.unit.cli.conftest import Files, Midtime


@pytest.fixture(autouse=True)
def bank(files: Files) -> None:
    files.add("bank")


def test_a_store_that_is_restored_where_its_connections_lead(midtime: Midtime) -> None:
    with pytest.raises(RequestError, match="store 'accounts' of bank is restored where its connections lead already"):
        midtime("hand-over", "bank", "accounts", "copy", "--conn-id", "new")


def test_what_is_no_connection(midtime: Midtime) -> None:
    with pytest.raises(RequestError, match="is not allowed"):
        midtime("hand-over", "bank", "accounts", "copy", "--conn-id", "no such; thing")

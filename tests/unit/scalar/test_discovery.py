"""Static lists, and what importing discovery costs."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from midtime.model.topology import Product
from midtime.scalar.discovery import discover
from midtime.scalar.endpoint import Endpoint


def test_a_static_list_of_addresses_is_sorted_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    body = {"kind": "scalardl-ledger", "endpoints": {"static": ["10.0.0.2:50053", "[fd00::1]:50053", "10.0.0.1:50053"]}}
    assert discover(Product.model_validate(body)) == tuple(
        Endpoint("scalardl-ledger", "scalardl-ledger", address, None, None)
        for address in ("10.0.0.1:50053", "10.0.0.2:50053", "[fd00::1]:50053")
    )


def test_nothing_heavy_is_imported_for_it() -> None:
    program = (
        "import sys, midtime.products\n"
        "from midtime.model.topology import Product\n"
        "from midtime.scalar.discovery import discover\n"
        "discover(Product.model_validate({'kind': 'application', 'endpoints': {'static': ['127.0.0.1:1']}}))\n"
        "sys.exit(' '.join({'airflow', 'dns', 'kubernetes', 'grpc'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    assert done.stderr.strip() == ""

"""Host names in static lists: each has to stand for one address, which is what is leased and dialled."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import AdminAccessError, DiscoveryAccessError, DiscoveryError
from midtime.model.topology import Product
from midtime.scalar.client import AdminClient
from midtime.scalar.discovery import discover, names
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint, TlsFiles
from tests.stack.tls import Authority
from tests.unit.scalar.hosts import know


def product(*static: str, **changes: object) -> Product:
    return Product.model_validate({"kind": "scalardb-cluster", "endpoints": {"static": list(static)}} | changes)


def test_the_address_is_what_is_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the name is what people see. Another topology that writes the address leases the same."""
    asked = know(monkeypatch, {"bank.test": ["10.0.0.1"], "six.test": ["fd00::1"]})
    found = discover(product("bank.test:60053", "six.test:60053", "10.0.0.2:60053", "[fd00::2]:60053"))
    assert found == (
        Endpoint("scalardb-cluster at bank.test", "scalardb-cluster", "10.0.0.1:60053"),
        Endpoint("scalardb-cluster", "scalardb-cluster", "10.0.0.2:60053"),
        Endpoint("scalardb-cluster at six.test", "scalardb-cluster", "[fd00::1]:60053"),
        Endpoint("scalardb-cluster", "scalardb-cluster", "[fd00::2]:60053"),
    )
    assert sorted(asked) == ["bank.test", "six.test"]
    assert str(found[0]) == "10.0.0.1:60053 (scalardb-cluster at bank.test)"


def test_two_ports_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = know(monkeypatch, {"bank.test": ["10.0.0.1"]})
    assert [each.address for each in discover(product("bank.test:1", "bank.test:2"))] == ["10.0.0.1:1", "10.0.0.1:2"]
    assert asked == ["bank.test"]


@pytest.mark.fault(
    "A host name stands for several servers (round robin, a headless Service, localhost)", "refused before anything is paused, with the fix"
)
@pytest.mark.parametrize("addresses", [["10.0.0.1", "10.0.0.2"], ["127.0.0.1", "::1"]])
def test_a_name_with_several_addresses(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    know(monkeypatch, {"bank.test": addresses})
    with pytest.raises(DiscoveryAccessError, match=r"bank\.test of product scalardb-cluster has 2 addresses") as caught:
        discover(product("10.0.0.3:60053", "bank.test:60053"))
    assert all(address in caught.value.message for address in addresses)
    assert "list every process by its own address" in caught.value.fix
    assert not caught.value.retryable


def test_one_address_that_the_resolver_says_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, {"bank.test": ["10.0.0.1", "10.0.0.1"]})
    assert len(discover(product("bank.test:60053"))) == 1


@pytest.mark.parametrize("static", [("a.test:1", "b.test:1"), ("a.test:1", "10.0.0.1:1"), ("a.test:1", "A.test:1")])
def test_two_that_lead_to_one_address(monkeypatch: pytest.MonkeyPatch, static: tuple[str, ...]) -> None:
    """Two processes were meant: behind that address there is something that forwards."""
    know(monkeypatch, {"a.test": ["10.0.0.1"], "A.test": ["10.0.0.1"], "b.test": ["10.0.0.1"]})
    with pytest.raises(DiscoveryAccessError, match=r"a\.test:1.* of product scalardb-cluster are one address, 10\.0\.0\.1:1") as caught:
        discover(product(*static))
    assert "load balancer" in caught.value.fix


@pytest.mark.parametrize(
    ("reason", "kind", "retryable"),
    [
        (socket.EAI_NONAME, DiscoveryAccessError, False),
        (socket.EAI_AGAIN, DiscoveryError, True),
        (socket.EAI_FAIL, DiscoveryError, True),
    ],
)
def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch, reason: int, kind: type[DiscoveryError], retryable: bool) -> None:
    know(monkeypatch, {"bank.test": reason})
    with pytest.raises(kind, match=r"bank\.test of product scalardb-cluster .*what the resolver says") as caught:
        discover(product("bank.test:60053"))
    assert caught.value.retryable is retryable
    assert caught.value.fix


def test_a_name_that_no_resolver_takes() -> None:
    with pytest.raises(DiscoveryAccessError, match="no host name"):
        discover(product(f"{'x' * 64}.test:60053"))


def test_a_resolver_that_is_mute(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def wait(*_: Any, **__: Any) -> Any:
        answer.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    monkeypatch.setattr(names, "LIFETIME", 0.3)
    began = time.monotonic()
    with pytest.raises(DiscoveryError, match=r"a\.test, b\.test of product .* no answer within 0\.3 s") as caught:
        discover(product("b.test:1", "a.test:1"))
    assert caught.value.retryable
    assert time.monotonic() - began < 2
    answer.set()
    for thread in threading.enumerate():
        if thread.name == "resolve":
            thread.join()


def test_a_thousand_names_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    real = know(monkeypatch, {f"n{number}.test": [f"10.0.{number // 250}.{number % 250}"] for number in range(1000)})
    assert len(discover(product(*(f"n{number}.test:1" for number in range(1000))))) == 1000
    assert len(real) == 1000


class TestTls:
    """The certificate is for the name, which is not dialled any more."""

    def test_the_name_is_what_the_certificate_has_to_carry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        know(monkeypatch, {"bank.test": ["10.0.0.1"], "root.test.": ["10.0.0.3"]})
        found = discover(product("bank.test:1", "10.0.0.2:1", "root.test.:1", tls={"ca": "/ca.pem"}))
        assert [each.tls and each.tls.override_authority for each in found] == ["bank.test", None, "root.test"]

    def test_what_the_topology_says_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        know(monkeypatch, {"bank.test": ["10.0.0.1"]})
        (found,) = discover(product("bank.test:1", tls={"ca": "/ca.pem", "override_authority": "scalar"}))
        assert found.tls == TlsFiles("/ca.pem", override_authority="scalar")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_what_was_found_answers(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    know(monkeypatch, {"bank.test": [host.strip("[]")]})
    with Double(host=host) as double:
        (found,) = discover(product(f"bank.test:{double.ports[0]}"))
        assert found.address == double.address
        client = AdminClient(found)
        assert client.check_paused(timeout=5) is False
        client.close()


def test_tls_to_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A certificate for the name alone is taken, although the address is dialled; one for another name is not."""
    know(monkeypatch, {"bank.test": ["127.0.0.1"], "other.test": ["127.0.0.1"]})
    authority = Authority(tmp_path)
    cert, key = authority.issue("server", "bank.test")
    with Double(tls_cert=cert, tls_key=key) as double:
        good, wrong = (discover(product(f"{name}.test:{double.ports[0]}", tls={"ca": authority.ca}))[0] for name in ("bank", "other"))
        client = AdminClient(good)
        assert client.check_paused(timeout=5) is False
        client.close()
        client = AdminClient(wrong)
        with pytest.raises(AdminAccessError, match=r"127\.0\.0\.1:\d+ \(scalardb-cluster at other\.test\)"):
            client.check_paused(timeout=5)
        client.close()

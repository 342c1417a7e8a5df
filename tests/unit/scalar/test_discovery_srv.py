"""SRV records, asked of a real name server on loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from midtime.errors import DiscoveryAccessError, DiscoveryError
from midtime.model.topology import Product
from midtime.scalar.discovery import discover, srv
from midtime.scalar.endpoint import Endpoint, TlsFiles
from tests.unit.scalar.hosts import know

RECORD = "_admin._tcp.bank.test"


class NameServer:
    """Answers every question about :data:`RECORD` from ``records``; a ``code`` other than NOERROR is all it says."""

    def __init__(self) -> None:
        self.records: list[str] = []
        self.type, self.code, self.mute = "SRV", dns.rcode.NOERROR, False
        self.asked: list[str] = []
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.bind(("127.0.0.1", 0))
        self.port: int = self.datagrams.getsockname()[1]
        self.streams = socket.create_server(("127.0.0.1", self.port))
        self.threads = [threading.Thread(target=each) for each in (self._serve_datagrams, self._serve_streams)]
        for thread in self.threads:
            thread.start()

    def answer(self, question: bytes, limit: int) -> bytes:
        asked = dns.message.from_wire(question)
        self.asked.append(str(asked.question[0].name))
        reply = dns.message.make_response(asked)
        reply.set_rcode(self.code)
        if self.code == dns.rcode.NOERROR and self.records and str(asked.question[0].name) == f"{RECORD}.":
            reply.answer.append(dns.rrset.from_text(f"{RECORD}.", 5, "IN", self.type, *self.records))
        elif self.code == dns.rcode.NOERROR and self.records:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        if len(whole := reply.to_wire()) > limit:
            reply.answer.clear()
            reply.flags |= dns.flags.TC
            return reply.to_wire()
        return whole

    def _serve_datagrams(self) -> None:
        while True:
            question, sender = self.datagrams.recvfrom(4096)
            if not question:
                return
            if not self.mute:
                self.datagrams.sendto(self.answer(question, 512), sender)

    def _serve_streams(self) -> None:
        while True:
            stream, _ = self.streams.accept()
            with stream:
                if not (size := stream.recv(2)):
                    return
                reply = self.answer(stream.recv(int.from_bytes(size)), 65535)
                stream.sendall(len(reply).to_bytes(2) + reply)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", self.port))
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self.threads:
            thread.join()
        self.datagrams.close()
        self.streams.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    made = NameServer()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], made.port
    resolver.search = [dns.name.from_text("cluster.test")]
    resolver.use_search_by_default = True
    monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
    yield made
    made.close()


def product(record: str = RECORD, **changes: object) -> Product:
    return Product.model_validate({"kind": "scalardb-cluster", "endpoints": {"srv": record}} | changes)


def test_every_target_whatever_its_priority(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, {"a.test": ["10.0.0.1"], "b.test": ["10.0.0.2"], "spare.test": ["fd00::3"]})
    server.records = ["20 0 60053 spare.test.", "10 5 60053 B.test.", "10 0 60054 a.test.", "30 0 60053 b.test."]
    tls = {"ca": "/ca.pem", "cert": "/c.pem", "key": "/k.pem", "override_authority": "scalar"}
    files = TlsFiles("/ca.pem", "/c.pem", "/k.pem", "scalar")
    assert discover(product(name="bank", tls=tls)) == tuple(
        Endpoint(f"bank at {name}.test", "scalardb-cluster", address, None, files)
        for name, address in (("a", "10.0.0.1:60054"), ("b", "10.0.0.2:60053"), ("spare", "[fd00::3]:60053"))
    )


def test_a_target_with_several_addresses(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    know(monkeypatch, {"a.test": ["10.0.0.1"], "b.test": ["10.0.0.2", "10.0.0.3"]})
    server.records = ["0 0 60053 a.test.", "0 0 60053 b.test."]
    with pytest.raises(DiscoveryAccessError, match=r"b\.test of product scalardb-cluster has 2 addresses \(10\.0\.0\.2, 10\.0\.0\.3\)"):
        discover(product())


def test_more_targets_than_a_datagram_holds(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"node-{number:03}.a-rather-long-name-of-a-namespace.test" for number in range(100)]
    know(monkeypatch, {name: [f"10.0.0.{number}"] for number, name in enumerate(names)})
    server.records = [f"0 0 60053 {name}." for name in names]
    assert len(discover(product())) == 100


def not_offered(server: NameServer) -> None:
    server.records = ["0 0 0 ."]


def nothing(server: NameServer) -> None:
    server.records = []


def another_type(server: NameServer) -> None:
    server.type, server.records = "TXT", ['"x"']


def unknown(server: NameServer) -> None:
    server.code = dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    ("state", "said"),
    [(not_offered, "not offered"), (nothing, "does not exist"), (another_type, "does not exist"), (unknown, "does not exist")],
)
def test_no_such_service(server: NameServer, state: Callable[[NameServer], None], said: str) -> None:
    state(server)
    with pytest.raises(DiscoveryAccessError, match=f"{RECORD} of product scalardb-cluster .*{said}") as caught:
        discover(product())
    assert caught.value.fix
    assert not caught.value.retryable


def test_no_search_domain_is_tried(server: NameServer) -> None:
    """A name that another namespace answers must not be taken for ours."""
    server.code = dns.rcode.NXDOMAIN
    with pytest.raises(DiscoveryAccessError):
        discover(product())
    assert set(server.asked) == {f"{RECORD}."}


def test_a_name_that_dns_cannot_hold(server: NameServer) -> None:
    with pytest.raises(DiscoveryAccessError, match="no name that DNS knows"):
        discover(product(f"_admin._tcp.{'x' * 64}.test"))


def test_a_name_server_that_fails(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srv, "LIFETIME", 0.5)
    server.code = dns.rcode.SERVFAIL
    with pytest.raises(DiscoveryError, match="cannot be looked up") as caught:
        discover(product())
    assert caught.value.retryable


def test_a_name_server_that_is_mute(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srv, "LIFETIME", 0.3)
    server.mute = True
    began = time.monotonic()
    with pytest.raises(DiscoveryError, match="cannot be looked up") as caught:
        discover(product())
    assert caught.value.retryable
    assert time.monotonic() - began < 2

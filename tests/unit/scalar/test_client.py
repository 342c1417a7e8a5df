"""The client: deadlines, times, connections, TLS. ``test_contract.py`` has the outcomes of Pause."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from midtime.errors import AdminAccessError, AdminUnreachableError, PauseUnknownError
from midtime.scalar.client import AdminClient, Reply
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint, TlsFiles
from tests.stack.tls import Authority
from tests.unit.scalar.conftest import Connect

NAME = "scalardb.example"


def test_no_rpc_is_without_a_deadline(double: Double, client: AdminClient) -> None:
    double.control(pause={"hang": True}, unpause={"hang": True}, check_paused={"hang": True})
    replies: list[Reply[None] | Reply[bool]] = [
        client.begin_pause(drain=5, timeout=0.3),
        client.begin_unpause(timeout=0.3),
        client.begin_check_paused(timeout=0.3),
    ]
    for reply, kind in zip(replies, (PauseUnknownError, AdminUnreachableError, AdminUnreachableError), strict=True):
        with pytest.raises(kind, match=f"{double.address}.*DEADLINE_EXCEEDED"):
            reply.result()
        assert reply.answered is not None
        assert 0.25 < reply.answered - reply.sent < 3
    assert all(call["timeout"] < 0.4 for call in double.calls())


def test_beginning_waits_for_nothing(double: Double, client: AdminClient) -> None:
    double.control(pause={"delay": 0.3})
    begun = time.monotonic()
    reply = client.begin_pause(drain=5, timeout=10)
    assert not reply.done()
    assert reply.answered is None
    assert begun <= reply.sent <= time.monotonic() < begun + 0.3
    reply.result()
    assert reply.done()


def test_the_time_of_the_answer_does_not_depend_on_who_looks(double: Double, client: AdminClient) -> None:
    reply = client.begin_check_paused(timeout=5)
    time.sleep(0.3)
    looked = time.monotonic()
    assert reply.done()
    assert reply.result() is False
    (call,) = double.calls("check_paused")
    assert reply.answered is not None
    assert reply.sent <= call["at"] <= call["answered"] <= reply.answered < looked - 0.15


def test_callbacks_come_when_it_ends_or_at_once(double: Double, client: AdminClient) -> None:
    double.control(unpause={"delay": 0.1})
    seen: list[tuple[bool, float | None, str]] = []
    called = threading.Event()

    def note(reply: Reply[None]) -> None:
        seen.append((reply.done(), reply.answered, threading.current_thread().name))
        called.set()

    reply = client.begin_unpause(timeout=5)
    reply.add_done_callback(note)
    assert called.wait(5)
    reply.add_done_callback(note)
    (first, second) = seen
    assert first[:2] == second[:2] == (True, reply.answered)
    assert second[2] == threading.current_thread().name != first[2]


def test_a_result_always_has_its_time() -> None:
    """gRPC hands the result to whoever waits before it calls back, and only the callback knows the time."""

    class Ended:
        def add_done_callback(self, fn: Callable[[Ended], None]) -> None:
            threading.Timer(0.2, fn, [self]).start()

    reply = Reply(Ended(), lambda _: True, time.monotonic())
    assert reply.result()
    assert reply.answered is not None


def test_closing_ends_what_is_under_way(double: Double, connect: Connect) -> None:
    double.control(pause={"hang": True})
    client = connect(double.endpoint())
    client.connect(timeout=10)
    reply = client.begin_pause(drain=5, timeout=30)
    client.close()
    with pytest.raises(PauseUnknownError, match="CANCELLED"):
        reply.result()


def test_nobody_there_is_known_when_the_time_is_over(connect: Connect) -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        client = connect(Endpoint("ledger", "scalardl-ledger", f"127.0.0.1:{taken.getsockname()[1]}"))
        begun = time.monotonic()
        with pytest.raises(AdminUnreachableError, match=client.endpoint.address):
            client.connect(timeout=0.5)
        assert 0.3 < time.monotonic() - begun < 3
        with pytest.raises(PauseUnknownError, match=client.endpoint.address):
            client.pause(drain=1, timeout=5)


def test_connecting_sends_no_rpc(double: Double, client: AdminClient) -> None:
    assert double.calls() == []


def test_what_is_not_an_admin_service_is_refused(double: Double, client: AdminClient) -> None:
    double.control(check_paused={"fail": "UNIMPLEMENTED"})
    with pytest.raises(AdminAccessError, match="UNIMPLEMENTED"):
        client.check_paused(timeout=5)


def test_a_server_that_is_back_is_reached_within_a_second(connect: Connect) -> None:
    with Double() as restarted:
        client = connect(restarted.endpoint())
        client.connect(timeout=10)
        restarted.kill()
        gone = time.monotonic()
        while time.monotonic() < gone + 1:
            with pytest.raises(AdminUnreachableError):
                client.check_paused(timeout=0.2)
            time.sleep(0.02)
        restarted.start()
        back = time.monotonic()
        while True:
            try:
                client.unpause(timeout=0.5)
                break
            except AdminUnreachableError:
                assert time.monotonic() < back + 1
                time.sleep(0.02)


def test_the_pauses_between_attempts_to_connect_do_not_grow(connect: Connect) -> None:
    """A port that closes every connection at once."""
    with socket.create_server(("127.0.0.1", 0)) as closing:
        client = connect(Endpoint("ledger", "scalardl-ledger", f"127.0.0.1:{closing.getsockname()[1]}"))
        closing.settimeout(0.01)
        attempts, begun = [time.monotonic()], time.monotonic()
        while time.monotonic() < begun + 3:
            client.begin_check_paused(timeout=0.2)
            with contextlib.suppress(TimeoutError):
                closing.accept()[0].close()
                attempts.append(time.monotonic())
    assert max(after - before for before, after in itertools.pairwise(attempts)) < 0.7


def test_a_connection_through_a_cut_network_is_given_up_after_a_second(double: Double, connect: Connect) -> None:
    """TCP alone would repeat what is lost less and less often, for minutes, and be as slow to see that the network is whole again."""
    client = connect(double.endpoint())
    before = _peers(double.ports[0])
    client.connect(timeout=10)
    (ours,) = _peers(double.ports[0]).keys() - before.keys()
    assert _peers(double.ports[0])[ours] == 1000


def test_an_attempt_to_connect_that_hangs_is_repeated_within_a_second(double: Double, connect: Connect) -> None:
    """A port that swallows the first connection, as a network does that loses packets."""
    with socket.create_server(("127.0.0.1", 0)) as swallowing:
        client = connect(Endpoint("ledger", "scalardl-ledger", f"127.0.0.1:{swallowing.getsockname()[1]}"))
        with pytest.raises(AdminUnreachableError):
            client.connect(timeout=2.3)
        swallowing.settimeout(0)
        kept = list(_accepted(swallowing))
        for connection in kept:
            connection.close()
    assert len(kept) >= 2


def test_two_clients_never_share_a_connection(double: Double, connect: Connect) -> None:
    before = _peers(double.ports[0])
    for client in (connect(double.endpoint()), connect(double.endpoint())):
        client.connect(timeout=10)
    assert len(_peers(double.ports[0]).keys() - before.keys()) == 2


def test_the_environment_names_no_proxy_for_it(double: Double, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert not connect(double.endpoint()).check_paused(timeout=5)


def test_ipv6_in_brackets(connect: Connect) -> None:
    with Double(host="[::1]") as six:
        client = connect(six.endpoint())
        client.connect(timeout=10)
        client.pause(drain=1, timeout=5)
        assert six.paused
        assert client.endpoint.address.startswith("[::1]:")


class Certificates:
    """Of an authority that the server uses, and of one that it does not know."""

    def __init__(self, directory: Path) -> None:
        ours, other = Authority(directory), Authority(directory, "other")
        self.ca, self.other_ca = ours.ca, other.ca
        self.server = ours.issue("server", NAME)
        self.client, self.other_client = ours.issue("client"), other.issue("client")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def secure(certificates: Certificates) -> Iterator[Double]:
    cert, key = certificates.server
    with Double(tls_cert=cert, tls_key=key) as double:
        yield double


@pytest.fixture(scope="module")
def mutual(certificates: Certificates) -> Iterator[Double]:
    cert, key = certificates.server
    with Double(tls_cert=cert, tls_key=key, client_ca=certificates.ca) as double:
        yield double


def test_tls_with_an_authority_and_a_name_of_its_own(secure: Double, certificates: Certificates, connect: Connect) -> None:
    client = connect(secure.endpoint(tls=TlsFiles(ca=certificates.ca, override_authority=NAME)))
    client.connect(timeout=10)
    assert not client.check_paused(timeout=5)


@pytest.mark.parametrize("case", ["wrong ca", "public ca", "no override", "wrong override"])
def test_a_server_that_is_not_who_it_should_be_is_refused(secure: Double, certificates: Certificates, connect: Connect, case: str) -> None:
    tls = {
        "wrong ca": TlsFiles(ca=certificates.other_ca, override_authority=NAME),
        "public ca": TlsFiles(override_authority=NAME),
        "no override": TlsFiles(ca=certificates.ca),
        "wrong override": TlsFiles(ca=certificates.ca, override_authority="other.example"),
    }[case]
    client = connect(secure.endpoint(tls=tls))
    begun = time.monotonic()
    with pytest.raises(AdminAccessError, match=secure.address):
        client.connect(timeout=20)
    assert time.monotonic() - begun < 10  # not tried again and again
    with pytest.raises(AdminAccessError, match=secure.address):
        client.check_paused(timeout=5)
    with pytest.raises(PauseUnknownError, match=secure.address):  # of a Pause nothing is concluded from a text
        client.pause(drain=1, timeout=5)


def test_tls_to_a_port_that_speaks_none_is_refused(double: Double, certificates: Certificates, connect: Connect) -> None:
    with pytest.raises(AdminAccessError, match="WRONG_VERSION_NUMBER"):
        connect(double.endpoint(tls=TlsFiles(ca=certificates.ca))).connect(timeout=20)


def test_mutual_tls(mutual: Double, certificates: Certificates, connect: Connect) -> None:
    cert, key = certificates.client
    client = connect(mutual.endpoint(tls=TlsFiles(certificates.ca, cert, key, NAME)))
    client.connect(timeout=10)
    assert not client.check_paused(timeout=5)


@pytest.mark.parametrize("case", ["none", "of another authority", "not even TLS"])
def test_without_the_right_client_certificate_the_connection_is_closed(
    mutual: Double, certificates: Certificates, connect: Connect, case: str
) -> None:
    tls = {
        "none": TlsFiles(certificates.ca, override_authority=NAME),
        "of another authority": TlsFiles(certificates.ca, *certificates.other_client, NAME),
        "not even TLS": None,
    }[case]
    with pytest.raises(AdminUnreachableError, match=mutual.address) as caught:
        connect(mutual.endpoint(tls=tls)).connect(timeout=0.5)
    assert "tls.cert" in caught.value.fix


@pytest.mark.parametrize("key", ["ca", "cert", "key"])
def test_a_file_that_cannot_be_used_is_named(certificates: Certificates, tmp_path: Path, key: str) -> None:
    good = {"ca": certificates.ca, "cert": certificates.client[0], "key": certificates.client[1]}
    wrong = tmp_path / "wrong.pem"
    with pytest.raises(AdminAccessError, match=rf"10\.0\.0\.1:1 .*{wrong}.*tls\.{key}"):
        AdminClient(Endpoint("ledger", "scalardl-ledger", "10.0.0.1:1", tls=TlsFiles(**{**good, key: str(wrong)})))
    wrong.write_bytes(b"\x30\x82")  # DER
    with pytest.raises(AdminAccessError, match=rf"{wrong}.*PEM.*tls\.{key}"):
        AdminClient(Endpoint("ledger", "scalardl-ledger", "10.0.0.1:1", tls=TlsFiles(**{**good, key: str(wrong)})))


def test_half_a_client_certificate_is_refused(certificates: Certificates) -> None:
    with pytest.raises(AdminAccessError, match=r"tls\.cert and tls\.key"):
        AdminClient(Endpoint("ledger", "scalardl-ledger", "10.0.0.1:1", tls=TlsFiles(ca=certificates.ca, cert=certificates.client[0])))


def _peers(port: int) -> dict[int, int]:
    """This process's connections to the port: local port to TCP_USER_TIMEOUT in ms."""
    result = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as connection:
                if connection.family in (socket.AF_INET, socket.AF_INET6) and connection.getpeername()[1] == port:
                    timeout = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                    result[connection.getsockname()[1]] = timeout
        except OSError:
            continue  # no socket, or not connected
    return result


def _accepted(server: socket.socket) -> Iterator[socket.socket]:
    try:
        while True:
            yield server.accept()[0]
    except BlockingIOError:
        return

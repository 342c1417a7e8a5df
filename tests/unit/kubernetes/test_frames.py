"""Messages of a WebSocket, with the other side played by hand."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from midtime.kubernetes import frames as module
from midtime.kubernetes.frames import Frames, Lost
from tests.unit.processes import until


def frame(payload: bytes, kind: int = 2, *, last: bool = True) -> bytes:
    """As a server sends it: without a mask."""
    head = bytes([(0x80 if last else 0) | kind])
    size = len(payload)
    if size < 126:
        return head + bytes([size]) + payload
    return head + (b"\x7e" + size.to_bytes(2) if size < 1 << 16 else b"\x7f" + size.to_bytes(8)) + payload


@dataclass
class Ends:
    ours: Frames
    theirs: socket.socket

    def got(self) -> tuple[int, bytes]:
        """One frame of ours."""
        first, second = self._exactly(2)
        assert second & 0x80, "a client masks"
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(self._exactly(2 if size == 126 else 8))
        mask, payload = self._exactly(4), self._exactly(size)
        whole = (mask * (size // 4 + 1))[:size]
        return first, (int.from_bytes(payload) ^ int.from_bytes(whole)).to_bytes(size)

    def _exactly(self, size: int) -> bytes:
        came = b""
        while len(came) < size:
            chunk = self.theirs.recv(size - len(came))
            assert chunk
            came += chunk
        return came


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(10)
    made = Ends(Frames(SimpleNamespace(sock=ours)), theirs)
    yield made
    made.ours.close()
    theirs.close()


class TestReceived:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
    def test_of_every_size(self, ends: Ends, size: int) -> None:
        message = b"x" * size
        threading.Thread(target=ends.theirs.sendall, args=(frame(message) + frame(b"next"),)).start()
        assert ends.ours.receive() == message
        assert ends.ours.receive() == b"next"

    def test_in_crumbs(self, ends: Ends) -> None:
        crumbs = [bytes([byte]) for byte in frame(b"y" * 200)]
        threading.Thread(target=lambda: [ends.theirs.send(crumb) for crumb in crumbs]).start()
        assert ends.ours.receive() == b"y" * 200

    def test_in_fragments_with_a_ping_between_them(self, ends: Ends) -> None:
        ends.theirs.sendall(frame(b"one", last=False) + frame(b"are you there", 9) + frame(b" two", 0, last=False) + frame(b" three", 0))
        assert ends.ours.receive() == b"one two three"
        assert ends.got() == (0x8A, b"are you there")

    def test_nothing_for_a_moment(self, ends: Ends) -> None:
        assert ends.ours.receive() is None

    @pytest.mark.parametrize("last", [b"", frame(b"\x03\xe8", 8), frame(b"half")[:3]])
    def test_the_end(self, ends: Ends, last: bytes) -> None:
        ends.theirs.sendall(frame(b"last") + last)
        ends.theirs.close()
        assert ends.ours.receive() == b"last"
        with pytest.raises(Lost):
            ends.ours.receive()


class TestSent:
    @pytest.mark.parametrize("size", [0, 125, 126, 65536])
    def test_of_every_size(self, ends: Ends, size: int) -> None:
        sender = threading.Thread(target=ends.ours.send, args=(b"z" * size, 10))
        sender.start()
        assert ends.got() == (0x82, b"z" * size)
        sender.join()

    def test_a_ping_when_it_is_quiet(self, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "PING_EVERY", 0)
        assert ends.ours.receive() is None
        assert ends.got() == (0x89, b"")

    def test_whoever_takes_nothing_is_given_up(self, ends: Ends) -> None:
        with pytest.raises(TimeoutError):
            ends.ours.send(b"x" * (16 << 20), 0.3)

    def test_whoever_takes_nothing_is_still_listened_to(self, ends: Ends) -> None:
        """Or a command that only goes on when somebody takes its output would wait for ever."""
        sender = threading.Thread(target=ends.ours.send, args=(b"x" * (4 << 20), 10))
        sender.start()
        time.sleep(0.1)
        ends.theirs.sendall(frame(b"ping", 9) + frame(b"take this first"))
        assert ends.ours.receive() == b"take this first"
        assert ends.got() == (0x82, b"x" * (4 << 20))
        assert ends.got() == (0x8A, b"ping")
        sender.join()

    def test_to_nobody(self, ends: Ends) -> None:
        ends.theirs.close()
        with pytest.raises(Lost):
            for _ in range(2):
                ends.ours.send(b"x", 1)

    def test_closing_it_frees_who_waits(self, ends: Ends) -> None:
        lost = []

        def send() -> None:
            try:
                ends.ours.send(b"x" * (16 << 20), 60)
            except Lost as error:
                lost.append(error)

        threading.Thread(target=send).start()
        time.sleep(0.1)
        ends.ours.close()
        ends.ours.close()
        until(lambda: lost, "the sender is told")
        with pytest.raises(Lost):
            ends.ours.receive()

"""The messages of a WebSocket whose handshake is done, sent and received by two threads at once.

The client library's own calls would wait for each other: a send that has to wait until the other side reads must not keep us from
reading what the other side has to get rid of first. And a TLS socket may be used by one thread at a time only.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any

PIECE = 1 << 18
TICK = 0.2
PING_EVERY = 20.0
DEAD = 45
"""Seconds after which a connection is given up whose other side acknowledges nothing."""
_CONTINUED, _CLOSE, _PING, _PONG, _BINARY = 0x0, 0x8, 0x9, 0xA, 0x2


class Lost(Exception):  # noqa: N818 - turned into the caller's own error
    """The connection ended."""


class Frames:
    """Messages over a connected socket; pings in both directions are seen to.

    :param connected: the client library's WebSocket, after its handshake
    """

    def __init__(self, connected: Any) -> None:
        self._connected, self._socket = connected, connected.sock
        self._using, self._sending = threading.Lock(), threading.Lock()
        self._came, self._message, self._outgoing, self._closed = bytearray(), bytearray(), bytearray(), False
        self._pinged = time.monotonic()
        self._socket.setblocking(False)
        with suppress(OSError, AttributeError):  # a Mac has no such option
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD * 1000)

    def send(self, message: bytes, silence: float) -> None:
        """Send one message.

        :raises TimeoutError: the other side took nothing for so long
        :raises Lost: the connection ended
        """
        with self._sending:
            self._put(message, _BINARY)
            deadline = time.monotonic() + silence
            while self._outgoing:
                if self._written():
                    deadline = time.monotonic() + silence
                elif not self._await(select.POLLOUT) and time.monotonic() > deadline:
                    raise TimeoutError

    def receive(self) -> bytes | None:
        """The next message; None when there was none for a moment.

        :raises Lost: the connection ended
        """
        while (message := self._whole()) is None:
            chunk = self._tried(lambda: self._socket.recv(PIECE))
            if chunk is None:
                if self._await(select.POLLIN):
                    continue
                self._see_to_pings()
                return None
            if not chunk:
                raise Lost
            self._came += chunk
        return message

    def close(self) -> None:
        """End the connection. Idempotent; what waits in another thread is told that it is lost."""
        self._closed = True
        with self._using, suppress(OSError):
            self._socket.close()

    def _whole(self) -> bytes | None:
        while (frame := self._frame()) is not None:
            last, kind, payload = frame
            if kind == _CLOSE:
                raise Lost
            if kind == _PING:
                self._put(payload, _PONG)
                self._written()
            elif kind in (_CONTINUED, _BINARY, 0x1):
                self._message += payload
                if last:
                    message = bytes(self._message)
                    self._message.clear()
                    return message
        return None

    def _frame(self) -> tuple[bool, int, bytes] | None:
        if len(self._came) < 2:
            return None
        first, length = self._came[0], self._came[1] & 0x7F
        start = {126: 4, 127: 10}.get(length, 2)
        if len(self._came) < start:
            return None
        size = int.from_bytes(self._came[2:start]) if start > 2 else length
        if len(self._came) < start + size:
            return None
        payload = bytes(self._came[start : start + size])
        del self._came[: start + size]
        return bool(first & 0x80), first & 0x0F, payload

    def _see_to_pings(self) -> None:
        # Also a proxy between us must not take a long hash for an idle connection. Nobody waits here until it is sent.
        if time.monotonic() - self._pinged > PING_EVERY:
            self._pinged = time.monotonic()
            self._put(b"", _PING)
        self._written()

    def _put(self, message: bytes, kind: int) -> None:
        from websocket import ABNF

        frame = ABNF.create_frame(message, kind).format()
        with self._using:
            self._outgoing += frame

    def _written(self) -> bool:
        """Whether some of what is to be sent could be sent at once."""

        def write() -> int:
            with memoryview(self._outgoing) as waiting:
                count: int = self._socket.send(waiting[:PIECE]) if waiting else 0
            del self._outgoing[:count]
            return count

        return bool(self._tried(write))

    def _tried(self, action: Any) -> Any:
        with self._using:
            if self._closed:
                raise Lost
            try:
                return action()
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return None
            except OSError as error:
                raise Lost from error

    def _await(self, event: int) -> bool:
        if self._closed:
            raise Lost
        waiting = select.poll()
        try:
            waiting.register(self._socket, event)
        except ValueError:
            raise Lost from None
        return bool(waiting.poll(TICK * 1000))

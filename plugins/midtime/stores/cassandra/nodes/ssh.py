"""A node that is reached by SSH: one connection, in which each command has a channel of its own."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from midtime.errors import StoreAccessError, StoreError
from midtime.model.topology.cassandra import SshAccess
from midtime.stores.cassandra.nodes.base import PIECE, Node, Running
from midtime.stores.cassandra.nodes.remote import RemoteWords, ending, saying_its_id
from midtime.stores.cassandra.nodes.ssh_connection import PATIENCE, SshConnection
from midtime.stores.cassandra.nodes.words import deaf, ended, silent, still_running

CHANNELS = 8
"""At once; OpenSSH allows ten by default (``MaxSessions``)."""
GRACE = 2.0
"""Seconds for the last words of what has ended."""


class SshRunning(Running):
    """A command in a channel."""

    def __init__(self, node: SshNode, channel: Any, name: str) -> None:
        self._node, self._channel, self._name = node, channel, name
        self._words, self._closed = RemoteWords(), False
        self._listener = threading.Thread(target=self._listen, name="midtime-stderr", daemon=True)
        self._listener.start()

    def send(self, chunk: bytes) -> None:  # noqa: D102
        rest = memoryview(chunk)
        while rest:
            self._channel.settimeout(self.silence)
            try:
                count = self._channel.send(rest)
            except TimeoutError:
                raise silent(self._name, self._node.label, self.silence) from None
            except (OSError, EOFError):
                count = 0
            if not count:
                self._look_at_connection()
                raise deaf(self._name, self._node.label)
            rest = rest[count:]

    def end_input(self) -> None:  # noqa: D102
        with suppress(OSError, EOFError):
            self._channel.shutdown_write()

    def read(self, size: int = PIECE) -> bytes:  # noqa: D102
        self._channel.settimeout(self.silence)
        try:
            chunk: bytes = self._channel.recv(size)
        except TimeoutError:
            raise silent(self._name, self._node.label, self.silence) from None
        except (OSError, EOFError):
            chunk = b""
        if not chunk and not self._channel.eof_received:
            self._look_at_connection()
        return chunk

    def wait(self, timeout: float) -> None:  # noqa: D102
        if not self._channel.status_event.wait(timeout):
            raise still_running(self._name, self._node.label, timeout)
        code = self._channel.exit_status
        if code == 0:
            return
        if code < 0:
            self._look_at_connection()
        self._listener.join(GRACE)
        raise self._node.not_even_started(self._words) or ended(self._name, self._node.label, code, self._words)

    @property
    def alive(self) -> bool:  # noqa: D102
        return not self._channel.exit_status_ready()

    def close(self) -> None:  # noqa: D102
        if self._closed:
            return
        self._closed, forsaken = True, self.alive
        with suppress(OSError, EOFError):
            self._channel.close()
        self._node.release()
        if forsaken and self._words.process_id:
            self._node.end(self._words.process_id)

    def _look_at_connection(self) -> None:
        if not self._channel.get_transport().is_active():
            raise self._node.connection.lost(self._name)

    def _listen(self) -> None:
        with suppress(OSError, EOFError):
            while chunk := self._channel.recv_stderr(PIECE):
                self._words.add(chunk)
        self._words.end()


class SshNode(Node):
    """A machine with an SSH server.

    :param access: how to log in; the host is the node's
    """

    def __init__(self, label: str, host: str, access: SshAccess) -> None:
        super().__init__(label, host)
        self.access, self.connection = access, SshConnection(label, host, access.conn_id)
        self._channels = threading.BoundedSemaphore(CHANNELS)

    def start(self, command: Sequence[str]) -> Running:  # noqa: D102
        words = saying_its_id(command)
        self._channels.acquire()
        try:
            channel = self.connection.execute(shlex.join(["sudo", "-n", "--", *words] if self.access.sudo else words))
        except BaseException:
            self.release()
            raise
        return SshRunning(self, channel, command[0])

    def release(self) -> None:
        """One channel less."""
        self._channels.release()

    def end(self, process_id: int) -> None:
        """End a command that was given up, as far as that can be done at once."""
        with suppress(StoreError), self.start(ending(process_id)) as running:
            running.end_input()
            running.wait(PATIENCE)

    def not_even_started(self, words: RemoteWords) -> StoreAccessError | None:
        """What to say of a command that sudo did not start."""
        if not self.access.sudo or words.process_id is not None:
            return None
        return StoreAccessError(
            f"node {self.label}: sudo does not let us run commands: {words}",
            fix="allow the connection's user NOPASSWD in the node's sudoers, or set `sudo: false`",
        )

    def close(self) -> None:  # noqa: D102
        self.connection.close()

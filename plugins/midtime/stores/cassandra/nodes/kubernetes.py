"""A node that is a pod: its commands run by exec, through the API server."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from midtime.errors import DiscoveryAccessError, DiscoveryError, StoreAccessError, StoreError, StoreUnreachableError
from midtime.kubernetes.api import Api
from midtime.kubernetes.execution import PATIENCE, execute, exit_code
from midtime.kubernetes.frames import Frames, Lost
from midtime.stores.cassandra.nodes.base import PIECE, Node, Running
from midtime.stores.cassandra.nodes.remote import RemoteWords, ending, fed_in_pieces
from midtime.stores.cassandra.nodes.words import deaf, ended, silent, still_running

_INPUT, _OUTPUT, _ERRORS, _STATUS = range(4)
AHEAD = 4 << 20
"""Bytes of output that are taken before somebody reads them."""


class PodRunning(Running):
    """A command in a container. One thread takes what comes, so that a flood of complaints stops nothing."""

    def __init__(self, node: PodNode, frames: Frames, name: str) -> None:
        self._node, self._frames, self._name = node, frames, name
        self._words, self._output, self._status = RemoteWords(), bytearray(), b""
        self._changed, self._over, self._closed, self._input_ended = threading.Condition(), False, False, False
        self._listener = threading.Thread(target=self._listen, name="midtime-exec", daemon=True)
        self._listener.start()

    def send(self, chunk: bytes) -> None:  # noqa: D102
        for start in range(0, len(chunk), PIECE):
            piece = chunk[start : start + PIECE]
            self._send(b"%d\n%b" % (len(piece), piece))

    def end_input(self) -> None:  # noqa: D102
        if not self._input_ended:
            self._input_ended = True
            with suppress(StoreError):
                self._send(b"0\n")

    def read(self, size: int = PIECE) -> bytes:  # noqa: D102
        deadline = time.monotonic() + self.silence
        with self._changed:
            while not self._output and not self._over:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise silent(self._name, self._node.label, self.silence)
            chunk = bytes(self._output[:size])
            del self._output[:size]
            self._changed.notify_all()
        if not chunk and not self._status:
            raise self._lost()
        return chunk

    def wait(self, timeout: float) -> None:  # noqa: D102
        with self._changed:
            if not self._changed.wait_for(lambda: self._over, timeout):
                raise still_running(self._name, self._node.label, timeout)
        if not self._status:
            raise self._lost()
        code, said = exit_code(self._status)
        if code is None:
            raise StoreAccessError(
                f"node {self._node.label}: {self._name} could not be run: {said}", fix="see that the container has a shell, and `container`"
            )
        if code:
            raise ended(self._name, self._node.label, code, self._words)

    @property
    def alive(self) -> bool:  # noqa: D102
        return not self._over

    def close(self) -> None:  # noqa: D102
        if self._closed:
            return
        self._closed, forsaken = True, self.alive
        self._frames.close()
        with self._changed:
            self._changed.notify_all()
        if forsaken and self._words.process_id:
            self._node.end(self._words.process_id)

    def _send(self, piece: bytes) -> None:
        if self._over:
            raise deaf(self._name, self._node.label) if self._status else self._lost()
        try:
            self._frames.send(bytes([_INPUT]) + piece, self.silence)
        except TimeoutError:
            raise silent(self._name, self._node.label, self.silence) from None
        except Lost:
            self._listener.join(PATIENCE)
            raise (deaf(self._name, self._node.label) if self._status else self._lost()) from None

    def _lost(self) -> StoreUnreachableError:
        return StoreUnreachableError(
            f"node {self._node.label}: the connection through the Kubernetes API server was lost while {self._name} ran",
            fix="see whether the pod and the API server run, then try again",
        )

    def _listen(self) -> None:
        with suppress(Lost):
            while not self._status and not self._closed:
                if message := self._frames.receive():
                    self._take(message[0], message[1:])
        with self._changed:
            self._words.end()
            self._over = True
            self._changed.notify_all()

    def _take(self, channel: int, data: bytes) -> None:
        if channel == _ERRORS:
            self._words.add(data)
        elif channel == _STATUS:
            self._status += data
        elif channel == _OUTPUT:
            with self._changed:
                self._changed.wait_for(lambda: len(self._output) < AHEAD or self._closed)
                self._output += data
                self._changed.notify_all()


class PodNode(Node):
    """A pod, found by its name.

    :param api: the namespace, open as long as the node is used
    :param host: the pod's address
    """

    def __init__(self, label: str, host: str, api: Api, container: str) -> None:
        super().__init__(label, host)
        self.api, self.container = api, container

    def start(self, command: Sequence[str]) -> Running:  # noqa: D102
        try:
            frames = execute(self.api, self.label, self.container, fed_in_pieces(command))
        except DiscoveryAccessError as error:
            raise StoreAccessError(error.message, fix=error.fix) from error
        except DiscoveryError as error:
            raise StoreUnreachableError(error.message, fix=error.fix) from error
        return PodRunning(self, frames, command[0])

    def end(self, process_id: int) -> None:
        """End a command that was given up, as far as that can be done at once."""
        with suppress(StoreError), self.start(ending(process_id)) as running:
            running.end_input()
            running.wait(PATIENCE)

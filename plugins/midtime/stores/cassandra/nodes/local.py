"""A node whose tools and files are on the worker."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, cast

from midtime.stores.cassandra.nodes.base import PIECE, Node, Running
from midtime.stores.cassandra.nodes.words import LastWords, deaf, ended, missing, silent, still_running

TICK = 0.2
"""Seconds after which whoever waits looks whether the command has ended."""
GRACE = 1.0
"""Seconds for the last output after a command's end. What it leaves running, a server perhaps, may hold its output open for ever."""
OBEY = 2.0
"""Seconds in which a process may end in order when it is told to."""


class LocalRunning(Running):
    """A process of ours, in a session of its own: Ctrl-C and a task's SIGTERM come to us alone."""

    def __init__(self, process: subprocess.Popen[bytes], label: str, name: str) -> None:
        self._process, self._label, self._name = process, label, name
        self._stdin, self._stdout, self._stderr = (cast(IO[bytes], pipe) for pipe in (process.stdin, process.stdout, process.stderr))
        self._words, self._sending, self._closing = LastWords(), threading.Lock(), False
        os.set_blocking(self._stdin.fileno(), False)
        for pipe in (self._stdin, self._stdout):
            if hasattr(fcntl, "F_SETPIPE_SZ"):
                with suppress(OSError):  # larger pipes save switches; where the kernel grants none, it works as well
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIECE)
        self._listener = threading.Thread(target=self._listen, name="midtime-stderr", daemon=True)
        self._listener.start()

    def send(self, chunk: bytes) -> None:  # noqa: D102
        rest = memoryview(chunk)
        with self._sending:
            deadline = time.monotonic() + self.silence
            while rest:
                if self._closing or self._stdin.closed:
                    raise deaf(self._name, self._label)
                if not _ready(self._stdin, select.POLLOUT, TICK):
                    self._give_up_after(deadline)
                    continue
                try:
                    rest = rest[os.write(self._stdin.fileno(), rest) :]
                except BrokenPipeError:
                    raise deaf(self._name, self._label) from None
                deadline = time.monotonic() + self.silence

    def end_input(self) -> None:  # noqa: D102
        with self._sending, suppress(OSError):
            self._stdin.close()

    def read(self, size: int = PIECE) -> bytes:  # noqa: D102
        deadline, ended_at = time.monotonic() + self.silence, None
        while not _ready(self._stdout, select.POLLIN, TICK):
            self._give_up_after(deadline)
            if self.alive:
                continue
            ended_at = ended_at or time.monotonic()
            if time.monotonic() - ended_at > GRACE:
                return b""
        return os.read(self._stdout.fileno(), size)

    def wait(self, timeout: float) -> None:  # noqa: D102
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise still_running(self._name, self._label, timeout) from None
        if code:
            self._listener.join(GRACE)
            raise ended(self._name, self._label, code, self._words)

    @property
    def alive(self) -> bool:  # noqa: D102
        return self._process.poll() is None

    def close(self) -> None:  # noqa: D102
        self._closing = True
        if self.alive:  # what a command left running when it ended, a server perhaps, is meant to run
            self._end()
        with self._sending, suppress(OSError):
            self._stdin.close()
        self._stdout.close()

    def _end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(OBEY)
            os.killpg(self._process.pid, signal.SIGKILL)  # also when the leader obeyed: its children may not have
        self._process.wait()

    def _give_up_after(self, deadline: float) -> None:
        if time.monotonic() > deadline:
            raise silent(self._name, self._label, self.silence)

    def _listen(self) -> None:
        # Nobody else reads or closes this pipe, so that a flood of complaints never stops the command.
        with self._stderr as complaints:
            while not self._closing:
                if _ready(complaints, select.POLLIN, TICK):
                    if not (chunk := os.read(complaints.fileno(), PIECE)):
                        return
                    self._words.add(chunk)


class LocalNode(Node):
    """The worker itself, or one of several nodes on it."""

    here = True

    def start(self, command: Sequence[str]) -> Running:  # noqa: D102
        name = command[0]
        try:
            process = subprocess.Popen(
                command,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise missing(name, self.label, error.strerror or str(error)) from error
        return LocalRunning(process, self.label, name)


def _ready(pipe: IO[bytes], event: int, seconds: float) -> bool:
    waiting = select.poll()  # select() knows no file above 1024
    waiting.register(pipe, event)
    return bool(waiting.poll(seconds * 1000))

"""Child processes that never outlive the stack that started them.

Every child sits behind a guard (``launch.py``). All processes of one stack carry ``MIDTIME_STACK=<id>`` in their
environment, so that what is left of it can be told apart from everything else on the machine.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tests.stack import launch

MARKER = "MIDTIME_STACK"
T = TypeVar("T")


class StackError(Exception):
    """A part of the stack did not start or did not stop; the message holds the end of its log."""


class Port:
    """A free TCP port of 127.0.0.1 that stays ours: the socket remains bound, and the server binds the same port beside it.

    Linux allows that when both sockets have SO_REUSEADDR and ours does not listen; PostgreSQL, Java and uvicorn all set it.
    Nobody else is handed the port meanwhile, as would happen between closing a probe and starting the server.
    """

    def __init__(self, preferred: int = 0) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._name = socket.socket(socket.AF_UNIX)
        # after a failed test nobody may be left to release them
        weakref.finalize(self, self._socket.close)
        weakref.finalize(self, self._name.close)
        try:
            # for a port that is asked for, SO_REUSEADDR would let two of us in: an abstract name keeps us apart
            self._name.bind(f"\0midtime-port-{preferred}" if preferred else "")
            self._socket.bind(("127.0.0.1", preferred))
        except OSError:
            self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        self._socket.close()
        self._name.close()


class Processes:
    """The children of one stack, by name; ``stop()`` ends them in the reverse order and leaves nothing behind."""

    def __init__(self, directory: Path, stack_id: str | None = None) -> None:
        self.directory = directory
        self.stack_id = stack_id or uuid.uuid4().hex
        self._running: dict[str, Process] = {}
        directory.mkdir(parents=True, exist_ok=True)
        # a weak reference: a stack that was stopped must not live as long as the interpreter
        this = weakref.ref(self)
        self._at_exit = functools.partial(_stop_if_alive, this)
        atexit.register(self._at_exit)

    @property
    def marker(self) -> str:
        return f"{MARKER}={self.stack_id}"

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace: float = 10.0,
    ) -> Process:
        """Start a command in a session of its own; its output is appended to ``<directory>/<name>.log``."""
        # SPT_NOENV: setproctitle would otherwise write over the environment that the marker is read from
        environment = {**(os.environ if env is None else env), MARKER: self.stack_id, "SPT_NOENV": "1"}
        environment[f"{MARKER}_PROCESS"] = process_id = uuid.uuid4().hex
        own_marker = f"{MARKER}_PROCESS={process_id}"
        process = Process(self, name, [str(part) for part in command], environment, own_marker, cwd, user, stop_signal, grace)
        self._running[name] = process
        return process

    def forget(self, process: Process) -> None:
        if self._running.get(process.name) is process:
            del self._running[process.name]

    def stop(self) -> None:
        """End every child and then whatever still carries the marker; may be called again."""
        atexit.unregister(self._at_exit)
        self.signal_stop()
        for process in reversed(list(self._running.values())):
            process.stop()
        if left := launch.kill_marked(self.marker):
            raise StackError(f"processes {left} of the stack could not be ended")

    def signal_stop(self) -> None:
        """Let all of them begin to end, the last started first."""
        for process in reversed(list(self._running.values())):
            process.signal_stop()

    def left(self) -> list[int]:
        """The processes of this stack that are alive."""
        return launch.marked(self.marker)


class Process:
    """One supervised child and its guard."""

    def __init__(
        self, owner: Processes, name: str, command: list[str], env: dict[str, str], marker: str,
        cwd: Path | None, user: str | None, stop_signal: signal.Signals, grace: float,
    ) -> None:  # fmt: skip
        self.name, self.log, self._owner, self._grace = name, owner.directory / f"{name}.log", owner, grace
        guard = [sys.executable, "-I", "-S", launch.__file__, marker, str(int(stop_signal)), str(grace), user or "", "--"]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._guard = subprocess.Popen(
                guard + command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env, cwd=cwd, start_new_session=True
            )
        assert self._guard.stdout is not None
        with self._guard.stdout as answer:
            said = answer.readline()
        if not said.strip().isdigit():
            self.stop()
            raise StackError(f"{name} could not be started\n{self.log_tail()}")
        self.pid = int(said)

    @property
    def alive(self) -> bool:
        return self._guard.poll() is None

    def wait_ready(self, ready: Callable[[], bool], timeout: float, every: float = 0.05) -> None:
        """Wait until ``ready()`` is true; an exception in it counts as "not yet"."""
        end = time.monotonic() + timeout
        reason: object = "not ready"
        while time.monotonic() < end and self.alive:
            try:
                if ready():
                    return
            except Exception as error:  # noqa: BLE001 - whatever it is, the server is not ready yet
                reason = repr(error)
            time.sleep(every)
        what = f"not ready after {timeout:g} s" if self.alive else f"ended with exit status {self._guard.returncode}"
        self.stop()
        raise StackError(f"{self.name} {what} ({reason}); the end of {self.log}:\n{self.log_tail()}")

    def log_tail(self, lines: int = 40) -> str:
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    def signal_stop(self) -> None:
        """Ask it to end, without waiting."""
        with contextlib.suppress(ProcessLookupError):
            self._guard.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """The polite signal to the whole group, and after the grace SIGKILL to everything that it started."""
        self.signal_stop()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._guard.wait(self._grace + 6)
        self._close()

    def kill(self) -> None:
        """SIGKILL to the child alone, as a crash would; the guard then sweeps up what it leaves."""
        launch.kill(self.pid)
        self._guard.wait(15)
        self._close()

    @contextlib.contextmanager
    def unguarded(self) -> Iterator[None]:
        """Inside, what the child started lives on when the child dies: its guard is asleep. At the end the guard sweeps it up."""
        self._guard.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._guard.send_signal(signal.SIGCONT)
            if launch.ended(self.pid):
                self._guard.wait(15)
                self._close()

    def wait(self, timeout: float) -> int:
        """Wait until it ends by itself; answers its exit status."""
        code = self._guard.wait(timeout)
        self._close()
        return code

    def _close(self) -> None:
        assert self._guard.stdin is not None
        self._guard.stdin.close()  # for a guard that did not end by itself this is the end of its owner
        self._guard.wait(10)
        self._owner.forget(self)


def _stop_if_alive(reference: weakref.ref[Processes]) -> None:
    if (owner := reference()) is not None:
        owner.stop()


def poll(what: str, attempt: Callable[[], T | None], timeout: float, every: float = 0.1) -> T:
    """Call until the answer is not None."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if (answer := attempt()) is not None:
            return answer
        time.sleep(every)
    raise StackError(f"timed out after {timeout:g} s: {what}")

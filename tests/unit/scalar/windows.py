"""Pause windows for tests: a guard in this process, a pausing task in one of its own, and a network that can be cut."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from midtime.scalar.client import AdminClient, Reply
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint
from midtime.scalar.guard import Guard
from midtime.scalar.keeper import Keeper, Limits
from midtime.scalar.watchdog import Watchdog
from tests.unit.processes import PATIENCE, alive, until

SLACK = 2.0
"""Seconds that a loaded machine may add to a second: with 14 runnable threads on 2 cores a new thread waited for 0.7 s."""
ROOT = Path(__file__).parents[3]


class Notes:
    """A keeper that only writes down what it is told."""

    def __init__(self) -> None:
        self.lost = False
        self.ours: dict[str, float | None] = {}
        self.has_unpaused: set[str] = set()
        self.log: list[str] = []

    def about_to_pause(self, settled: dict[str, float], deadline: float) -> None:
        self.log.append("about to pause")
        self.ours |= settled

    def answered(self, addresses: Iterable[str]) -> None:
        self.ours |= dict.fromkeys(addresses, None)

    def not_ours(self, addresses: Iterable[str]) -> None:
        for address in addresses:
            self.ours.pop(address, None)

    def stay(self) -> None:
        self.log.append("stay")

    def unpaused(self) -> set[str]:
        return self.has_unpaused


class Client(AdminClient):
    """One that lets something happen right before its Pause."""

    before_pause: Callable[[], None] = staticmethod(lambda: None)

    def begin_pause(self, *, drain: float, timeout: float) -> Reply[None]:
        self.before_pause()
        return super().begin_pause(drain=drain, timeout=timeout)


def gone(pid: int) -> bool:
    """Whether a process has ended with all its threads, so that its files are closed."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return not alive(pid) and "\nThreads:\t1\n" in Path(f"/proc/{pid}/status").read_text()
    return True


@contextmanager
def window(
    *groups: Sequence[Endpoint], drain: float = 1, hold: float = 0, deadline: float = 20, keeper: Keeper | None = None, **details: Any
) -> Iterator[Guard]:
    """A guard over connected channels; whatever the test leaves behind is aborted."""
    before_pause = details.pop("before_pause", lambda: None)
    with ExitStack() as stack:
        clients = [[Client(endpoint) for endpoint in group] for group in groups]
        for client in [client for group in clients for client in group]:
            stack.callback(client.close)
            client.before_pause = before_pause
            client.connect(timeout=10)
        guard = Guard(clients, Limits(drain, hold, deadline), keeper or Notes(), **details)
        try:
            yield guard
        finally:
            guard.abort("the test is over")
            if guard.started:
                guard.ended.wait()


def opened(guard: Guard) -> Guard:
    """Begin, and wait for the window."""
    guard.begin()
    until(lambda: guard.opened.is_set() or guard.ended.is_set(), "the window opens")
    assert guard.opened.is_set(), guard.error
    return guard


def ended(guard: Guard) -> Guard:
    """Wait for its end."""
    assert guard.ended.wait(PATIENCE), "the guard never ended"
    return guard


def done(guard: Guard) -> Guard:
    """Begin and end, without a wish to hold it."""
    guard.begin()
    guard.finish()
    return ended(guard)


def unpaused_at(double: Double) -> float:
    """When the first Unpause came to a double."""
    return min(call["at"] for call in double.calls("unpause"))


class Task:
    """A process that pauses as ``ScalarPauseOperator`` does (``pausing_task.py``), leader of a process group of its own."""

    def __init__(self, journal: Path, *groups: Sequence[str], **plan: Any) -> None:
        self.journal = journal
        plan = {"drain": 1, "hold": 0, "deadline": 20, **plan, "journal": str(journal), "groups": [list(group) for group in groups]}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.scalar.pausing_task", json.dumps(plan)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True,
            env={**os.environ, "AIRFLOW_CONN_SECRET": "do not hand on", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip

    def said(self, what: str) -> Any:
        """The next thing that it says."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], f"the task never said {what}"
        line = self.process.stdout.readline()
        assert line, f"the task died before it said {what}"
        said = json.loads(line)
        assert what in said, said
        return said[what]

    def finish(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"finish\n")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def kill_group(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def until_stopped(self) -> None:
        stat = Path(f"/proc/{self.process.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", "the task stops")

    @property
    def notes(self) -> list[dict[str, Any]]:
        """The watchdog's journal."""
        return [json.loads(line) for line in self.journal.read_text().splitlines()] if self.journal.exists() else []

    @property
    def watchdog(self) -> int:
        """Its pid."""
        return int(until(lambda: [note["pid"] for note in self.notes if note["did"] == "watches"], "the watchdog watches")[0])

    def watchdog_ended(self) -> None:
        pid = self.watchdog
        until(lambda: gone(pid), "the watchdog ends")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
        for note in self.notes:
            if note["did"] == "watches" and alive(note["pid"]):
                os.kill(note["pid"], signal.SIGKILL)


TaskOf = Callable[..., Task]
"""Makes one over some doubles."""


def pid_of(watchdog: Watchdog) -> int:
    """The process's, by its journal."""
    notes = Task.__new__(Task)
    notes.journal = watchdog.journal
    return notes.watchdog


def open_by_the_watchdog(double: Double, task: Task, why: str) -> None:
    """It has done it, said why, and gone."""
    task.watchdog_ended()
    assert not double.paused
    assert [note["why"] for note in task.notes if note["did"] == "unpauses"] == [why]


class Proxy:
    """A wire to an endpoint that can be frozen (nothing passes, nothing is refused), cut (reset and refused), and healed."""

    def __init__(self, address: str) -> None:
        self._to = address.rsplit(":", 1)
        self._flows = threading.Event()
        self._flows.set()
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self._port}"
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def endpoint(self) -> Endpoint:
        return Endpoint("ledger", "scalardl-ledger", self.address)

    def freeze(self) -> None:
        self._flows.clear()

    def cut(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._reset()

    def heal(self) -> None:
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", self._port))
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        self._flows.set()

    def close(self) -> None:
        self._flows.set()
        if self._listener.fileno() >= 0:
            self.cut()

    def _reset(self) -> None:
        while self._ends:
            end = self._ends.pop()
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection((self._to[0], int(self._to[1])))
            self._ends += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while content := one.recv(1 << 16):
                self._flows.wait()
                other.sendall(content)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire(address: str) -> Iterator[Proxy]:
    """A wire to an endpoint for one test."""
    proxy = Proxy(address)
    try:
        yield proxy
    finally:
        proxy.close()

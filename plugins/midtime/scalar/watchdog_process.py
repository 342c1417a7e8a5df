"""The watchdog: a process that outlives the task that pauses, and unpauses in its place.

Double-forked, in a session of its own, without Airflow. It is told through its standard input what is about to be paused, and unpauses
it at the end of file (the task died), at the deadline (the task stands still), and when the machine shuts down (SIGTERM).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from midtime.scalar import journals

if TYPE_CHECKING:
    from midtime.scalar.opening import Gate

STAY_SECONDS = 0.5
"""How often one that stays looks whether it is still needed, and for how long it waits for the answers."""
SEEN_SECONDS = 4 * STAY_SECONDS
"""After this time an endpoint that was opened has been seen open by one that stays: whoever opened it waits for so long before the next
window may have it, whose Pause could not be told from ours."""


def main(setup: Mapping[str, Any]) -> NoReturn:
    """Become nobody's child, then watch. ``setup`` is what :class:`~midtime.scalar.watchdog.Watchdog` sends first."""
    _leave()
    try:
        Dog(setup).watch()
    finally:
        os._exit(0)


def _leave() -> None:
    """A process group of the task's is killed with the task; this one is not in it."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


class Dog:
    """Knows what is paused, and by when it must not be."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        from midtime.scalar.client import AdminClient  # after the forks: gRPC's threads do not survive them
        from midtime.scalar.endpoint import Endpoint

        self._terminated, self._alarm = os.pipe()  # first, for select() takes no number above 1,023
        self._clients = {body["address"]: AdminClient(Endpoint.from_dict(body)) for body in setup["endpoints"]}
        self._journal = Path(setup["journal"])
        self._patience = float(setup["patience"])
        self._ours: dict[str, float | None] = {}
        self._deadline: float | None = None
        self._stay = False
        self._unread = b""

    def watch(self) -> None:
        """Until it is not needed any more."""
        signal.signal(signal.SIGTERM, lambda *_: os.write(self._alarm, b"x"))
        for client in self._clients.values():
            client.begin_check_paused(timeout=5)  # opens the channel
        self._note("watches", pid=os.getpid())
        print("ready", flush=True)  # noqa: T201
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        why = self._wait()
        if self._ours:
            self._open(why)

    def _wait(self) -> str:
        """Listen; returns why it is time to act."""
        inputs = [0, self._terminated]
        while True:
            left = None if self._deadline is None else self._deadline - time.monotonic()
            if left is not None and left <= 0:
                return "the deadline has passed"
            if self._stay and not self._ours:
                return ""
            readable, _, _ = select.select(inputs, [], [], left if not self._stay else min(left or 0.0, STAY_SECONDS))
            if self._terminated in readable:
                return "the machine is shutting down"
            if 0 in readable and not self._read():
                if not self._stay:
                    return "the pausing task died"
                inputs.remove(0)
            if self._stay:
                self._forget_open()

    def _read(self) -> bool:
        """Take what the task says; False at its end."""
        content = os.read(0, 1 << 16)
        *lines, self._unread = (self._unread + content).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))
        return bool(content)

    def _hear(self, message: Mapping[str, Any]) -> None:
        self._ours.update(message.get("pausing", {}))
        self._deadline = message.get("deadline", self._deadline)
        for address in message.get("answered", ()):
            if address in self._ours:
                self._ours[address] = None
        for address in message.get("not_ours", ()):
            self._ours.pop(address, None)
        self._stay = message.get("stay", self._stay)

    def _forget_open(self) -> None:
        """What somebody unpaused is not ours any longer: who pauses it next is somebody else."""
        from midtime.errors import MidtimeError

        replies = {address: self._clients[address].begin_check_paused(timeout=STAY_SECONDS) for address in self._ours}
        for address, reply in replies.items():
            with contextlib.suppress(MidtimeError):
                if not reply.result():
                    del self._ours[address]
                    self._note(journals.FOUND_OPEN, endpoint=address)

    def _open(self, why: str) -> None:
        from midtime.scalar.opening import open_gates

        self._note("unpauses", why=why, endpoints=sorted(self._ours))
        gates = list(self._gates())
        told: set[str] = set()

        def tell() -> bool:
            for gate in gates:
                if gate.done and gate.endpoint.address not in told:
                    told.add(gate.endpoint.address)
                    self._note(self._did(gate), endpoint=gate.endpoint.address, why=why)
            return False

        open_gates(gates, until=max(self._deadline or 0.0, time.monotonic()) + self._patience, given_up=tell)
        tell()
        for gate in gates:
            if gate.foreign:
                self._note("left paused", endpoint=gate.endpoint.address, why="paused again by somebody else after our Unpause")
            elif not gate.done:
                self._note("gave up", endpoint=gate.endpoint.address, why=gate.error.message if gate.error else "still paused")

    def _did(self, gate: Gate) -> str:
        """What was paused by us, and is open after an Unpause that failed, was unpaused by that one: only its reply was lost."""
        lost = gate.lost and self._ours[gate.endpoint.address] is None
        return journals.UNPAUSED if gate.unpauses or lost else journals.FOUND_OPEN

    def _gates(self) -> Iterator[Gate]:
        from midtime.scalar.opening import Gate

        for address, settled in self._ours.items():
            yield Gate(self._clients[address], settled)

    def _note(self, did: str, **details: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep it from unpausing
            journals.write(self._journal, {"at": datetime.now(UTC).isoformat(), "did": did, **details})

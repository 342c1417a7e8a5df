"""Opening gates again: Unpause, seen to have worked, on many endpoints at once and for as long as it takes.

Shared by everybody who unpauses: the window, its watchdog, the teardown, the sweeper and the command line. An endpoint is only done
when CheckPaused says so *and* no Pause of ours can close its gate late (facts: a Pause whose caller gave up is carried out all the same).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from midtime.errors import AdminUnreachableError, MidtimeError
from midtime.scalar.client import AdminClient, Reply
from midtime.scalar.endpoint import Endpoint

RPC_SECONDS = 1.0
"""Deadline of each Unpause and CheckPaused: a peer that hangs is asked again."""
AGAIN_SECONDS = 0.25
"""From one try to the next, so that an endpoint is unpaused within a second of being reachable."""
THAW_SECONDS = 0.5
"""For so long after an endpoint that did not answer does so again, a Pause that lay in its buffers may still be carried out."""


@dataclass(slots=True)
class Gate:
    """One endpoint whose gate is to be opened."""

    client: AdminClient
    settled_at: float | None = None
    """``time.monotonic()`` until which a Pause of ours without a reply may still close the gate; None: each one was answered."""
    look_first: bool = True
    """Unpause only what CheckPaused says is paused. False right after we saw it paused, to lose no round trip."""
    unpauses: int = 0
    """How many Unpause calls were answered with OK."""
    lost: int = 0
    """How many failed: each may have worked all the same."""
    open_at: float | None = None
    """``time.monotonic()`` of the proof that it is open."""
    error: MidtimeError | None = None
    """The last failure, while it is not open."""
    foreign: bool = False
    """Paused again after our Unpause had worked: by somebody else, so it stays."""

    @property
    def endpoint(self) -> Endpoint:
        """Whose gate it is."""
        return self.client.endpoint

    @property
    def patience(self) -> float:
        """Seconds for which it must be watched in any case."""
        return max(0.0, (self.settled_at or 0.0) - time.monotonic() + 1)

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.foreign or self.open_at is not None


def open_gates(gates: Sequence[Gate], *, until: float, given_up: Callable[[], bool] = lambda: False) -> None:
    """Open all gates, each at its own pace, and return when all are or time is up; what became of each is in it.

    :param until: ``time.monotonic()`` at which to stop trying
    :param given_up: is asked again and again; true ends it early
    """
    wake = threading.Event()
    turns = [_Turn(gate, wake) for gate in gates]
    while not given_up() and any(not turn.gate.done for turn in turns) and time.monotonic() < until:
        wake.clear()
        due = min((turn.step() for turn in turns if not turn.gate.done), default=0.0)
        wake.wait(max(0.0, min(due, until) - time.monotonic()))


class _Turn:
    """What is under way with one gate: it is asked, told to open, or left alone for a moment."""

    def __init__(self, gate: Gate, wake: threading.Event) -> None:
        self.gate = gate
        self._wake = wake
        self._next = 0.0
        self._unpause: Reply[None] | None = None
        self._check: Reply[bool] | None = None
        self._blind = not gate.look_first
        self._silent = False

    def step(self) -> float:
        """Go on as far as possible without waiting.

        :return: ``time.monotonic()`` at which to be called again, unless a reply comes before
        """
        try:
            self._go_on()
        except Exception as error:  # noqa: BLE001 - such as a thread that cannot be started; it must not keep other gates closed
            self._failed(AdminUnreachableError(f"{self.gate.endpoint} cannot be asked: {error!r}", fix="see the worker's limits"))
        waiting = self._unpause or self._check
        return time.monotonic() + RPC_SECONDS if waiting else self._next

    def _go_on(self) -> None:
        if self._unpause and self._unpause.done():
            self._unpaused(self._unpause)
        if self._check and self._check.done():
            self._checked(self._check)
        if not (self._unpause or self._check or self.gate.done) and time.monotonic() >= self._next:
            self._send_unpause() if self._blind else self._send_check()

    def _send_unpause(self) -> None:
        self._blind = False
        self._unpause = self.gate.client.begin_unpause(timeout=RPC_SECONDS)
        self._unpause.add_done_callback(lambda _: self._wake.set())

    def _send_check(self) -> None:
        self._check = self.gate.client.begin_check_paused(timeout=RPC_SECONDS)
        self._check.add_done_callback(lambda _: self._wake.set())

    def _unpaused(self, reply: Reply[None]) -> None:
        self._unpause = None
        try:
            reply.result()
        except MidtimeError as error:
            self.gate.lost += 1
            self._failed(error)  # so look
        else:
            self.gate.unpauses += 1
            if self.gate.settled_at is not None and reply.sent >= self.gate.settled_at and not self._silent:
                self.gate.settled_at = None  # no Pause of ours can come after this one
        self._send_check()

    def _checked(self, reply: Reply[bool]) -> None:
        self._check = None
        try:
            paused = reply.result()
        except MidtimeError as error:
            self._failed(error)
            self._blind = not self.gate.unpauses  # it is ours, so who cannot be asked is told
            return
        self._heard_again()
        settled = self.gate.settled_at is None or reply.sent >= self.gate.settled_at
        if not paused:
            self.gate.error = None
            if settled:
                self.gate.open_at = reply.answered
            else:
                self._next = time.monotonic() + AGAIN_SECONDS / 5  # a Pause of ours may still be on its way
        elif self.gate.unpauses and self.gate.settled_at is None:
            self.gate.foreign = True
        elif time.monotonic() < self._next:
            self._blind = True  # the last Unpause failed: not again at once
        else:
            self._send_unpause()

    def _heard_again(self) -> None:
        if self._silent and self.gate.settled_at is not None:
            self.gate.settled_at = max(self.gate.settled_at, time.monotonic() + THAW_SECONDS)
        self._silent = False

    def _failed(self, error: MidtimeError) -> None:
        self.gate.error, self._silent = error, True
        self._next = time.monotonic() + AGAIN_SECONDS

"""The guard of a pause window: pauses all endpoints, watches them, and unpauses them. Always.

It runs on a thread that makes no Airflow call and writes no log: whatever the API server, the log server or the task's main thread do,
the window ends by its deadline. The watchdog, another process, does the same should this process die.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from midtime.errors import (
    ForeignPauseError,
    MidtimeError,
    NoInstantError,
    PauseError,
    PauseUnknownError,
    StillPausedError,
    WindowVoidError,
)
from midtime.scalar.client import AdminClient, Reply
from midtime.scalar.evidence import Clock, EndpointEvidence, Poll
from midtime.scalar.keeper import Keeper, Limits
from midtime.scalar.opening import Gate, open_gates

POLL_SECONDS = 0.1
"""From one round of witness polls to the next."""
POLL_TIMEOUT = 1.0
LATE_SECONDS = 1.0
"""How long beyond its drain limit a Pause without a reply may still close a gate."""
RESERVE = 0.5
"""Seconds before the deadline at which a window that is not done is given up, so that the gates are open at the deadline."""
PATIENCE = 5.0
"""Seconds after the deadline for which this process tries to unpause; then the watchdog goes on alone."""
CLOCK_STEP = timedelta(milliseconds=100)
"""Far more than a time service slews a clock by in a window."""
HEAD_START = 0.5
"""Seconds by which one group is unpaused before the next, if it does not hang."""
STUCK_FIX = "the watchdog goes on trying; see docs/runbooks/stuck-pause.md"


class Guard:
    """
    One window over the endpoints of a pause set.

    :param groups: channels, in the order in which they are paused; each group in parallel
    :param keeper: is told what is about to be paused before it is
    :param earliest_end: given the window's start, until when it must be held so that point-in-time stores can be restored into it;
        asked again and again, and never waits for anybody
    """

    def __init__(
        self,
        groups: Sequence[Sequence[AdminClient]],
        limits: Limits,
        keeper: Keeper,
        *,
        earliest_end: Callable[[datetime], datetime] | None = None,
    ) -> None:
        self.limits = limits
        self.clock = Clock()
        """See :meth:`set_clock`."""
        self.evidence = {client.endpoint.address: EndpointEvidence(client.endpoint) for group in groups for client in group}
        self.began: float | None = None
        self.start: float | None = None
        self.end: float | None = None
        self.over: float | None = None
        """When the last gate was seen open."""
        self.error: MidtimeError | None = None
        """Why the window is void."""
        self.stuck: StillPausedError | None = None
        """What could not be unpaused."""
        self.opened, self.ended = threading.Event(), threading.Event()
        self._groups, self._keeper = groups, keeper
        self._earliest_end = earliest_end or (lambda start: start)
        self._ours: dict[str, float | None] = {}
        self._wake = threading.Event()
        self._finish = False
        self._reason = ""
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)

    # -- for the task's main thread ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Pause, on a thread of its own."""
        self._thread.start()

    def set_clock(self) -> None:
        """Take the wall clock as it is now for the whole window: right before other clocks are compared with it."""
        self.clock = Clock()

    def pause_only(self) -> None:
        """Pause on the caller's thread and leave the rest to the keeper; whatever goes wrong is undone first.

        :raises MidtimeError: nothing is paused
        """
        try:
            for group in self._groups:
                self._pause(group)
            self._witness()
            self.start = time.monotonic()
            self._require_time(self.start)
            self._keeper.stay()
            if self._keeper.lost:
                raise WindowVoidError("the watchdog died while we paused", fix="see who kills processes on the worker; start a new run")
        except BaseException:
            self._unpause()
            raise

    def finish(self) -> None:
        """All captures have reported: end the window as soon as the hold is over."""
        self._finish = True
        self._wake.set()

    def abort(self, reason: str) -> None:
        """Unpause now; the window proves nothing. Noticed within a tenth of a second.

        A signal's handler may call it: it takes no lock, which the interrupted thread might hold.
        """
        self._reason = self._reason or reason

    @property
    def deadline(self) -> float:
        """``time.monotonic()`` at which everything is open."""
        return (self.began or time.monotonic()) + self.limits.deadline

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return self.deadline - time.monotonic()

    @property
    def started(self) -> bool:
        """Whether :meth:`begin` was called."""
        return self._thread.ident is not None

    def is_open(self, address: str) -> bool:
        """Whether an endpoint is known not to be paused by us (any more)."""
        return address not in self._ours

    # -- the thread -------------------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            for group in self._groups:
                self._pause(group)
            self._watch()
        except MidtimeError as error:
            self.error = error
        except BaseException as error:  # noqa: BLE001 - whatever it is, the gates are opened, and the task is told
            self.error = WindowVoidError(f"the window broke down: {error!r}", fix="report this; start a new run")
        finally:
            try:
                self._unpause()
            except BaseException as error:  # noqa: BLE001 - the watchdog goes on with what is still ours
                self.stuck = StillPausedError(f"unpausing broke down: {error!r}", fix=STUCK_FIX)
            if self._reason and self.error is None:
                self.error = WindowVoidError(self._reason, fix="start a new run")
            self.ended.set()

    def _clients(self) -> list[AdminClient]:
        return [client for group in self._groups for client in group]

    # -- pause ------------------------------------------------------------------------------------------------------------------------

    def _pause(self, clients: Sequence[AdminClient]) -> None:
        self._require_unpaused(clients)
        self.began = self.began or time.monotonic()
        left = self.limits.drain - (time.monotonic() - self.began)
        settled = time.monotonic() + left + LATE_SECONDS
        addresses = [client.endpoint.address for client in clients]
        self._keeper.about_to_pause(dict.fromkeys(addresses, settled), self.deadline)
        self._ours.update(dict.fromkeys(addresses, settled))
        replies = {
            client.endpoint.address: client.begin_pause(drain=max(left, 0.001), timeout=max(left, 0) + LATE_SECONDS) for client in clients
        }
        # One failure is enough: the others need not drain, and their users need not wait.
        self._wait(replies.values(), enough=lambda: any(_error(reply) for reply in replies.values() if reply.done()))
        self._paused(replies)

    def _require_unpaused(self, clients: Sequence[AdminClient]) -> None:
        """On the same channels, right before the Pause: it has no owner token, so this is all that can be known."""
        polls = self._poll(clients)
        if paused := [address for address, (poll, _) in polls.items() if poll.paused]:
            raise ForeignPauseError(
                f"{', '.join(paused)}: paused by somebody else already",
                fix="wait for them to unpause it, or `midtime unpause` if nobody does",
            )
        for _, error in polls.values():
            if error:
                raise error

    def _paused(self, replies: dict[str, Reply[None]]) -> None:
        errors = []
        for address, reply in replies.items():
            self.evidence[address].pause_sent = reply.sent
            if not reply.done():
                continue
            self.evidence[address].pause_answered = reply.answered
            if error := _error(reply):
                errors.append(error)
                self.evidence[address].error = error.message
            if error is None:
                self._ours[address] = None
            elif isinstance(error, PauseError) and not isinstance(error, PauseUnknownError):
                # The service said itself that its gate is not closed by us; nobody else can.
                del self._ours[address]
        self._keeper.answered(address for address in replies if self._ours.get(address, 0.0) is None)
        self._keeper.not_ours(address for address in replies if address not in self._ours)
        if errors:
            raise min(errors, key=lambda error: isinstance(error, PauseUnknownError))
        self._raise_if_aborted()

    # -- watch ------------------------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        self._witness()  # OK is not yet paused: a server that says so may lie
        self.start = time.monotonic()
        self._hold_until()
        self.opened.set()
        while True:
            finished = self._finish  # first: what it is told by then may make the hold longer
            hold_until = self._hold_until()
            last = finished and time.monotonic() >= hold_until
            asked = time.monotonic()
            self._require_time(asked)
            self._witness()
            if last:
                # Not when the answers came: this process may have stood still since, and the watchdog have unpaused.
                self.end = asked
                break
            self._require_time(time.monotonic())
            if time.monotonic() > self.deadline - RESERVE:
                raise WindowVoidError(
                    f"the captures did not report within the deadline of {self.limits.deadline:g} s",
                    fix="see the logs of the capturing tasks",
                )
            self._sleep(hold_until)
        if abs(self.clock.stepped()) > CLOCK_STEP:
            raise WindowVoidError(
                f"this worker's clock was set by {self.clock.stepped()} in mid-window", fix="see its time service; start a new run"
            )

    def _require_time(self, now: float) -> None:
        """Beyond the deadline the watchdog has unpaused, so whoever is seen paused then is paused by somebody else."""
        if now >= self.deadline:
            raise WindowVoidError(
                f"the pausing process stood still until its deadline of {self.limits.deadline:g} s had passed",
                fix="see what stopped or starved it on the worker; start a new run",
            )

    def _hold_until(self) -> float:
        assert self.start is not None  # noqa: S101 - for the type checker
        start = self.clock.at(self.start)
        needed = max((self._earliest_end(start) - start).total_seconds(), self.limits.hold)
        if self.start + needed > self.deadline - RESERVE:
            raise NoInstantError(
                f"the window would have to be held for {needed:.1f} s, which the deadline of {self.limits.deadline:g} s does not leave",
                fix="mend the stores' clocks, or raise pause.deadline",
            )
        return self.start + needed

    def _witness(self) -> None:
        """One round: every endpoint says that it is paused. Who is not is not ours any longer: who pauses it next is somebody else."""
        polls = self._poll(self._clients())
        self._disown([address for address, (poll, _) in polls.items() if poll.paused is False])
        for address, (poll, error) in polls.items():
            if error:
                raise WindowVoidError(
                    f"{address} was lost in mid-window: {error.message}", fix="see what happened to it; start a new run"
                ) from error
            if not poll.paused:
                raise WindowVoidError(
                    f"{address} was unpaused by somebody else, or restarted, in mid-window", fix="find out by whom; start a new run"
                )

    def _poll(self, clients: Sequence[AdminClient]) -> dict[str, tuple[Poll, MidtimeError | None]]:
        replies = {client.endpoint.address: client.begin_check_paused(timeout=POLL_TIMEOUT) for client in clients}
        self._wait(replies.values())
        self._raise_if_aborted()
        found = {}
        for address, reply in replies.items():
            error = _error(reply)
            poll = Poll(reply.sent, reply.answered or time.monotonic(), None if error else reply.result())
            self.evidence[address].polls.append(poll)
            found[address] = poll, error
        return found

    # -- unpause ----------------------------------------------------------------------------------------------------------------------

    def _unpause(self) -> None:
        """The last paused group first (strict mode: the Ledger before the Auditor); who hangs keeps nobody else waiting."""
        if time.monotonic() >= self.deadline:
            self._disown(self._keeper.unpaused())
        gates: list[Gate] = []
        until = max(self.deadline, time.monotonic()) + PATIENCE
        for group in reversed(self._groups):
            ours = [client for client in group if client.endpoint.address in self._ours]
            gates += [Gate(client, self._ours[client.endpoint.address], look_first=False) for client in ours]
            self._open(gates, until=time.monotonic() + HEAD_START)
            for gate in gates:
                gate.look_first = True
        self._open(gates, until=until)
        self.over = time.monotonic()
        for gate in gates:
            self._opened(gate)
        if stuck := [gate for gate in gates if not gate.done]:
            said = "; ".join(f"{gate.endpoint}: {gate.error.message if gate.error else 'still paused'}" for gate in stuck)
            self.stuck = StillPausedError(f"could not be unpaused: {said}", fix=STUCK_FIX)

    def _open(self, gates: Sequence[Gate], *, until: float) -> None:
        def tell() -> bool:
            # At once: while we still wait for one that hangs, somebody else may pause another, and the watchdog must not lift that.
            self._disown([gate.endpoint.address for gate in gates if gate.done])
            return False

        open_gates(gates, until=until, given_up=tell)
        tell()

    def _disown(self, addresses: Iterable[str]) -> None:
        """They are open, or somebody else's."""
        gone = [address for address in addresses if address in self._ours]
        for address in gone:
            del self._ours[address]
        if gone:
            self._keeper.not_ours(gone)

    def _opened(self, gate: Gate) -> None:
        seen = self.evidence[gate.endpoint.address]
        seen.unpauses, seen.open_at = gate.unpauses, gate.open_at
        if gate.foreign:
            seen.error = "paused again by somebody else right after"

    # -- waiting ----------------------------------------------------------------------------------------------------------------------

    def _wait(self, replies: Iterable[Reply[Any]], *, enough: Callable[[], bool] = lambda: False) -> None:
        """Until all have come, ``enough`` have, or somebody aborts."""
        waiting = list(replies)
        for reply in waiting:
            reply.add_done_callback(lambda _: self._wake.set())
        while True:
            self._wake.clear()
            waiting = [reply for reply in waiting if not reply.done()]
            if not waiting or self._reason or enough():
                return
            self._wake.wait(POLL_SECONDS)

    def _sleep(self, hold_until: float) -> None:
        """Until the next round; not beyond the end of the hold when everybody has reported."""
        self._wake.clear()
        left = hold_until - time.monotonic() if self._finish else POLL_SECONDS
        if not self._reason and left > 0:
            self._wake.wait(min(POLL_SECONDS, left))

    def _raise_if_aborted(self) -> None:
        if self._reason:
            raise WindowVoidError(self._reason, fix="start a new run")


def _error(reply: Reply[Any]) -> MidtimeError | None:
    try:
        reply.result()
    except MidtimeError as error:
        return error
    return None

"""What open leases name is unpaused, and the leases are given back. One endpoint's trouble keeps no other from being unpaused."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from midtime.catalog.pause_leases import AT_ONCE, LIFTING, PauseLeases
from midtime.errors import CatalogError, LeaseHeldError, MidtimeError, ProductError, StillPausedError
from midtime.model.instants import from_rfc3339, utc_now
from midtime.pausing import journal_of
from midtime.scalar import journals
from midtime.scalar.watchdog_process import SEEN_SECONDS

if TYPE_CHECKING:
    from midtime.catalog.leases import Lease
    from midtime.scalar.client import AdminClient
    from midtime.scalar.endpoint import Endpoint
    from midtime.scalar.opening import Gate

TRY_SECONDS = 10.0
"""How long one call tries to reach an endpoint; whoever calls comes again."""
BATCH = 32
"""Endpoints that are taken over, opened and given back together, and how many such batches at once."""
RUNBOOK = "docs/runbooks/stuck-pause.md"


@dataclass(frozen=True, slots=True)
class Leased:
    """An endpoint under an open lease."""

    lease: Lease
    endpoint: Endpoint
    topology: str
    window: str
    deadline: datetime
    """When everybody who came first has given up."""
    settled: datetime
    """Until when a Pause of that window without a reply may still close the gate."""

    @classmethod
    def of(cls, address: str, lease: Lease) -> Leased:
        """Read a lease's details.

        :raises StillPausedError: they make no sense; nobody can tell whether that endpoint is paused
        """
        from midtime.scalar.endpoint import Endpoint

        try:
            said = lease.details
            instants = from_rfc3339(said["deadline"]), from_rfc3339(said["settled"])
            return cls(lease, Endpoint.from_dict(said["endpoint"]), str(said["topology"]), str(said["window"]), *instants)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StillPausedError(
                f"{address} is leased by {lease.holder}, and may be paused; what the lease says makes no sense ({error!r})",
                fix=f"unpause it by hand; see {RUNBOOK}",
            ) from error

    @property
    def being_lifted(self) -> str:
        """Who is unpausing it at this moment."""
        return str(self.lease.details.get(LIFTING, "")) if self.lease.live(utc_now()) else ""

    @property
    def unsettled(self) -> float:
        """Seconds for which a Pause of that window may still be late."""
        return max((self.settled - utc_now()).total_seconds(), 0.0)

    def gate(self, client: AdminClient) -> Gate:
        """Its gate, watched until no Pause of that window can be late."""
        from midtime.scalar.opening import Gate

        return Gate(client, time.monotonic() + left if (left := self.unsettled) else None)


def lift(leases: PauseLeases, ours: Sequence[Leased]) -> Iterator[str | MidtimeError]:
    """Unpause all of these at once, and give back the leases of those that are open.

    :return: a sentence for each, or an error for what is, or may be, still paused; LeaseHeldError for what somebody else lifts
    """
    if not ours:
        return
    size = max(BATCH, -(-len(ours) // BATCH))
    batches = [ours[start : start + size] for start in range(0, len(ours), size)]
    # A batch waits for nobody but its own: its gates are opened while the leases of the next ones are still being taken over.
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="leases") as store, ThreadPoolExecutor(len(batches)) as lifters:
        for lines in lifters.map(lambda batch: _Lift(leases, store).lift(batch), batches):
            yield from lines


@dataclass(slots=True)
class _Lift:
    """One batch: taken over, opened, seen open by everybody, given back."""

    leases: PauseLeases
    store: ThreadPoolExecutor
    said: list[str | MidtimeError] = field(default_factory=list)

    def lift(self, ours: Sequence[Leased]) -> list[str | MidtimeError]:
        opened = opened_by_watchdogs(ours)
        mine = [each for each in ours if each not in opened]
        taken = list(self.store.map(lambda each: _take_over(self.leases, each), mine))
        self.said += [rival(each, "somebody else") for each, good in zip(mine, taken, strict=True) if not good]
        done = self._open([each for each, good in zip(mine, taken, strict=True) if good])
        if done:
            time.sleep(SEEN_SECONDS)
        done += [(each, f"{each.endpoint} was unpaused by the watchdog of {each.lease.holder}") for each in opened]
        self.said += [said for _, said in done]
        self.said += give_back(self.leases, [each for each, _ in done], self.store)
        return self.said

    def _open(self, mine: Sequence[Leased]) -> list[tuple[Leased, str]]:
        """Those that are open now, with what became of them."""
        with ExitStack() as stack:
            gates = []
            for each in mine:
                try:
                    gates.append((each, each.gate(client_of(stack, each.endpoint))))
                except ProductError as error:  # a file of its TLS is not on this worker
                    self.said.append(_still_paused(each, error))
            _open([gate for _, gate in gates])
            self.said += [_still_paused(each, gate.error) for each, gate in gates if not gate.done]
            return [(each, _did(each, gate)) for each, gate in gates if gate.done]


def opened_by_watchdogs(ours: Sequence[Leased]) -> list[Leased]:
    """Those that their window's watchdog, if it ran on this machine, has opened: who pauses them now is somebody else."""
    opened = {window: journals.opened(journal_of(window)) for window in {each.window for each in ours}}
    return [each for each in ours if each.endpoint.address in opened[each.window]]


def give_back(leases: PauseLeases, ours: Sequence[Leased], store: ThreadPoolExecutor) -> Iterator[MidtimeError]:
    """Give back these leases; an error for each that cannot be."""

    def one(each: Leased) -> MidtimeError | None:
        try:
            leases.release([each.endpoint.address], holder=each.lease.holder, window=each.lease.details.get("window"))
        except CatalogError as error:
            return error
        return None

    return (error for error in store.map(one, ours) if error)


def rival(each: Leased, who: str) -> LeaseHeldError:
    """What to say of an endpoint that is left to another."""
    return LeaseHeldError(f"{each.endpoint}, paused by {each.lease.holder}, is being unpaused by {who}", fix="look again in half a minute")


def _open(gates: Sequence[Gate]) -> None:
    from midtime.scalar.opening import open_gates

    open_gates(gates, until=time.monotonic() + max([TRY_SECONDS, *(gate.patience for gate in gates)]))


def _did(each: Leased, gate: Gate) -> str:
    if gate.foreign:
        return (
            f"{each.endpoint} IS PAUSED AND LEFT SO: it was unpaused ({each.lease.holder}), and paused again at once by somebody else;"
            f" find out by whom; if nobody does, `midtime unpause {each.topology}`; see {RUNBOOK}"
        )
    return f"{each.endpoint} {'unpaused' if gate.unpauses else 'is not paused'}: {each.lease.holder}"


def _take_over(leases: PauseLeases, each: Leased) -> bool:
    """Two who unpause one endpoint would not see the next window's pause between them: the slower one would lift it."""
    try:
        ttl = timedelta(seconds=max(TRY_SECONDS, each.unsettled) + TRY_SECONDS)
        return leases.take_over(each.endpoint.address, each.lease, by=f"process {os.getpid()} on {socket.gethostname()}", ttl=ttl)
    except CatalogError:
        return True  # a store that can only be read must not keep anything paused


def _still_paused(each: Leased, error: MidtimeError | None) -> StillPausedError:
    return StillPausedError(
        f"{each.endpoint}, paused by {each.lease.holder}, could not be unpaused: {error.message if error else 'it stays paused'}",
        fix=f"it is tried again every minute; mend the endpoint, or `midtime unpause {each.topology}`; see {RUNBOOK}",
    )


def paused(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """Those that say that they are paused.

    :raises ProductError: one does not answer; all have been asked
    """
    with ExitStack() as stack:
        replies = [(each, client_of(stack, each).begin_check_paused(timeout=TRY_SECONDS / 2)) for each in endpoints]
        return [endpoint for endpoint, reply in replies if reply.result()]


def client_of(stack: ExitStack, endpoint: Endpoint) -> AdminClient:
    """A channel to it, closed with the stack; nothing is sent.

    :raises ProductError: a file of its TLS is not on this worker
    """
    from midtime.scalar.client import AdminClient

    client = AdminClient(endpoint)
    stack.callback(client.close)
    return client


def together(errors: Sequence[MidtimeError]) -> MidtimeError:
    """One error that tells all; what may be paused decides its kind."""
    first = next((error for error in errors if isinstance(error, StillPausedError)), errors[0])
    told = dict.fromkeys(error.message for error in errors)
    return type(first)("; ".join(told), fix=first.fix)


def raise_at_end(lines: Iterable[str | MidtimeError]) -> Iterator[str]:
    """Pass sentences on, then raise the errors among them, as one."""
    errors = []
    for line in lines:
        if isinstance(line, MidtimeError):
            errors.append(line)
        else:
            yield line
    if errors:
        raise together(errors)


def forget_journals(older: timedelta) -> None:
    """Remove what watchdogs of windows that are long over have written on this machine."""
    journals.forget(journal_of("x").parent, before=time.time() - older.total_seconds())

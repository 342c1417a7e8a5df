"""A pause window of a topology, put together: endpoints, leases, watchdog and guard; and how what is paused is unpaused again."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midtime.catalog.pause_leases import AT_ONCE, PauseLeases, lease_place
from midtime.errors import ForeignPauseError, WindowVoidError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.topology import Product, Topology
from midtime.model.window import Window

if TYPE_CHECKING:
    from midtime.scalar.client import AdminClient
    from midtime.scalar.endpoint import Endpoint
    from midtime.scalar.guard import Guard
    from midtime.scalar.keeper import Limits
    from midtime.scalar.watchdog import Watchdog

CONNECT_SECONDS = 5.0
LEASE_MARGIN = timedelta(seconds=2)
"""How much longer than the deadline a lease lasts: the task and its watchdog come first, the sweeper after them."""
_AT_ONCE = 32


def pause_groups(topology: Topology) -> list[list[Endpoint]]:
    """The endpoints of the pause set, found now, in the order in which they are paused: in strict mode the Auditor's before the rest.

    :raises DiscoveryError: they cannot be told, or are not ready
    """
    auditors = [product for product in topology.pause_set if product.kind == "scalardl-auditor"]
    others = [product for product in topology.pause_set if product.kind != "scalardl-auditor"]
    return [group for group in (endpoints_of(auditors), endpoints_of(others)) if group]


def flat(groups: Sequence[Sequence[Endpoint]]) -> list[Endpoint]:
    """The endpoints of all groups, in their order."""
    return [endpoint for group in groups for endpoint in group]


def endpoints_of(products: Sequence[Product]) -> list[Endpoint]:
    """The endpoints of these products, each address once."""
    from midtime.scalar.discovery import discover  # slow to import: not at parse time

    found: dict[str, Endpoint] = {}
    for product in products:
        for endpoint in discover(product):
            found.setdefault(endpoint.address, endpoint)
    return list(found.values())


@contextmanager
def clients_of(endpoints: Sequence[Endpoint]) -> Iterator[list[AdminClient]]:
    """A channel to each, closed at the end. Nothing is sent."""
    from midtime.scalar.client import AdminClient

    with ExitStack() as stack:
        clients = []
        for endpoint in endpoints:
            client = AdminClient(endpoint)
            stack.callback(client.close)
            clients.append(client)
        yield clients


def connect_all(clients: Sequence[AdminClient]) -> None:
    """Open all channels, so that no handshake is part of an outage.

    :raises AdminUnreachableError: one does not answer
    """
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="connect") as pool:
        list(pool.map(lambda client: client.connect(timeout=CONNECT_SECONDS), clients))


def require_unpaused(endpoints: Sequence[Endpoint]) -> None:
    """Ask every endpoint, changing nothing.

    :raises ForeignPauseError: one is paused: somebody else is at work
    :raises ProductError: one does not answer, or refuses us
    """
    with clients_of(endpoints) as clients:
        connect_all(clients)
        replies = [client.begin_check_paused(timeout=CONNECT_SECONDS) for client in clients]
        if paused := [client.endpoint for client, reply in zip(clients, replies, strict=True) if reply.result()]:
            raise ForeignPauseError(
                f"{', '.join(map(str, paused))}: paused already, by somebody else",
                fix="wait for them to unpause; if nobody does, `midtime unpause` lifts it",
            )


def taking_time(endpoints: int) -> timedelta:
    """How long taking the leases of so many endpoints may last; by so much do they outlast the window's deadline at most."""
    return timedelta(seconds=10 + endpoints / AT_ONCE)


def journal_of(window: str) -> Path:
    """Where a window's watchdog writes what it did: on the worker, for whoever comes after it."""
    return Path(tempfile.gettempdir()) / f"midtime-{os.getuid()}" / f"watchdog-{window}.jsonl"


@dataclass(slots=True)
class Pausing:
    """One pause of a topology, from before anything is paused to its evidence.

    :param holder: names the run for ever
    :param try_number: of the pausing task
    """

    topology: Topology
    holder: str
    try_number: int = 1
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    groups: list[list[Endpoint]] = field(default_factory=list)

    @property
    def endpoints(self) -> list[Endpoint]:
        """All of them."""
        return flat(self.groups)

    @property
    def leases(self) -> PauseLeases:
        """The installation's pause leases."""
        return PauseLeases(lease_place(self.topology.destination))

    @contextmanager
    def ready(self, earliest_end: Callable[[datetime], datetime] | None = None) -> Iterator[tuple[Guard, Watchdog]]:
        """Everything but the pause: channels open, watchdog up, the guard about to begin."""
        from midtime.scalar.guard import Guard
        from midtime.scalar.watchdog import Watchdog

        self.groups = pause_groups(self.topology)
        watchdog = Watchdog(self.endpoints, journal=journal_of(self.id))
        watchdog.start()  # before the first channel: it is a fork, and gRPC's threads do not like one
        try:
            with clients_of(self.endpoints) as clients:
                connect_all(clients)
                by_address = {client.endpoint.address: client for client in clients}
                channels = [[by_address[endpoint.address] for endpoint in group] for group in self.groups]
                yield Guard(channels, self._limits(), watchdog, earliest_end=earliest_end), watchdog
        finally:
            watchdog.close()

    def _limits(self) -> Limits:
        from midtime.scalar.keeper import Limits

        said = self.topology.pause
        hold = said.hold.total_seconds() if isinstance(said.hold, timedelta) else 0.0
        return Limits(said.drain.total_seconds(), hold, said.deadline.total_seconds())

    def require_free(self) -> None:
        """Look at the leases while there is time: what reads and writes them is loaded by then, which on a busy worker takes seconds.

        :raises ForeignPauseError: another window has one of the endpoints
        """
        self.leases.require_free([each.address for each in self.endpoints], holder=self.holder)

    def take_leases(self) -> None:
        """Before the first Pause; :meth:`confirm_leases` right before it.

        :raises ForeignPauseError: another window has one of the endpoints
        """
        said, now = self.topology.pause, utc_now() + taking_time(len(self.endpoints))
        ends = now + said.deadline + LEASE_MARGIN
        common = {
            "topology": self.topology.name,
            "window": self.id,
            "try_number": self.try_number,
            "deadline": to_rfc3339(ends),
            "settled": to_rfc3339(now + said.drain + LEASE_MARGIN),
        }
        details = {endpoint.address: {**common, "endpoint": endpoint.to_dict()} for endpoint in self.endpoints}
        self.leases.take(details, holder=self.holder, expires_at=ends)

    def confirm_leases(self) -> None:
        """Right before the first Pause: a pause that no lease names for all of its time could be lifted, or left, by everybody.

        :raises ArmingError: one of them is not ours any more, or would run out in the window; nothing was paused
        """
        addresses, lasts = [each.address for each in self.endpoints], self.topology.pause.deadline + LEASE_MARGIN
        self.leases.require_held(addresses, holder=self.holder, window=self.id, until=lambda: utc_now() + lasts)

    def release_leases(self, guard: Guard) -> None:
        """Of what is open again."""
        given = [each.address for each in self.endpoints if guard.is_open(each.address)]
        self.leases.release(given, holder=self.holder, window=self.id)

    def require_unchanged(self) -> None:
        """Find the endpoints again, after the window.

        :raises WindowVoidError: an endpoint was added, removed, replaced or restarted meanwhile
        """
        after = {each.address: each for each in flat(pause_groups(self.topology))}
        before = {each.address: each for each in self.endpoints}
        changes = [f"{address} was added" for address in after.keys() - before.keys()]
        changes += [f"{address} is gone" for address in before.keys() - after.keys()]
        changes += [f"{address} was restarted or replaced" for address in before.keys() & after.keys() if before[address] != after[address]]
        if changes:
            raise WindowVoidError(f"in mid-window {', '.join(sorted(changes))}", fix="wait for the rollout to end; start a new run")

    def window(self, guard: Guard) -> Window:
        """The proven window of a guard that ended well."""
        if guard.start is None or guard.end is None:
            raise WindowVoidError("the window never opened", fix="start a new run")
        return Window(guard.clock.at(guard.start), guard.clock.at(guard.end))

    def evidence(self, guard: Guard, watchdog: Watchdog) -> dict[str, Any]:
        """For the manifest: what was done to whom, when, and what it answered."""
        from midtime.scalar.evidence import length, opened_by, to_dicts

        window = self.window(guard)
        began = guard.began or guard.clock.monotonic
        over = guard.over or began
        seen = [guard.evidence[endpoint.address] for endpoint in self.endpoints]
        by_watchdog = watchdog.unpaused()
        openers = {opened_by(each, is_open=guard.is_open(each.endpoint.address), by_watchdog=by_watchdog) for each in seen}
        alone = openers == {"the pausing task"}
        return {
            "kind": "pause window",
            "id": self.id,
            "window": window.to_dict(),
            "began": to_rfc3339(guard.clock.at(began)),
            **length(began, guard.end or began, over, openers),
            "limits": {"drain": guard.limits.drain, "hold": guard.limits.hold, "deadline": guard.limits.deadline},
            "endpoints": to_dicts(seen, began),
            "unpaused": {"by": " and ".join(sorted(openers)), "at": to_rfc3339(guard.clock.at(over)) if alone else None},
            "watchdog": "lost" if watchdog.lost else "watched",
        }

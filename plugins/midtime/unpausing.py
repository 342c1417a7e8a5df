"""What is paused is unpaused: by the run that paused it, by the sweeper when that is dead, by a person in an emergency.

Runs and sweepers lift only what an open lease names, whose endpoint is still the same, and which no watchdog has opened since.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from midtime.catalog.pause_leases import PauseLeases, lease_place
from midtime.errors import MidtimeError, ProductError, StillPausedError, WindowVoidError
from midtime.model.instants import from_rfc3339, to_rfc3339, utc_now
from midtime.model.window import Window
from midtime.pausing import clients_of, endpoints_of, journal_of, pause_groups

if TYPE_CHECKING:
    from midtime.catalog.leases import Lease
    from midtime.model.topology import Topology
    from midtime.scalar.endpoint import Endpoint
    from midtime.scalar.opening import Gate

TRY_SECONDS = 10.0
"""How long one call tries to reach an endpoint; whoever calls comes again."""
MAY_LIFT = timedelta(minutes=10)
"""How long after its deadline a pause is still taken for ours; later it may be anybody's."""
RUNBOOK = "docs/runbooks/stuck-pause.md"


@dataclass(frozen=True, slots=True)
class Leased:
    """An endpoint under an open lease."""

    lease: Lease
    endpoint: Endpoint

    @classmethod
    def of(cls, lease: Lease) -> Leased:
        """Read a lease's details."""
        from midtime.scalar.endpoint import Endpoint

        return cls(lease, Endpoint.from_dict(lease.details["endpoint"]))

    @property
    def opened_by_watchdog(self) -> bool:
        """Whether this window's watchdog, if it ran on this machine, has opened it: who pauses it now is somebody else."""
        with suppress(OSError, ValueError):
            lines = journal_of(self.lease.details["window"]).read_text().splitlines()
            return any(said["did"] == "unpaused" and said["endpoint"] == self.endpoint.address for said in map(json.loads, lines))
        return False

    def gate(self, client: Any) -> Gate:
        """Its gate, watched until no Pause of ours can be late."""
        from midtime.scalar.opening import Gate

        left = (from_rfc3339(self.lease.details["settled"]) - utc_now()).total_seconds()
        return Gate(client, time.monotonic() + left if left > 0 else None)


def unpause_run(topology: Topology, holder: str) -> list[str]:
    """Unpause what this run's leases name, and give them back.

    :return: what was done, one sentence each
    :raises StillPausedError: something is, or may be, still paused
    """
    leases = PauseLeases(lease_place(topology.destination))
    ours = [Leased.of(lease) for _, lease in leases.open() if lease.holder == holder]
    return list(_raise_at_end(_lift(leases, ours)))


def require_open(topology: Topology) -> list[str]:
    """Ask every endpoint of the pause set whether it is open; what is paused without a lease of ours is only named.

    :return: one sentence
    """
    try:
        endpoints = [endpoint for group in pause_groups(topology) for endpoint in group]
        paused = _paused(endpoints)
    except ProductError as error:
        return [f"not every endpoint could be asked: {error.message}"]
    if paused:
        return [f"{', '.join(map(str, paused))}: paused by somebody else, and left so"]
    return [f"{len(endpoints)} of {len(endpoints)} endpoints are not paused"]


def close_window(topology: Topology, holder: str, begun: Mapping[str, Any]) -> dict[str, Any]:
    """End the window of a plain chain: still paused everywhere? Then unpause, and say what the window proves.

    :param begun: what the pausing task returned
    :raises WindowVoidError: something was not paused any more; everything is unpaused all the same
    """
    leases = PauseLeases(lease_place(topology.destination))
    ours = [Leased.of(lease) for _, lease in leases.open() if lease.holder == holder and lease.details["window"] == begun["id"]]
    asked = utc_now()
    void = ""
    try:
        if len(_paused([each.endpoint for each in ours])) < len(begun["endpoints"]):
            void = "an endpoint was unpaused, restarted or given up before the chain was done"
    except ProductError as error:
        void = error.message
    done = list(_raise_at_end(_lift(leases, ours)))
    if void or asked > from_rfc3339(begun["deadline"]):
        raise WindowVoidError(
            f"the window proves nothing: {void or 'its deadline had passed'}",
            fix="make the chain shorter or pause.deadline longer; start a new run",
        )
    window = Window(from_rfc3339(begun["start"]), asked)
    return {
        **begun,
        "kind": "pause window",
        "window": window.to_dict(),
        "watchdog": "plain chain: not watched in between",
        "unpaused": done,
    }


def sweep_pauses(topologies: Iterable[Topology]) -> Iterator[str]:
    """Unpause what dead windows left paused. One endpoint's trouble keeps no other from being unpaused.

    :return: a sentence for everything that was done
    :raises StillPausedError: something is, or may be, still paused
    """
    known = {topology.name: topology for topology in topologies}
    errors: list[MidtimeError] = []
    for place in sorted({lease_place(topology.destination) for topology in known.values()}):
        try:
            leases = PauseLeases(place)
            expired = [Leased.of(lease) for _, lease in leases.open() if lease.expires_at < utc_now()]
            yield from _raise_at_end(_sweep(leases, expired, known))
        except MidtimeError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _sweep(leases: PauseLeases, expired: Sequence[Leased], known: Mapping[str, Topology]) -> Iterator[str | MidtimeError]:
    lift: list[Leased] = []
    for each in expired:
        try:
            if said := _not_to_lift(each, known):
                leases.release([each.endpoint.address], holder=each.lease.holder)
                yield said
            else:
                lift.append(each)
        except MidtimeError as error:
            yield error
    yield from _lift(leases, lift)


def _not_to_lift(leased: Leased, known: Mapping[str, Topology]) -> str:
    """Why there is nothing to lift any more; empty if there is.

    :raises MidtimeError: it cannot be told, or it may be somebody else's by now
    """
    endpoint, lease = leased.endpoint, leased.lease
    if endpoint.identity is not None and _found_again(endpoint, known.get(str(lease.details["topology"]))) != endpoint:
        return f"{endpoint} was restarted or replaced since {lease.holder} paused it: not paused by us any more"
    if utc_now() <= lease.expires_at + MAY_LIFT:
        return ""
    if not _paused([endpoint]):
        return f"{endpoint} is open; the lease of {lease.holder} was left"
    raise StillPausedError(
        f"{endpoint} is paused, and the window of {lease.holder} ended {MAY_LIFT} ago or more: not lifted, it may be somebody else's by now",
        fix=f"find out who pauses it, else `midtime unpause {lease.details['topology']}`; see {RUNBOOK}",
    )


def _found_again(endpoint: Endpoint, topology: Topology | None) -> Endpoint | None:
    if topology is None:
        return endpoint  # nobody can tell; its address is all there is
    products = [product for product in topology.products if product.label == endpoint.product]
    return next((each for each in endpoints_of(products) if each.address == endpoint.address), None)


def _lift(leases: PauseLeases, ours: Sequence[Leased]) -> Iterator[str | MidtimeError]:
    """Open all of these at once, and give back the leases of those that are open."""
    from midtime.scalar.opening import open_gates

    for each in ours:
        if each.opened_by_watchdog:
            yield f"{each.endpoint} was unpaused by the watchdog of {each.lease.holder}"
    mine = [each for each in ours if not each.opened_by_watchdog]
    with clients_of([each.endpoint for each in mine]) as clients:
        gates = [each.gate(client) for each, client in zip(mine, clients, strict=True)]
        open_gates(gates, until=time.monotonic() + max([TRY_SECONDS, *(gate.patience for gate in gates)]))
    for each, gate in zip(mine, gates, strict=True):
        if gate.done:
            yield f"{each.endpoint} {'unpaused' if gate.unpauses else 'is not paused'}: {each.lease.holder}"
        else:
            why = gate.error.message if gate.error else "it stays paused"
            yield StillPausedError(f"{each.endpoint} could not be unpaused: {why}", fix=f"see {RUNBOOK}")
    closed = [each for each in ours if each.opened_by_watchdog] + [each for each, gate in zip(mine, gates, strict=True) if gate.done]
    for each in closed:
        leases.release([each.endpoint.address], holder=each.lease.holder)
        with suppress(OSError):
            journal_of(each.lease.details["window"]).unlink()


def _raise_at_end(lines: Iterator[str | MidtimeError]) -> Iterator[str]:
    errors = []
    for line in lines:
        if isinstance(line, MidtimeError):
            errors.append(line)
        else:
            yield line
    if errors:
        raise type(errors[0])("; ".join(error.message for error in errors), fix=errors[0].fix)


def _paused(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Those that say that they are paused.

    :raises ProductError: one does not answer
    """
    with clients_of(endpoints) as clients:
        replies = [client.begin_check_paused(timeout=TRY_SECONDS / 2) for client in clients]
        return [client.endpoint for client, reply in zip(clients, replies, strict=True) if reply.result()]


def unpause_by_hand(topology: Topology) -> Iterator[tuple[Endpoint, str, str]]:
    """Unpause every endpoint of every product, whoever paused it, and give its lease back: what a person does who knows better.

    :return: endpoint, what became of it (``unpaused``, ``was open``, ``failed``), and a detail
    :raises DiscoveryError: the endpoints cannot be told
    """
    from midtime.scalar.opening import Gate, open_gates

    leases = PauseLeases(lease_place(topology.destination))
    endpoints = endpoints_of(topology.products)
    with clients_of(endpoints) as clients:
        gates = [Gate(client) for client in clients]
        open_gates(gates, until=time.monotonic() + TRY_SECONDS)
    for endpoint, gate in zip(endpoints, gates, strict=True):
        lease = leases.current(endpoint.address)
        held = f"leased by {lease.holder} until {to_rfc3339(lease.expires_at)}" if lease and not lease.released else ""
        if not gate.done:
            yield endpoint, "failed", gate.error.message if gate.error else "it stays paused"
            continue
        if lease and not lease.released:
            leases.release([endpoint.address], holder=lease.holder)
        yield endpoint, "unpaused" if gate.unpauses else "was open", "paused again by somebody else right after" if gate.foreign else held

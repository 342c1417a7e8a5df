"""What is paused is unpaused: by the run that paused it, by the sweeper when that is dead.

Both lift only what an open lease names, whose endpoint is still the same, and which no watchdog has opened since. A person may lift
anything: :mod:`midtime.emergency`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any

from midtime.catalog.pause_leases import AT_ONCE, PauseLeases, lease_place
from midtime.errors import (
    CatalogError,
    DestinationError,
    LeaseHeldError,
    MidtimeError,
    ProductError,
    StillPausedError,
    WindowVoidError,
)
from midtime.finding import Known
from midtime.lifting import RUNBOOK, Leased, forget_journals, give_back, lift, opened_by_watchdogs, paused, raise_at_end, rival
from midtime.model.instants import from_rfc3339, utc_now
from midtime.model.window import Window
from midtime.pausing import flat, pause_groups

if TYPE_CHECKING:
    from midtime.catalog.leases import Lease
    from midtime.model.topology import Topology

MAY_LIFT = timedelta(minutes=10)
"""How long after its deadline a pause is still taken for ours; later it may be anybody's."""
_JOURNALS_STAY = timedelta(days=7)
_PLACES_AT_ONCE = 16


def unpause_run(topology: Topology, holder: str) -> list[str]:
    """Unpause what this run's leases name, and give them back.

    :return: what was done, one sentence each
    :raises StillPausedError: something is, or may be, still paused
    :raises CatalogError: a lease cannot be read; what the others name is open
    """
    leases = PauseLeases(lease_place(topology.destination))
    return list(raise_at_end(_lift_own(topology, leases, holder)))


def _lift_own(topology: Topology, leases: PauseLeases, holder: str, window: str = "") -> Iterator[str | MidtimeError]:
    ours: list[Leased] = []
    for address, found in leases.look():
        if isinstance(found, CatalogError):
            if isinstance(found, DestinationError) or _may_be_of(topology, address):
                yield found
        elif found.holder == holder and window in ("", found.details.get("window")):
            ours += yield from _understood(address, found)
    free = [each for each in ours if not each.being_lifted]
    yield from (rival(each, each.being_lifted) for each in ours if each not in free)
    yield from lift(leases, free)


def _may_be_of(topology: Topology, address: str) -> bool:
    """Whether an endpoint can be of this topology's pause set; pods come and go, and only Kubernetes knows whose they were."""
    return any(address in map(str.lower, product.endpoints.static or (address,)) for product in topology.pause_set)


def _understood(address: str, lease: Lease) -> Generator[MidtimeError, None, list[Leased]]:
    try:
        return [Leased.of(address, lease)]
    except StillPausedError as error:
        yield error
        return []


def require_open(topology: Topology) -> list[str]:
    """Ask every endpoint of the pause set whether it is open; what is paused without a lease of ours is only named.

    :return: one sentence
    """
    try:
        endpoints = flat(pause_groups(topology))
        closed = paused(endpoints)
    except ProductError as error:
        return [f"not every endpoint could be asked: {error.message}"]
    if closed:
        return [f"{', '.join(map(str, closed))}: paused by somebody else, and left so"]
    return [f"{len(endpoints)} of {len(endpoints)} endpoints are not paused"]


def close_window(topology: Topology, holder: str, begun: Mapping[str, Any]) -> dict[str, Any]:
    """End the window of a plain chain: still paused everywhere? Then unpause, and say what the window proves.

    :param begun: what the pausing task returned
    :raises WindowVoidError: something was not paused any more; everything is unpaused all the same
    """
    leases = PauseLeases(lease_place(topology.destination))
    asked = utc_now()
    void = _why_void(leases, holder, begun)
    done = list(raise_at_end(_lift_own(topology, leases, holder, begun["id"])))
    if not void and asked > from_rfc3339(begun["deadline"]):
        void = "its deadline had passed"
    if not void and asked < from_rfc3339(begun["start"]):
        void = "the clocks of the two workers disagree by more than its length"
    if void:
        raise WindowVoidError(f"the window proves nothing: {void}", fix="make the chain shorter or pause.deadline longer; start a new run")
    return {
        **begun,
        "kind": "pause window",
        "window": Window(from_rfc3339(begun["start"]), asked).to_dict(),
        "watchdog": "plain chain: not watched in between",
        "unpaused": done,
    }


def _why_void(leases: PauseLeases, holder: str, begun: Mapping[str, Any]) -> str:
    """Look at every endpoint; nothing is changed, and nothing that goes wrong here may keep anything paused."""
    try:
        held = [Leased.of(address, lease) for address, lease in leases.open() if lease.holder == holder]
        ours = [each for each in held if each.window == begun["id"]]
        opened = opened_by_watchdogs(ours)
        still = paused(each.endpoint for each in ours if each not in opened)
    except MidtimeError as error:
        return error.message
    if len(still) < len(begun["endpoints"]):
        return "an endpoint was unpaused, restarted or given up before the chain was done"
    return ""


def sweep_pauses(topologies: Iterable[Topology]) -> Iterator[str]:
    """Unpause what dead windows left paused. One endpoint's or place's trouble keeps no other from being unpaused.

    What ``MIDTIME_LEASES`` names is swept whatever the topologies are: their files may be broken.

    :return: a sentence for everything that was done
    :raises StillPausedError: something is, or may be, still paused
    """
    forget_journals(_JOURNALS_STAY)
    known = {topology.name: topology for topology in topologies}
    places = sorted({lease_place(topology.destination) for topology in known.values()} | {lease_place("")} - {""})
    with ThreadPoolExecutor(_PLACES_AT_ONCE, thread_name_prefix="sweep") as pool:
        yield from raise_at_end(chain.from_iterable(pool.map(lambda place: _sweep_place(place, Known(known)), places)))


def _sweep_place(place: str, topologies: Known) -> list[str | MidtimeError]:
    try:
        return list(_sweep(PauseLeases(place), topologies))
    except MidtimeError as error:
        return [error]
    except Exception as error:  # noqa: BLE001 - whatever it is, it keeps no other place from being swept, and is told
        return [StillPausedError(f"{place} could not be swept: {error!r}", fix=f"report this; see {RUNBOOK}")]


def _sweep(leases: PauseLeases, topologies: Known) -> Iterator[str | MidtimeError]:
    expired: list[Leased] = []
    for address, found in leases.look():
        if isinstance(found, CatalogError):
            yield StillPausedError(f"{address} is leased, and may be paused: {found.message}", fix=found.fix)
        elif found.expires_at < utc_now():
            expired += yield from _understood(address, found)
    fresh = [each for each in expired if utc_now() <= each.deadline + MAY_LIFT]
    for line in _judge(leases, fresh, topologies):
        yield str(line) if isinstance(line, LeaseHeldError) else line
    # These are only asked; who does not answer keeps nobody paused.
    yield from _judge(leases, [each for each in expired if each not in fresh], topologies)


def _judge(leases: PauseLeases, expired: list[Leased], topologies: Known) -> Iterator[str | MidtimeError]:
    """Lift what is to be lifted, and give back what is not."""

    def why_not(each: Leased) -> str | MidtimeError:
        try:
            return _not_to_lift(each, topologies)
        except MidtimeError as error:
            return error

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="judge") as pool:
        judged = list(zip(expired, pool.map(why_not, expired), strict=True))
        yield from lift(leases, [each for each, why in judged if not why])
        yield from (why for _, why in judged if why)
        yield from give_back(leases, [each for each, why in judged if why and isinstance(why, str)], pool)


def _not_to_lift(leased: Leased, topologies: Known) -> str:
    """Why there is nothing to lift any more; empty if there is.

    :raises StillPausedError: it cannot be told, or it may be somebody else's by now
    """
    endpoint, lease = leased.endpoint, leased.lease
    try:
        if not topologies.same(leased):
            return f"{endpoint} was restarted or replaced since {lease.holder} paused it: not paused by us any more"
        if utc_now() <= leased.deadline + MAY_LIFT:
            return ""
        if not paused([endpoint]):
            return f"{endpoint} is open; the lease of {lease.holder} was left"
    except ProductError as error:
        raise StillPausedError(
            f"{endpoint} may be paused by {lease.holder}, and cannot be asked: {error.message}", fix=_by_hand(leased)
        ) from error
    raise StillPausedError(
        f"{endpoint} is paused, and {lease.holder}, who paused it, should have ended {MAY_LIFT} ago or more: not lifted, it may be"
        " somebody else's by now",
        fix=_by_hand(leased),
    )


def _by_hand(leased: Leased) -> str:
    return f"find out who pauses it; if nobody does, `midtime unpause {leased.topology}`; see {RUNBOOK}"

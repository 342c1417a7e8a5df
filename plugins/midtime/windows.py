"""Windows beside each other: turns, by the executor's room; and one place in which they see each other's leases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from midtime.catalog.pause_leases import ENVIRONMENT as LEASES
from midtime.catalog.pause_leases import lease_place
from midtime.catalog.turns import Turns, turn
from midtime.errors import RequestError
from midtime.model.topology import Product, Topology, load_topologies, topologies_folder
from midtime.model.words import counted
from midtime.settings import DEFAULT_TOPOLOGIES

ENVIRONMENT = "MIDTIME_WINDOW_SLOTS"


def slots_needed(topology: Topology) -> int:
    """Executor slots that a window needs at once: the pause and every capture."""
    return 1 + sum(store.captured for store in topology.stores)


def slots_there() -> int:
    """Slots that all windows together may hold: what ``MIDTIME_WINDOW_SLOTS`` says, or the executor's parallelism but one.

    :raises RequestError: it says nonsense
    """
    said = os.environ.get(ENVIRONMENT, "").strip()
    if said:
        if not (said.isascii() and said.isdigit() and int(said)):
            raise RequestError(f"{ENVIRONMENT} is {said!r}", fix="give the number of executor slots that windows may hold together")
        return int(said)
    from airflow.sdk.configuration import conf

    # One is left to whoever must unpause.
    return max(int(conf.getint("core", "parallelism", fallback=32)) - 1, 1)


def require_slots(topology: Topology) -> str:
    """Whether the executor could ever run a window of this topology.

    :raises RequestError: it has too few slots
    """
    needed, there = slots_needed(topology), slots_there()
    if needed > there:
        raise RequestError(
            f"a window of {topology.name} needs {counted(needed, 'executor slot')} at once (its pause and every capture); windows may hold {there}",
            fix=f"raise Airflow's [core] parallelism (it leaves one slot to whoever must unpause), or {ENVIRONMENT}",
        )
    return f"{needed} of {there} slots at once"


def require_one_place(topology: Topology) -> str:
    """Whether the topologies that pause the same endpoints keep their leases in one place, so that they see each other's. No network.

    :raises RequestError: one does not
    """
    if os.environ.get(LEASES, "").strip():
        return f"in {lease_place(topology.destination)}"
    folder = topology.source.parent if topology.source else topologies_folder(DEFAULT_TOPOLOGIES)
    mine = _paused_by(topology)
    for other in load_topologies(folder)[0]:
        if other.name == topology.name or other.destination.rstrip("/") == topology.destination.rstrip("/"):
            continue
        if shared := mine & _paused_by(other):
            raise RequestError(
                f"{topology.name} and {other.name} both pause {', '.join(sorted(shared))}, but their destinations differ, and so do the"
                " places of their leases: neither would see the other's window",
                fix=f"set {LEASES} to one URL for all",
            )
    return "with those of all that pause the same endpoints"


def _paused_by(topology: Topology) -> set[str]:
    return {way for product in topology.pause_set for way in _ways(product)}


def _ways(product: Product) -> Iterator[str]:
    """Where its endpoints are, as its topology says it: equal for two products that are surely the same."""
    where = product.endpoints
    yield from (address.lower() for address in where.static or ())
    if where.srv:
        yield where.srv.lower().rstrip(".")
    if pods := where.kubernetes:
        labels = pods.selector or f"{product.kind} of release {pods.release}"
        yield f"{labels} in namespace {pods.namespace} of {pods.conn_id}"


def take_turn(topology: Topology, holder: str) -> str:
    """Take a turn if there is room now.

    :return: nothing when it is our turn, or what we wait for
    """
    return Turns(lease_place(topology.destination)).admit(topology.name, holder, slots=slots_needed(topology), capacity=slots_there())


def turn_held(topology: Topology, holder: str) -> AbstractContextManager[Any]:
    """Keep the turn while something long is done.

    :raises LeaseHeldError: it is not ours (any more)
    """
    return Turns(lease_place(topology.destination)).leases.held(turn(topology.name), holder)


def give_turn_back(topology: Topology, holder: str) -> None:
    """Harmless when there is none."""
    Turns(lease_place(topology.destination)).release(topology.name, holder)

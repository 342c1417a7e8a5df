"""How many windows at once: turns, by the executor's room."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

from midtime.catalog.pause_leases import lease_place
from midtime.catalog.turns import Turns, turn
from midtime.errors import RequestError
from midtime.model.topology import Topology
from midtime.model.words import counted

ENVIRONMENT = "MIDTIME_WINDOW_SLOTS"


def slots_needed(topology: Topology) -> int:
    """Executor slots that a window needs at once: the pause and every capture."""
    return 1 + sum(store.captured for store in topology.stores)


def slots_there() -> int:
    """Slots that all windows together may hold: what ``MIDTIME_WINDOW_SLOTS`` says, or the executor's parallelism but one.

    :raises RequestError: it says nonsense
    """
    said = os.environ.get(ENVIRONMENT, "")
    if said:
        if not said.isdigit() or not int(said):
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

"""Turns: how many pause windows may be getting ready at once, so that half-armed ones do not take each other's executor slots.

A window needs a slot for its pause and one for each capture, all at the same time. Whoever has no turn waits without holding a slot.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from midtime.catalog import objects
from midtime.catalog.leases import Leases
from midtime.catalog.pause_leases import FOLDER
from midtime.errors import LeaseHeldError
from midtime.model.instants import utc_now

if TYPE_CHECKING:
    from midtime.catalog.leases import Lease

_DOOR = "door"
_TURN = "turn-"
_DECIDING = timedelta(seconds=30)


class Turns:
    """The turns of one installation.

    :param place: URL, see :func:`~midtime.catalog.pause_leases.lease_place`
    """

    def __init__(self, place: str) -> None:
        self.leases = Leases(objects.open_destination(place) / f"{FOLDER}-turns")

    def admit(self, topology: str, holder: str, *, slots: int, capacity: int) -> str:
        """Take a turn if there is room.

        :param slots: executor slots that the window needs at once
        :param capacity: slots that all windows together may hold
        :return: nothing when it is our turn, or what we wait for
        """
        mine = self.leases.current(turn(topology))
        if mine and mine.holder == holder and mine.live(utc_now()):
            self.leases.renew(mine)
            return ""
        if full := self._full(topology, slots, capacity):
            return full  # most who ask must wait: they shall not stand in the door
        try:
            door = self.leases.acquire(_DOOR, holder, ttl=_DECIDING)
        except LeaseHeldError:
            return "another window is being admitted"
        try:
            return self._full(topology, slots, capacity) or self._enter(topology, holder, slots, door)
        finally:
            self.leases.release(_DOOR, holder)

    def _enter(self, topology: str, holder: str, slots: int, door: Lease) -> str:
        try:
            self.leases.acquire(turn(topology), holder, details={"slots": slots})
        except LeaseHeldError as error:
            return error.message  # another run of this topology
        try:
            self.leases.renew(door, _DECIDING)
        except LeaseHeldError:  # we stood still: somebody may have counted before our turn was to be seen
            self.release(topology, holder)
            return "another window was admitted meanwhile"
        return ""

    def release(self, topology: str, holder: str) -> None:
        """Give the turn back; harmless when there is none."""
        name = turn(topology)
        self.leases.release(name, holder)
        current = self.leases.current(name)
        if current and current.released:
            self.leases.forget(current)  # who looks for turns reads those that are there

    def _full(self, topology: str, slots: int, capacity: int) -> str:
        """What keeps us out, if anything does; a window that is alone is always let in."""
        others = [lease for lease in self._held() if lease.name != turn(topology)]
        used = sum(int(lease.details.get("slots", 1)) for lease in others)
        if not others or used + slots <= capacity:
            return ""
        waits_for = ", ".join(sorted(lease.name.removeprefix(_TURN) for lease in others))
        return f"{used} of {capacity} slots are held by the windows of {waits_for}, and {slots} are needed"

    def _held(self) -> list[Lease]:
        found = (self.leases.current(name) for name in self.leases.names() if name.startswith(_TURN))
        return [lease for lease in found if lease and lease.live(utc_now())]


def turn(topology: str) -> str:
    """The name of a topology's turn."""
    return f"{_TURN}{topology}"

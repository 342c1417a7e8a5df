"""Stores that a service keeps the history of, and restores to an instant of its own clock: a backup is a *mark*, the claim that it can.

Nothing is copied, so nothing runs beside the pause. The pausing task reads the store's clock before and after the window and writes the fence
rows; once the window has proven itself and an instant is chosen, ``mark_<store>`` notes what a restore to that instant will need.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from midtime.model.restore_point import StoreBackup
from midtime.stores.base import Restorable, Say, Shelf, Store

if TYPE_CHECKING:
    from midtime.model.clock_readings import ClockReading


class ManagedStore(Store):
    """A database that a managed service restores to a point in time."""

    @property
    def resolution(self) -> timedelta:
        """Of the instants that it can be restored to."""
        return timedelta(seconds=1)

    @property
    def fleet(self) -> bool:
        """Whether other machines tell the time than keep it."""
        return False

    @property
    def early(self) -> timedelta:
        """How much before an instant a restore to it may land."""
        return timedelta(0)

    def bearer(self) -> str:
        """Who has the store's name now, where names can change hands; empty where they cannot.

        :raises StoreError: the service does not say
        """
        return ""

    @abstractmethod
    def read_clock(self) -> ClockReading:
        """Its clock against this worker's, now. A few seconds at most.

        :raises StoreError: it does not say
        """

    @abstractmethod
    def mark(self, instant: datetime, shelf: Shelf, say: Say) -> StoreBackup:
        """Claim that it can be restored to an instant, and note what a restore will need: identities, and settings that a restore loses.

        After the window, outside any pause. Idempotent, also while another try of the same mark is alive: what the first one put on the
        shelf stays. Whether the history has reached the instant by now is :meth:`restorable`'s affair.

        :param instant: on the store's own clock, a multiple of :attr:`resolution`
        :param say: is told how far it got, one line at a time
        :raises NotRestorableError: it cannot be restored to that instant, and never will
        """

    @abstractmethod
    def restorable(self, backup: StoreBackup, passed: Collection[str] = ()) -> Restorable:
        """Ask whether the history reaches the marked instant by now; cheap enough to be asked again every few seconds.

        :param passed: what the look before has answered as :attr:`Restorable.passed`
        :raises NotRestorableError: it cannot be restored to that instant any more: its history was broken off, or what was marked replaced
        :raises StoreError: it does not say
        """

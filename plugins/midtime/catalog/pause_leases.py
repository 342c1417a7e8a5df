"""Leases on endpoints: who pauses what, and by when it must be open again. One place for all topologies of an installation.

Each address has a folder of its own below ``<place>/.pauses``, so that a thousand endpoints are a thousand short listings. A lease that
nobody gave back stays in the way of every other window, also when it has run out: what it names may still be paused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote

from midtime.catalog import objects
from midtime.catalog.leases import Lease, Leases
from midtime.errors import ArmingError, CatalogError, ForeignPauseError, LeaseHeldError, MidtimeError
from midtime.model.instants import to_rfc3339, utc_now

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

T = TypeVar("T")
ENVIRONMENT = "MIDTIME_LEASES"
FOLDER = ".pauses"
LIFTING = "lifting"
"""Key of a lease's details: who has taken it over in order to unpause what it names."""
_NAME = "pause"
AT_ONCE = 64
"""Requests under way at once: a thousand leases of a store that needs 60 ms for each take a few seconds, not half a minute."""


def lease_place(destination: str) -> str:
    """The URL below which leases lie: what ``MIDTIME_LEASES`` names, or the topology's own destination (ADR 11)."""
    return os.environ.get(ENVIRONMENT, "").strip() or destination


class PauseLeases:
    """The pause leases below one place.

    :param place: URL, see :func:`lease_place`
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._root: ObjectStoragePath | None = None

    def take(self, details: Mapping[str, Mapping[str, Any]], *, holder: str, expires_at: datetime) -> None:
        """Lease all of these addresses, or none.

        :param details: by address, what a sweeper must know; ``window`` names the window
        :raises ForeignPauseError: another window, be it of the same run, has one of them or left it open
        """
        try:
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="leases") as pool:
                list(pool.map(lambda address: self._take(address, details[address], holder, expires_at), details))
        except BaseException:
            # Also what we do not know to have: the reply to the very write may have been lost. What cannot be given back runs out.
            with suppress(CatalogError):
                self._each(details, lambda address: self._release(address, holder, details[address].get("window")))
            raise

    def _take(self, address: str, details: Mapping[str, Any], holder: str, expires_at: datetime) -> None:
        leases = self._of(address)
        current = leases.current(_NAME)
        if current and not current.released:
            raise _foreign(address, current)
        try:
            leases.follow(current, Lease(_NAME, 1, holder, expires_at, details))
        except LeaseHeldError as error:
            raise ForeignPauseError(f"{address}: {error.message}", fix="wait for that window to end") from error

    def take_over(self, address: str, lease: Lease, *, by: str, ttl: timedelta) -> bool:
        """Go on with an open lease in order to unpause what it names: only one of several rivals may, and it has ``ttl`` for it.

        :return: whether it is ours; False when somebody else was faster, or it was given back meanwhile
        """
        follower = Lease(_NAME, lease.generation, lease.holder, utc_now() + ttl, {**lease.details, LIFTING: by})
        leases = self._of(address)
        if leases.current(_NAME) != lease:
            return False
        try:
            leases.follow(lease, follower)
        except LeaseHeldError:
            return False
        return True

    def release(self, addresses: Sequence[str], *, holder: str, window: object) -> None:
        """Give leases back, each whatever becomes of the others; harmless where they are not this holder's and this window's.

        :param window: a run may have several, one after the other: the task of an earlier one may wake up late
        :raises CatalogError: one cannot be given back
        """
        self._each(addresses, lambda address: self._release(address, holder, window))

    def _release(self, address: str, holder: str, window: object) -> None:
        leases = self._of(address)
        current = leases.current(_NAME)
        if current and not current.released and (current.holder, current.details.get("window")) == (holder, window):
            leases.give_back(current)

    def require_held(self, addresses: Iterable[str], *, holder: str, window: object, until: Callable[[], datetime]) -> None:
        """Refuse unless all of these are leased by this window, and will be for long enough.

        :param until: a lease must not run out before; asked once all have been looked at, for that takes time as well
        :raises ArmingError: one was given back, is somebody else's by now, or runs out too soon
        """
        found: dict[str, datetime] = {}

        def one(address: str) -> None:
            lease = self.current(address)
            if lease is None or lease.released or (lease.holder, lease.details.get("window")) != (holder, window):
                raise ArmingError(f"{address} is not leased by this window any more; nothing was paused", fix="start a new run")
            found[address] = lease.expires_at

        self._each(addresses, one)
        needed = until()
        if short := [address for address, ends in found.items() if ends < needed]:
            raise ArmingError(
                f"taking the leases of {len(found)} endpoints below {self.place} took so long that {len(short)} of them would run out in the"
                f" window, first {short[0]}; nothing was paused",
                fix="see why that object store is slow from the worker, or let MIDTIME_LEASES name a faster one",
            )

    def current(self, address: str) -> Lease | None:
        """The lease that counts, open or given back."""
        return self._of(address).current(_NAME)

    def look(self) -> Iterator[tuple[str, Lease | CatalogError]]:
        """All leases that nobody gave back, with their addresses; an error where that cannot be read.

        :raises CatalogError: not even their names can be
        """
        addresses = [unquote(name) for name in objects.names(self.root)]

        def look(address: str) -> Lease | CatalogError | None:
            try:
                return self.current(address)
            except CatalogError as error:
                return error

        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="leases") as pool:
            for address, found in zip(addresses, pool.map(look, addresses), strict=True):
                if isinstance(found, CatalogError) or (found and not found.released):
                    yield address, found

    def open(self) -> Iterator[tuple[str, Lease]]:
        """All leases that nobody gave back.

        :raises CatalogError: one cannot be read; after the others
        """
        errors = []
        for address, found in self.look():
            if isinstance(found, CatalogError):
                errors.append(found)
            else:
                yield address, found
        if errors:
            raise errors[0]

    def require_free(self, addresses: list[str], *, holder: str) -> None:
        """Refuse what :meth:`take` would refuse now, taking nothing.

        :param holder: a run whose own leases do not count yet
        :raises ForeignPauseError: another window has one of them
        """

        def one(address: str) -> None:
            lease = self.current(address)
            if lease and not lease.released and lease.holder != holder:
                raise _foreign(address, lease)

        self._each(addresses, one)

    @property
    def root(self) -> ObjectStoragePath:
        """The folder."""
        self._root = self._root or objects.open_destination(self.place) / FOLDER
        return self._root

    def folder(self, address: str) -> ObjectStoragePath:
        """Where the leases of an address lie."""
        return self.root / quote(address.lower(), safe="")

    def _each(self, addresses: Iterable[str], work: Callable[[str], None]) -> None:
        """Do it for all, then raise what went wrong first."""

        def one(address: str) -> MidtimeError | None:
            try:
                work(address)
            except MidtimeError as error:
                return error
            return None

        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="leases") as pool:
            errors = [error for error in pool.map(one, addresses) if error]
        if errors:
            raise errors[0]

    def _of(self, address: str) -> _OneAddress:
        return _OneAddress(self.folder(address))


class _OneAddress(Leases):
    """The leases of one address. Each follows exactly the one that was looked at: nobody's open lease is passed over unseen."""

    def follow(self, before: Lease | None, lease: Lease) -> Lease:
        """Create the generation after ``before``.

        :raises LeaseHeldError: somebody else did
        """
        mine = replace(lease, generation=before.generation + 1 if before else 1)
        try:
            objects.create(self._path(mine.name, mine.generation), mine.encode())
        except FileExistsError as error:
            raise LeaseHeldError("another window takes it at this moment") from error
        self._still_newest(mine)  # `before` may be so old that this generation came and went since
        if before:
            self._forget_older(mine.name, mine.generation)
        return mine

    def give_back(self, lease: Lease) -> None:
        """Release exactly this generation: what somebody takes meanwhile is another one."""
        objects.replace(self._path(lease.name, lease.generation), replace(lease, released=True).encode())


def _foreign(address: str, lease: Lease) -> ForeignPauseError:
    return ForeignPauseError(
        f"{address} is leased by {lease.holder}, paused until {to_rfc3339(lease.expires_at)} at the latest",
        fix="wait for that window to end; if it died, midtime__sweep unpauses and gives the lease back within a minute or two",
    )

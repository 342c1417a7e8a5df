"""Leases on endpoints: who pauses what, and by when it must be open again. One place for all topologies of an installation.

Each address has a folder of its own below ``<place>/.pauses``, so that a thousand endpoints are a thousand short listings. A lease that
nobody gave back stays in the way of every other window, also when it has run out: what it names may still be paused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from midtime.catalog import objects
from midtime.catalog.leases import Lease, Leases
from midtime.errors import CatalogError, ForeignPauseError, LeaseHeldError
from midtime.model.instants import to_rfc3339

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

ENVIRONMENT = "MIDTIME_LEASES"
FOLDER = ".pauses"
_NAME = "pause"
_AT_ONCE = 16


def lease_place(destination: str) -> str:
    """The URL below which leases lie: what ``MIDTIME_LEASES`` names, or the topology's own destination (ADR 11)."""
    return os.environ.get(ENVIRONMENT) or destination


class PauseLeases:
    """The pause leases below one place.

    :param place: URL, see :func:`lease_place`
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self._root: ObjectStoragePath | None = None

    def take(self, details: Mapping[str, Mapping[str, Any]], *, holder: str, ttl: timedelta) -> None:
        """Lease all of these addresses, or none.

        :param details: by address, what a sweeper must know
        :raises ForeignPauseError: another window has one of them, or left it open
        """
        taken: list[str] = []

        def one(address: str) -> None:
            self._take(address, details[address], holder, ttl)
            taken.append(address)

        try:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="leases") as pool:
                list(pool.map(one, details))
        except BaseException:
            self.release(taken, holder=holder)
            raise

    def _take(self, address: str, details: Mapping[str, Any], holder: str, ttl: timedelta) -> None:
        leases = self._of(address)
        current = leases.current(_NAME)
        if current and not current.released and current.holder != holder:
            raise _foreign(address, current)
        try:
            leases.acquire(_NAME, holder, details=details, ttl=ttl)
        except LeaseHeldError as error:
            raise ForeignPauseError(f"{address}: {error.message}", fix="wait for that window to end") from error

    def release(self, addresses: list[str], *, holder: str) -> None:
        """Give leases back; harmless where they are not the holder's."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="leases") as pool:
            list(pool.map(lambda address: self._of(address).release(_NAME, holder), addresses))

    def current(self, address: str) -> Lease | None:
        """The lease that counts, open or given back."""
        return self._of(address).current(_NAME)

    def open(self) -> Iterator[tuple[str, Lease]]:
        """All leases that nobody gave back, with their addresses; an unreadable one is passed over here, and stays in the way."""
        addresses = [unquote(name) for name in objects.names(self.root)]

        def look(address: str) -> Lease | None:
            with suppress(CatalogError):
                return self.current(address)
            return None

        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="leases") as pool:
            for address, lease in zip(addresses, pool.map(look, addresses), strict=True):
                if lease and not lease.released:
                    yield address, lease

    def require_free(self, addresses: list[str], *, holder: str) -> None:
        """Refuse what :meth:`take` would refuse now, taking nothing.

        :raises ForeignPauseError: another window has one of them
        """
        for address in addresses:
            lease = self.current(address)
            if lease and not lease.released and lease.holder != holder:
                raise _foreign(address, lease)

    @property
    def root(self) -> ObjectStoragePath:
        """The folder."""
        self._root = self._root or objects.open_destination(self.place) / FOLDER
        return self._root

    def _of(self, address: str) -> Leases:
        return Leases(self.root / quote(address, safe=""))


def _foreign(address: str, lease: Lease) -> ForeignPauseError:
    return ForeignPauseError(
        f"{address} is leased by {lease.holder}, paused until {to_rfc3339(lease.expires_at)} at the latest",
        fix="wait for that window to end; if it died, midtime__sweep unpauses and gives the lease back within a minute or two",
    )

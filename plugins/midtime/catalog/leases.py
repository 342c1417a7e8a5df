"""Leases: who works on what, until when. They survive the process that took them, and expire when it dies.

A lease ``name`` is a row of generations ``<name>.<n>.json``; the highest one counts. Taking it over means to *create* generation
n + 1, which the object store lets only one of two rivals do; nothing is ever deleted to take a lease, so nobody can delete a rival's.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from midtime.catalog import objects
from midtime.errors import CatalogError, LeaseHeldError, MidtimeError
from midtime.model.instants import from_rfc3339, to_rfc3339, utc_now

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

WORKING = timedelta(seconds=60)
"""How long a lease outlives a process that renews it every quarter of this."""
BETWEEN_TASKS = timedelta(minutes=15)
"""How long a lease waits for the next task of its run to be started."""

_FILE = re.compile(r"(?P<name>[^.].*)\.(?P<generation>[1-9][0-9]{0,17})\.json", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Lease:
    """One generation of a lease."""

    name: str
    generation: int
    holder: str
    """Whatever names the run for ever."""
    expires_at: datetime
    details: Mapping[str, Any] = field(default_factory=dict)
    released: bool = False

    def live(self, now: datetime) -> bool:
        """Whether it still keeps others out."""
        return not self.released and self.expires_at > now

    def abandoned(self, now: datetime) -> bool:
        """Whether its run may be taken for dead: it ran out so long ago that Airflow has noticed, and no task of the run came back."""
        return not self.released and self.expires_at + BETWEEN_TASKS < now

    def encode(self) -> bytes:
        """The lease file."""
        body = {"holder": self.holder, "expires_at": to_rfc3339(self.expires_at), "details": dict(self.details), "released": self.released}
        return json.dumps(body, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, name: str, generation: int, raw: bytes) -> Lease:
        """Read what :meth:`encode` wrote."""
        body = json.loads(raw)
        return cls(name, generation, body["holder"], from_rfc3339(body["expires_at"]), body["details"], body["released"])


class Leases:
    """The leases of one topology.

    :param folder: where they lie, ``<destination>/<topology>/.leases``
    """

    def __init__(self, folder: ObjectStoragePath) -> None:
        self.folder = folder

    def names(self) -> list[str]:
        """Every name that was ever leased."""
        return sorted({name for name, _ in self._generations()})

    def current(self, name: str) -> Lease | None:
        """The generation that counts, live or not."""
        while (generation := self._newest(name)) is not None:
            try:
                return self._read(name, generation)
            except FileNotFoundError as error:
                # Taken over, and the old generation forgotten, since we looked: look again.
                if self._newest(name) == generation:
                    raise _unreadable(self._path(name, generation), error) from error
        return None

    def acquire(self, name: str, holder: str, *, details: Mapping[str, Any] | None = None, ttl: timedelta = BETWEEN_TASKS) -> Lease:
        """Take a lease, or find that this holder has it already.

        :raises LeaseHeldError: somebody else has it
        """
        current = self.current(name)
        if current and current.live(utc_now()):
            if current.holder != holder:
                raise _held(current)
            return self.renew(current, ttl, details=details)
        generation = current.generation + 1 if current else 1
        lease = Lease(name, generation, holder, utc_now() + ttl, details or {})
        try:
            objects.create(self._path(name, generation), lease.encode())
        except FileExistsError:
            raise _held(self.current(name) or lease) from None
        self._still_newest(lease)  # `current` may be so old that this generation came and went since
        self._forget_older(name, generation)
        return lease

    def renew(self, lease: Lease, ttl: timedelta = BETWEEN_TASKS, *, details: Mapping[str, Any] | None = None) -> Lease:
        """Prolong a lease that is still ours.

        :param details: replace those that it has now
        :raises LeaseHeldError: it expired and somebody else took it, or it was released
        """
        current = self.current(lease.name)
        if current is None or current.generation != lease.generation or current.released:
            raise _lost(lease, current)
        renewed = replace(current, expires_at=utc_now() + ttl, details=current.details if details is None else details)
        objects.replace(self._path(lease.name, lease.generation), renewed.encode())
        self._still_newest(renewed)
        return renewed

    def release(self, name: str, holder: str) -> None:
        """Give a lease back; harmless when it is not (any more) the holder's."""
        current = self.current(name)
        if current and current.holder == holder and not current.released:
            objects.replace(self._path(name, current.generation), replace(current, released=True).encode())

    def forget(self, lease: Lease) -> None:
        """Remove what is left of a lease that was given back; a generation that is taken meanwhile stays."""
        self._forget_older(lease.name, lease.generation + 1)

    @contextmanager
    def held(self, name: str, holder: str) -> Iterator[Lease]:
        """Go on with the lease that an earlier task of the same run took, renewing it all the while.

        :raises LeaseHeldError: it is not ours (any more)
        """
        current = self.current(name)
        if current is None or current.holder != holder:
            raise LeaseHeldError(
                f"this run does not hold lease {name!r}" + (f"; {current.holder} does" if current else ""),
                fix="start a new run from its first task",
            )
        lease = self.renew(current, WORKING)
        stop = threading.Event()
        renewer = threading.Thread(target=self._keep, args=(lease, stop), name=f"lease {name}", daemon=True)
        renewer.start()
        try:
            yield lease
        finally:
            stop.set()
            renewer.join()
        self.renew(lease, BETWEEN_TASKS)

    def _keep(self, lease: Lease, stop: threading.Event) -> None:
        while not stop.wait(WORKING.total_seconds() / 4):
            try:
                self.renew(lease, WORKING)
            except LeaseHeldError as error:
                log.error("%s", error)  # `held` finds it out at its end, before anything is published
                return
            except MidtimeError as error:
                log.warning("Lease %s not renewed, trying again: %s", lease.name, error)

    def _still_newest(self, lease: Lease) -> None:
        if self._newest(lease.name) != lease.generation:
            raise _lost(lease, self.current(lease.name))

    def _newest(self, name: str) -> int | None:
        return max((number for each, number in self._generations() if each == name), default=None)

    def _generations(self) -> Iterator[tuple[str, int]]:
        for entry in objects.names(self.folder):
            if match := _FILE.fullmatch(entry):
                yield match["name"], int(match["generation"])

    def _read(self, name: str, generation: int) -> Lease:
        path = self._path(name, generation)
        try:
            return Lease.decode(name, generation, objects.read(path))
        except (ValueError, KeyError, TypeError) as error:
            raise _unreadable(path, error) from error

    def _path(self, name: str, generation: int) -> ObjectStoragePath:
        return self.folder / f"{name}.{generation}.json"

    def _forget_older(self, name: str, generation: int) -> None:
        for each, number in list(self._generations()):
            if each == name and number < generation:
                objects.remove_tree(self._path(name, number))


def _held(lease: Lease) -> LeaseHeldError:
    return LeaseHeldError(
        f"{lease.holder} works on {lease.name!r} until {to_rfc3339(lease.expires_at)} at least",
        fix="wait for it to end; if it died, its lease expires by itself",
    )


def _lost(lease: Lease, current: Lease | None) -> LeaseHeldError:
    return LeaseHeldError(
        f"lease {lease.name!r} of {lease.holder} was lost" + (f" to {current.holder}" if current else ""),
        fix="start a new run; this one may not go on",
    )


def _unreadable(path: object, error: Exception) -> CatalogError:
    return CatalogError(f"lease file {path} is unreadable ({error})", fix="remove that file when nothing runs")

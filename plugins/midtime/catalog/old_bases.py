"""The end of a base, and of what never became one.

A base goes when no restore point names it, it is not its store's newest, and it is older than a day. Who takes or chooses a base holds the
backup lease first and looks for the mark then; retention writes the mark first, and reads the lease and all manifests then. Whatever the
order in which the two arrive, one of them sees the other. A restore needs nothing of its own: its restore point, which names the base, stays.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from midtime.catalog import objects
from midtime.catalog.bases import BASE, ROOM, Bases
from midtime.catalog.folders import EXPIRED, MANIFEST
from midtime.catalog.half_written import BACKUP_LEASE, SWEEPER, HalfWritten
from midtime.catalog.leases import WORKING
from midtime.errors import LeaseHeldError
from midtime.model.instants import id_instant, utc_now

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

AT_LEAST = timedelta(days=1)
"""For how long a base stays, whoever names it."""
UNNAMED = "no restore point needs it, and there is a newer one"


@dataclass(frozen=True, slots=True)
class OldBase:
    """A base that may go."""

    bases: Bases
    id: str

    @property
    def label(self) -> str:
        """For logs and outcomes."""
        return f"{self.bases.store}/{self.id}"

    @property
    def beside(self) -> list[str]:
        """What lies in its folder."""
        return objects.names(self.bases.folder(self.id))


def rooms(catalog: HalfWritten) -> list[Bases]:
    """The bases of every store that ever had one, also of stores that the topology has no more."""
    return [Bases(catalog, store) for store in sorted(objects.names(catalog.root / ROOM))]


def candidates(catalog: HalfWritten, stores: Collection[str], now: datetime) -> list[OldBase]:
    """Whole or broken bases that are old enough, and not their store's newest; whether they are named is not asked yet.

    :param stores: those that the topology has now
    """
    found = []
    for bases in rooms(catalog):
        whole = [name for name in bases.folders() if BASE in objects.names(bases.folder(name))]
        newest = _newest(bases, whole, now) if bases.store in stores else set()
        found += [OldBase(bases, name) for name in whole if name not in newest and _age(name, now) > AT_LEAST]
    return found


def unnamed(catalog: HalfWritten, found: Iterable[OldBase]) -> list[OldBase]:
    """Those of them that no manifest and no part of a half-written restore point names; reads all of them, while there is one in doubt.

    By their text: of a manifest that this Midtime cannot read, whether it names a base can be told all the same.
    """
    left = list(found)
    texts = _texts(catalog) if left else iter(())
    while left and (text := next(texts, None)) is not None:
        left = [old for old in left if old.id.encode() not in text]
    return left


def settle(catalog: HalfWritten, found: Iterable[OldBase]) -> tuple[list[OldBase], str]:
    """Mark, look again, and take the marks back where somebody names a base by now or may be about to.

    :return: what may be removed now, and what kept the others
    """
    marked = list(found)
    ours = [old for old in marked if old.bases.mark(old.id, EXPIRED, UNNAMED)]  # of another's mark nobody knows how much is removed already
    lease = catalog.leases.current(BACKUP_LEASE) if marked else None
    if lease and not lease.released:  # also one that ran out: its run may only have stalled, until the sweeper has given it back
        free, why = [], f"{lease.holder} may be about to need it"
    else:
        free, why = unnamed(catalog, marked), "a restore point names it by now"
    for old in ours:
        if old not in free:
            old.bases.unmark(old.id, EXPIRED)
    return free, why


def half_removed(catalog: HalfWritten) -> list[OldBase]:
    """What a killed retention left: the mark, and no ``base.json``."""
    found = [OldBase(bases, name) for bases in rooms(catalog) for name in bases.folders()]
    return [old for old in found if EXPIRED in (beside := old.beside) and BASE not in beside]


def sweep_half_written_bases(catalog: HalfWritten) -> list[str]:
    """Remove what dead backups left of bases; nothing while a backup of this topology lives.

    Takes the backup lease for as long as that lasts: a run that was only slow finds it lost, and its base swept.

    :return: ``store/id`` of what was removed
    :raises LeaseHeldError: the lease was lost meanwhile
    """
    if not _half_written(catalog) or _backup_lives(catalog):
        return []
    with suppress(LeaseHeldError):  # a backup, or another sweeper, began while we looked
        lease = catalog.leases.acquire(BACKUP_LEASE, f"{SWEEPER}/{uuid.uuid4().hex[:6]}", ttl=WORKING)
        with catalog.given_back(lease):
            found = _half_written(catalog)  # again: a slow run may have published until the lease was ours
            catalog.leases.renew(lease, WORKING)  # and nobody has begun to write since
            for old in found:
                old.bases.discard(old.id)
            return [old.label for old in found]
    return []


def _half_written(catalog: HalfWritten) -> list[OldBase]:
    found = [OldBase(bases, name) for bases in rooms(catalog) for name in bases.folders()]
    return [old for old in found if not {BASE, EXPIRED} & {*old.beside}]


def _backup_lives(catalog: HalfWritten) -> bool:
    lease = catalog.leases.current(BACKUP_LEASE)
    return lease is not None and not lease.released and not lease.abandoned(utc_now())


def _newest(bases: Bases, whole: list[str], now: datetime) -> set[str]:
    """What the next restore point may need: the newest, and where that cannot be used or is of the future, the newest of the others, too."""
    usable = [base.id for base in bases.usable()]
    return {*whole[:1], *usable[:1], *[name for name in usable if _age(name, now) >= timedelta(0)][:1]}


def _age(base: str, now: datetime) -> timedelta:
    try:
        return now - id_instant(base)
    except ValueError:
        return timedelta(-1)  # of a day that never was: nobody knows whose it is


def _texts(catalog: HalfWritten) -> Iterator[bytes]:
    for name in catalog.folders():
        folder = catalog.folder(name)
        if MANIFEST in objects.names(folder):
            yield from _text(folder / MANIFEST)
        else:
            for part in objects.names(folder / "parts"):
                yield from _text(folder / "parts" / part)


def _text(path: ObjectStoragePath) -> Iterator[bytes]:
    with suppress(FileNotFoundError):
        yield objects.read(path)

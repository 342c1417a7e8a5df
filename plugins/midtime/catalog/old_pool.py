"""The end of content that no restore point needs any longer.

Who makes a restore point holds the backup lease first and reads then what is condemned; retention condemns first, and reads the lease and
all listings then. Whatever the order in which the two arrive, one of them sees the other.

Each retention writes a list of its own, also of what others have condemned already, takes none back but its own, and that only where it
removes nothing: one that stalled, lost its lease and wakes up removes only what nobody can have begun to use since. Lists of which nothing
is left are forgotten. Killed at any moment, it leaves content that no new backup uses, and the next retention removes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from midtime.catalog import objects
from midtime.catalog.backends import Look
from midtime.catalog.folders import MANIFEST
from midtime.catalog.half_written import BACKUP_LEASE, HalfWritten
from midtime.catalog.pool import ROOM, Pool, leaf, name_of, named_in

AT_LEAST = timedelta(days=1)
"""For how long content stays, whoever names it: a backup that was killed is continued by the next one."""
BATCH = 999
"""Objects that are removed between two looks at our own lease."""
LISTING = ".json"
Tree = Sequence[tuple[str, Look]]


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Content of one pool that no restore point names."""

    pool: Pool
    sizes: dict[str, int]
    """By the last parts of the names."""
    published: frozenset[str]
    """The restore points that had their manifests already: their listings do not change any more."""

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(self.sizes.values())


def rooms(catalog: HalfWritten) -> list[Pool]:
    """The pool of every store that ever had one, also of stores that the topology has no more."""
    return [Pool(catalog, store) for store in sorted(objects.names(catalog.root / ROOM))]


def unnamed(catalog: HalfWritten, pool: Pool, now: datetime, tree: Tree | None = None) -> Unnamed:
    """Content that is old enough, and named by no listing of any restore point, published or half-written.

    :param tree: all that is in the pool, if it was listed already
    """
    latest = (now - AT_LEAST).timestamp()
    left = {leaf(name): look.size for name, look in pool.listed(tree) if look.changed <= latest}
    published = _spare(catalog, pool, left, ())
    return Unnamed(pool, left, frozenset(published))


def collect(catalog: HalfWritten, pool: Pool, now: datetime, still_ours: Callable[[], object]) -> Unnamed:
    """Remove what :func:`unnamed` finds, unless a backup may be about to need it.

    :param still_ours: raises when the retention lease was lost
    :return: what was removed
    :raises LeaseHeldError: as ``still_ours`` says
    """
    batches, tree = dict(pool.batches()), list(objects.tree(pool.root))  # one listing of what may be very much, after that of the lists
    _forget_done(pool, batches, tree)
    nothing = Unnamed(pool, {}, frozenset())
    if backup_under_way(catalog) or not (found := unnamed(catalog, pool, now, tree)).sizes:
        return nothing
    batch = pool.condemn(found.sizes)
    if backup_under_way(catalog):
        pool.pardon(batch)
        return nothing
    _spare(catalog, pool, found.sizes, found.published)
    names = [name_of(each) for each in found.sizes]
    for begin in range(0, len(names), BATCH):
        still_ours()
        objects.remove_all(pool.root, names[begin : begin + BATCH])
    return found


def backup_under_way(catalog: HalfWritten) -> bool:
    """Also one whose lease ran out: its run may only have stalled, until the sweeper has given the lease back."""
    lease = catalog.leases.current(BACKUP_LEASE)
    return lease is not None and not lease.released


def _forget_done(pool: Pool, batches: Mapping[str, set[str]], tree: Tree) -> None:
    """Remove the lists of which nothing is left, and the drafts that killed processes left."""
    there = set[str]()
    for path, look in tree:
        there.add(leaf(path))
        if objects.is_litter(leaf(path), look.changed):
            objects.remove_all(pool.root, [path])
    for batch, names in batches.items():
        if not names & there:
            pool.pardon(batch)


def _spare(catalog: HalfWritten, pool: Pool, left: dict[str, int], read: Iterable[str]) -> set[str]:
    """Take out of ``left`` what a listing names.

    :param read: the restore points whose listings need not be read again
    :return: the ids of those that were published when theirs were read
    """
    published = set()
    for name in catalog.folders() if left else ():
        if name in read:
            continue
        if MANIFEST in objects.names(catalog.folder(name)):
            published.add(name)
        for text in _listings(catalog, name, pool.store):
            for needed in named_in(text):
                left.pop(needed, None)
    return published


def _listings(catalog: HalfWritten, restore_point: str, store: str) -> Iterator[bytes]:
    folder = catalog.folder(restore_point) / store
    for path, _ in list(objects.tree(folder)):
        if path.endswith(LISTING):
            with suppress(FileNotFoundError):
                yield objects.read(folder / path)

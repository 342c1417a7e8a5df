"""How far a restored set is on its way into place: a journal beside the run's lease, written before each act.

An entry ``<n>.json`` is only ever *created*, which the object store lets one of two rivals do. So the journal is a fence as well: who wants to
act writes the next entry first, and finds out whether somebody else has gone on meanwhile. A lease cannot tell that: two tries of one task are
one holder of it, and the thread that prolongs it writes back the details that it read before (ADR 0015).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from midtime.catalog import objects
from midtime.errors import CatalogError, LeaseHeldError
from midtime.model.instants import from_rfc3339, to_rfc3339, utc_now

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from midtime.catalog.restore_points import Catalog


class State(StrEnum):
    """What is being done, or has been, to the whole set."""

    NEW = "new"
    """Nothing. Never written."""
    STOPPING = "stopping"
    """Products are being stopped; no store was touched."""
    PLACING = "placing"
    """Products are stopped; the stores of :attr:`Entry.begun` may be in place."""
    PLACED = "placed"
    """All stores are in place; the products may have been started."""
    PUTTING_BACK = "putting back"
    """Products are stopped; all but the stores of :attr:`Entry.begun` are as they were."""
    PUT_BACK = "put back"
    """All is as it was; the products may have been started."""
    DONE = "done"
    """All stores are in place, the products run."""
    UNDONE = "undone"
    """All is as it was, the products run."""
    ENDED = "ended"
    """The same as one of the last two, and the working copies are being removed: nobody goes on with this run."""


_PLACINGS = ".placings"
SETTLED = frozenset({State.NEW, State.STOPPING, State.PLACED, State.PUT_BACK, State.DONE, State.UNDONE, State.ENDED})
"""All stores are in place, or none is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry."""

    state: State
    begun: tuple[str, ...] = ()
    """Stores whose placing was begun, in this order, as far as they are not known to be as they were."""
    addresses: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By product: where it answered before it was stopped. Once it is, nobody can look that up any more."""
    by: str = ""
    """The process, and since when there is it."""
    at: str = ""
    """When it was written, RFC 3339; empty: by an older version, which did not say."""

    def encode(self) -> bytes:
        """The entry's file."""
        known = {product: list(found) for product, found in self.addresses.items()}
        body = {"state": self.state, "begun": self.begun, "addresses": known, "by": self.by, "at": self.at}
        return json.dumps(body, indent=2).encode() + b"\n"

    @classmethod
    def decode(cls, raw: bytes) -> Entry:
        """Read what :meth:`encode` wrote."""
        body: dict[str, Any] = json.loads(raw)
        known = {product: tuple(found) for product, found in body["addresses"].items()}
        return cls(State(body["state"]), tuple(body["begun"]), known, body["by"], body.get("at", ""))


class PlacingJournal:
    """The journal of one run, as one process reads and writes it.

    :param folder: ``<destination>/<topology>/.placings/<lease>``
    """

    def __init__(self, folder: ObjectStoragePath) -> None:
        self.folder = folder
        self._by = f"{uuid.uuid4().hex[:12]} since {to_rfc3339(utc_now())}"
        self._number, self.entry = self._read()

    @property
    def state(self) -> State:
        """Of the newest entry that this process knows."""
        return self.entry.state

    def write(self, state: State, begun: Sequence[str] = (), addresses: Mapping[str, Sequence[str]] | None = None) -> None:
        """Write down what is about to be done, or has been.

        :param addresses: those known so far by default
        :raises LeaseHeldError: somebody else has written since we read
        """
        entry = Entry(state, tuple(begun), self.entry.addresses if addresses is None else addresses, self._by, to_rfc3339(utc_now()))
        while not self._created(entry):
            found = self._decoded(self._number + 1)
            if found.by != self._by:
                raise _overtaken(self.folder)
            # Ours after all: a request whose answer was lost.
            self._number, self.entry = self._number + 1, found
            if found == entry:
                break

    def require_newest(self) -> None:
        """Look whether we are still the one who goes on.

        :raises LeaseHeldError: we are not
        """
        if self._newest() != self._number:
            raise _overtaken(self.folder)

    def unsettled(self) -> Iterator[tuple[datetime, datetime]]:
        """From when to when some stores were in place, or on their way, and others were not."""
        entries = [self._decoded(number) for number in range(1, self._number + 1)]
        for entry, following in zip(entries, [*entries[1:], None], strict=True):
            if entry.state not in SETTLED and entry.at:
                yield from_rfc3339(entry.at), from_rfc3339(following.at) if following else utc_now()

    def _read(self) -> tuple[int, Entry]:
        number = self._newest()
        return number, self._decoded(number) if number else Entry(State.NEW)

    def _created(self, entry: Entry) -> bool:
        try:
            objects.create(self._path(self._number + 1), entry.encode())
        except FileExistsError:
            return False
        self._number, self.entry = self._number + 1, entry
        return True

    def _decoded(self, number: int) -> Entry:
        path = self._path(number)
        try:
            return Entry.decode(objects.read(path))
        except (ValueError, KeyError, TypeError, FileNotFoundError) as error:
            raise CatalogError(
                f"journal entry {path} is unreadable ({error})", fix="see which stores are in place, and put that right by hand"
            ) from error

    def _newest(self) -> int:
        names = (name.removesuffix(".json") for name in objects.names(self.folder) if name.endswith(".json"))
        return max((int(name) for name in names if name.isascii() and name.isdigit()), default=0)

    def _path(self, number: int) -> ObjectStoragePath:
        return self.folder / f"{number}.json"


def journal_of(catalog: Catalog, lease: str) -> PlacingJournal:
    """The journal of the run that has, or had, a lease."""
    return PlacingJournal(_folder(catalog, lease))


def require_settled(catalog: Catalog) -> str:
    """Whether no restore is half-way in replacing live stores, or in putting them back: what they hold then is of no one instant.

    :raises LeaseHeldError: one is
    """
    for name, journal in _replacing(catalog):
        if journal.state not in SETTLED:
            raise LeaseHeldError(
                f"the run of lease {name} is {journal.state} {', '.join(journal.entry.begun)}: process {journal.entry.by}",
                fix="back up when it has ended; if it has, see the log of its `release`, and of midtime__sweep",
            )
    return "no restore is under way"


def require_settled_between(catalog: Catalog, since: datetime, until: datetime) -> None:
    """Whether none was, at any moment from ``since`` to ``until``: it may have begun and ended meanwhile.

    :raises LeaseHeldError: one was
    """
    for name, journal in _replacing(catalog):
        for begun, ended in journal.unsettled():
            if begun <= until and ended >= since:
                raise LeaseHeldError(
                    f"the run of lease {name} replaced live stores from {to_rfc3339(begun)} to {to_rfc3339(ended)}",
                    fix="back up when no restore is under way",
                )


def _replacing(catalog: Catalog) -> Iterator[tuple[str, PlacingJournal]]:
    """Lease and journal of the runs that replace, or have replaced, what is live."""
    for name in objects.names(catalog.root / _PLACINGS):
        lease = catalog.leases.current(name)
        if lease is None or any(target["aside"] for target in lease.details["targets"]):
            yield name, journal_of(catalog, name)


def forget(catalog: Catalog, lease: str) -> None:
    """Remove the journal of a run that is long over. Not earlier: who was overtaken must find out."""
    objects.remove_tree(_folder(catalog, lease))


def _folder(catalog: Catalog, lease: str) -> ObjectStoragePath:
    return catalog.root / _PLACINGS / lease


def _overtaken(folder: object) -> LeaseHeldError:
    return LeaseHeldError(
        f"somebody else goes on with the restore of {folder}", fix="see the log of the run's `release`, and of midtime__sweep"
    )

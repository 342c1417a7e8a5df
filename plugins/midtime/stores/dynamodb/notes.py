"""What a run leaves at the destination, so that any worker can go on with it, or undo it: which copies are its own, and what was live before.

A note is written before the first call that it is about, and removed after the last. What was done is never read from it: DynamoDB says that.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from midtime.catalog import Catalog, objects
from midtime.model.instants import utc_now
from midtime.model.restore_point import Instant, Sealed
from midtime.model.topology import Topology
from midtime.stores.base import Target
from midtime.stores.dynamodb.settings import MarkedTables, TableSettings

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

Note = TypeVar("Note", bound=Sealed)


class Copies(Sealed):
    """The copies that one run makes of one store's tables."""

    working: str
    """The run's name for them, also that of their backups."""
    began_at: Instant
    names: dict[str, str]
    """By the name of the table that was marked: the copy's."""
    marked: MarkedTables


class Kept(Sealed):
    """The live tables, as they were before a restore in place touched the first of them."""

    aside: str
    """The name of their backups."""
    began_at: Instant
    tables: tuple[TableSettings, ...]
    """Those that were there."""

    def table(self, name: str) -> TableSettings | None:
        """One of them; None where there was none of that name."""
        return next((each for each in self.tables if each.name == name), None)


class Notes:
    """The notes of one store."""

    def __init__(self, topology: Topology, target: Target) -> None:
        self._root = Catalog(topology.destination, topology.name).root
        self.target = target

    def copies(self) -> Copies | None:
        """The copies, if some were begun."""
        return _read(self._copies, Copies)

    def begin_copies(self, names: dict[str, str], marked: MarkedTables) -> Copies:
        """Write down what is about to be made; what an earlier try has written stays."""
        return _write(self._copies, Copies(working=self.target.working, began_at=utc_now(), names=names, marked=marked))

    def end_copies(self) -> None:
        """Nothing of them is left."""
        objects.remove_tree(self._copies)

    def kept(self) -> Kept | None:
        """What was live before, if a placing was begun and not undone."""
        return _read(self._kept, Kept)

    def keep(self, tables: tuple[TableSettings, ...]) -> Kept:
        """Write down what is live; what an earlier try has written stays."""
        return _write(self._kept, Kept(aside=self.target.aside or "", began_at=utc_now(), tables=tables))

    @property
    def going_back(self) -> bool:
        """Whether somebody has begun to put back what was kept: nobody goes forward any more."""
        return self._is_there(self._going)

    @property
    def all_back(self) -> bool:
        """Whether all that was kept is live again, and only backups are left to be removed."""
        return self._is_there(self._back)

    def say_going_back(self) -> None:
        """What was kept is being put back."""
        _touch(self._going)

    def say_all_back(self) -> None:
        """All that was kept is live again: from now on its backups may go."""
        _touch(self._back)

    def forget_kept(self) -> None:
        """Nothing is kept any more; a later placing begins afresh."""
        for path in (self._kept, self._back, self._going):
            objects.remove_tree(path)

    @staticmethod
    def _is_there(path: ObjectStoragePath) -> bool:
        return path.name in objects.names(path.parent)

    @property
    def _copies(self) -> ObjectStoragePath:
        return self._root / ".copies" / f"{self.target.working}.json"

    @property
    def _kept(self) -> ObjectStoragePath:
        return self._root / ".kept" / f"{self.target.aside}.json"

    @property
    def _back(self) -> ObjectStoragePath:
        return self._root / ".kept" / f"{self.target.aside}.back.json"

    @property
    def _going(self) -> ObjectStoragePath:
        return self._root / ".kept" / f"{self.target.aside}.going.json"


def _touch(path: ObjectStoragePath) -> None:
    with suppress(FileExistsError):
        objects.create(path, b"{}\n")


def _read(path: ObjectStoragePath, kind: type[Note]) -> Note | None:
    try:
        return kind.unseal(objects.read(path), where=str(path))
    except FileNotFoundError:
        return None


def _write(path: ObjectStoragePath, note: Note) -> Note:
    try:
        objects.create(path, note.seal())
    except FileExistsError:
        return _read(path, type(note)) or note
    return note

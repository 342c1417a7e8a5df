"""What a run notes of DynamoDB's tables: which copies are its own, and what was live before."""

from __future__ import annotations

from midtime.model.instants import utc_now
from midtime.model.restore_point import Instant, Sealed
from midtime.stores import notes
from midtime.stores.dynamodb.settings import MarkedTables, TableSettings
from midtime.stores.notes import RunNotes

GOING, BACK = ".going", ".back"
"""Kinds of a note: what was kept is being put back, or is."""


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


class Notes(RunNotes):
    """The notes of one store."""

    def copies(self) -> Copies | None:
        """The copies, if some were begun."""
        return notes.read(self.copies_path, Copies)

    def begin_copies(self, names: dict[str, str], marked: MarkedTables) -> Copies:
        """Write down what is about to be made; what an earlier try has written stays."""
        return notes.write(self.copies_path, Copies(working=self.target.working, began_at=utc_now(), names=names, marked=marked))

    def end_copies(self) -> None:
        """Nothing of them is left."""
        notes.forget(self.copies_path)

    def kept(self) -> Kept | None:
        """What was live before, if a placing was begun and not undone."""
        return notes.read(self.kept_path(), Kept)

    def keep(self, tables: tuple[TableSettings, ...]) -> Kept:
        """Write down what is live; what an earlier try has written stays."""
        return notes.write(self.kept_path(), Kept(aside=self.target.aside or "", began_at=utc_now(), tables=tables))

    @property
    def going_back(self) -> bool:
        """Whether somebody has begun to put back what was kept: nobody goes forward any more."""
        return notes.is_there(self.kept_path(GOING))

    @property
    def all_back(self) -> bool:
        """Whether all that was kept is live again, and only backups are left to be removed."""
        return notes.is_there(self.kept_path(BACK))

    def say_going_back(self) -> None:
        """What was kept is being put back."""
        notes.touch(self.kept_path(GOING))

    def say_all_back(self) -> None:
        """All that was kept is live again: from now on its backups may go."""
        notes.touch(self.kept_path(BACK))

    def forget_kept(self) -> None:
        """Nothing is kept any more; a later placing begins afresh."""
        notes.forget(self.kept_path(), self.kept_path(BACK), self.kept_path(GOING))

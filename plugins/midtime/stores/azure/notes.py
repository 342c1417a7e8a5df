"""What a run notes of what it asked the service for: how far it is, and what was given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midtime.catalog import objects
from midtime.model.restore_point import Instant, Record, Sealed
from midtime.stores import notes
from midtime.stores.notes import RunNotes

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath


class Operation(Record):
    """Something that the service was asked for, and works on."""

    what: str
    path: str = ""
    """Where ARM says how far it is, without the host; empty where it does not."""
    vital: bool = True
    """The restore fails with it."""


class Progress(Sealed):
    """What was asked for last. Only a hint: where an answer got lost, the account says more than it."""

    at: Instant
    there: bool = False
    """What was restored was whole: what fails from then on is a change of it."""
    seen: bool = False
    """It was to be seen, be it half made: should it be gone, somebody has deleted it, and nobody asks for it again."""
    settled: bool = False
    """What the restore has lost is put back: it need not be read again at every look."""
    by_command: bool = False
    """But for what a command of the user's puts back."""
    rules_at: Instant | None = None
    """When the network rules were asked for last."""
    operations: tuple[Operation, ...] = ()
    asked: dict[str, int] = {}
    """How often, by change."""
    given_up: dict[str, str] = {}
    """Changes that the service refuses for good, and why."""


class ProgressNotes(RunNotes):
    """The notes of one run about one store that Azure restores."""

    def progress(self) -> Progress | None:
        """What the service was asked for, if it was asked for anything."""
        return notes.read(self._progress, Progress)

    def say(self, progress: Progress) -> None:
        """Write it down, instead of what was there."""
        objects.replace(self._progress, progress.seal())

    def see(self) -> Progress | None:
        """What was asked for is to be seen, be it half made.

        :return: what is noted of it from now on
        """
        progress = self.progress()
        if progress and not progress.seen:
            progress = progress.model_copy(update={"seen": True})
            self.say(progress)
        return progress

    def forget_progress(self) -> None:
        """The service was asked for nothing."""
        notes.forget(self._progress)

    def end(self) -> None:
        """Nothing is left of it."""
        notes.forget(self._progress, self.copies_path)

    @property
    def _progress(self) -> ObjectStoragePath:
        return self.copies_path.parent / f"{self.target.working}.progress.json"

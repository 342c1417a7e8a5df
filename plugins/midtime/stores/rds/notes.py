"""What a run notes of the instance or cluster that it makes: which one it is and what was marked, and what it was last seen to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midtime.catalog import objects
from midtime.model.instants import utc_now
from midtime.model.restore_point import Instant, Sealed
from midtime.stores import notes
from midtime.stores.notes import RunNotes
from midtime.stores.rds.settings import MarkedServer

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath


class Copy(Sealed):
    """What one run makes. Never changed."""

    working: str
    """The run's name for it; its tag says it too."""
    began_at: Instant
    topology: str
    name: str
    drill: bool
    instance_class: str | None = None
    """Another one than marked."""
    subnet_group: str | None = None
    marked: MarkedServer

    @property
    def source(self) -> str:
        """What it is restored from, and to when: as its tag says."""
        return f"{self.marked.resource_id} {int(self.marked.instant.timestamp())}"


class Progress(Sealed):
    """Only a hint: the service says what is there."""

    asked_at: Instant
    """When the service was last asked to make it."""
    seen: str = ""
    """Its resource id, since it was to be seen: should it be gone, somebody has deleted it, and nobody asks for it again."""
    asked: dict[str, int] = {}
    """How often, by change."""


class Notes(RunNotes):
    """The notes of one store."""

    def copy(self) -> Copy | None:
        """What was begun, if anything was."""
        return notes.read(self.copies_path, Copy)

    def begin(self, topology: str, marked: MarkedServer, *, instance_class: str | None, subnet_group: str | None) -> Copy:
        """Write down what is about to be made; what an earlier try has written stays."""
        target = self.target
        made = Copy(
            working=target.working, began_at=utc_now(), topology=topology, name=target.final, drill=target.final == target.working,
            instance_class=instance_class, subnet_group=subnet_group, marked=marked,
        )  # fmt: skip
        return notes.write(self.copies_path, made)

    def progress(self) -> Progress | None:
        """What the service was asked for, if it was asked for anything."""
        return notes.read(self._progress, Progress)

    def say(self, progress: Progress) -> None:
        """Write it down, instead of what was there."""
        objects.replace(self._progress, progress.seal())

    def forget_progress(self) -> None:
        """The service was asked for nothing."""
        notes.forget(self._progress)

    def end(self) -> None:
        """Nothing is left of it."""
        notes.forget(self._progress, self.copies_path)

    @property
    def _progress(self) -> ObjectStoragePath:
        return self.copies_path.parent / f"{self.target.working}.progress.json"

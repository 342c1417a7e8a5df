"""What a run leaves at the destination, so that any worker can go on with it, or undo it.

A note is written before the first call that it is about, and removed after the last. What was done is never read from it: the service says that.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from midtime.catalog import Catalog, artifacts, objects
from midtime.model.restore_point import Sealed, StoreBackup
from midtime.model.topology import Topology
from midtime.stores.base import Shelf, Target

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

Note = TypeVar("Note", bound=Sealed)


class RunNotes:
    """The notes of one run about one store."""

    def __init__(self, topology: Topology, target: Target) -> None:
        self._root = Catalog(topology.destination, topology.name).root
        self.target = target

    @property
    def copies_path(self) -> ObjectStoragePath:
        """The one about what the run makes."""
        return self._root / ".copies" / f"{self.target.working}.json"

    def kept_path(self, kind: str = "") -> ObjectStoragePath:
        """Those about what was live before."""
        return self._root / ".kept" / f"{self.target.aside}{kind}.json"


def read(path: ObjectStoragePath, kind: type[Note]) -> Note | None:
    """A note, if it is there."""
    try:
        return kind.unseal(objects.read(path), where=str(path))
    except FileNotFoundError:
        return None


def write(path: ObjectStoragePath, note: Note) -> Note:
    """Write it down; what an earlier try has written stays, and is answered."""
    try:
        objects.create(path, note.seal())
    except FileExistsError:
        return read(path, type(note)) or note
    return note


def touch(path: ObjectStoragePath) -> None:
    """A note that says all by being there."""
    with suppress(FileExistsError):
        objects.create(path, b"{}\n")


def is_there(path: ObjectStoragePath) -> bool:
    """Whether a note is."""
    return path.name in objects.names(path.parent)


def forget(*paths: ObjectStoragePath) -> None:
    """Remove them, in this order."""
    for path in paths:
        objects.remove_tree(path)


def marked(backup: StoreBackup, shelf: Shelf, kind: type[Note]) -> Note:
    """What a mark noted.

    :raises ArtifactError: it is missing or was altered
    """
    (artifact,) = backup.artifacts
    return kind.unseal(artifacts.read(artifact, shelf.folder), where=f"{shelf.folder}/{artifact.path}")

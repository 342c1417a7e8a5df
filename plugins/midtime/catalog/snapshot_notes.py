"""Which snapshots stand on nodes of databases: written before one is taken, removed when it is cleared on all nodes.

``<destination>/<topology>/.snapshots/<store>/<tag>.json``. So whatever dies, somebody knows what is left on the nodes; and where there is no
note, nobody has to ask them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from midtime.catalog import objects
from midtime.errors import CatalogError
from midtime.model.instants import from_rfc3339, to_rfc3339, utc_now

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from midtime.catalog.folders import Folders

_END = ".json"


@dataclass(frozen=True, slots=True)
class Note:
    """One snapshot that may be there."""

    store: str
    tag: str
    run: str
    at: datetime


class SnapshotNotes:
    """The notes of one topology.

    :param catalog: the topology's
    """

    def __init__(self, catalog: Folders) -> None:
        self.folder: ObjectStoragePath = catalog.root / ".snapshots"

    def add(self, store: str, tag: str, run: str) -> Note:
        """Announce a snapshot, before anything can take it.

        :raises CatalogError: there is one of that name
        """
        note = Note(store, tag, run, utc_now())
        body = {"run": run, "at": to_rfc3339(note.at)}
        try:
            objects.create(self._path(store, tag), json.dumps(body, indent=2).encode() + b"\n")
        except FileExistsError:
            raise CatalogError(f"a snapshot {tag} of store {store} is noted already", fix="start a new run") from None
        return note

    def all(self, unreadable: list[CatalogError] | None = None) -> list[Note]:
        """Every note, oldest first.

        :param unreadable: takes what is to be said of each that cannot be read, so that it keeps nobody from the others
        :raises CatalogError: one is unreadable, and nobody takes that
        """
        found = []
        for store, tag in self._named():
            try:
                found.append(self._read(store, tag))
            except CatalogError as error:
                if unreadable is None:
                    raise
                unreadable.append(error)
        return sorted((note for note in found if note), key=lambda note: note.at)

    def _named(self) -> Iterator[tuple[str, str]]:
        for store in objects.names(self.folder):
            for name in objects.names(self.folder / store):
                if name.endswith(_END) and not name.startswith("."):
                    yield store, name.removesuffix(_END)

    def remove(self, note: Note) -> None:
        """It is cleared on all nodes. Idempotent."""
        objects.remove_tree(self._path(note.store, note.tag))

    def _read(self, store: str, tag: str) -> Note | None:
        path = self._path(store, tag)
        try:
            body = json.loads(objects.read(path))
            return Note(store, tag, str(body["run"]), from_rfc3339(body["at"]))
        except FileNotFoundError:
            return None  # somebody was faster
        except (ValueError, KeyError, TypeError) as error:
            raise CatalogError(f"note {path} is unreadable ({error})", fix=f"clear snapshot {tag} by hand, then remove the note") from error

    def _path(self, store: str, tag: str) -> ObjectStoragePath:
        return self.folder / store / f"{tag}{_END}"

"""Going on with the log: from where the last backup stopped to where this one does, each event looked at, and kept.

Reads the server's log also where an archive keeps it: only who has seen every event knows that a replay will be possible.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

from midtime.catalog.artifacts import ArtifactWriter, new_artifact
from midtime.errors import CopyError
from midtime.model.restore_point import Artifact
from midtime.stores import compression
from midtime.stores.base import Say
from midtime.stores.mysql.connections import Session, connect
from midtime.stores.mysql_pitr import events, segments
from midtime.stores.mysql_pitr.changes import Changes
from midtime.stores.mysql_pitr.events import FIRST, Event
from midtime.stores.mysql_pitr.fetching import ServerLog
from midtime.stores.mysql_pitr.reading import LogFile, Position
from midtime.stores.mysql_pitr.segments import ROOM, Segment

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_TOGETHER = 1 << 18
_ANEW = "run the backup again: it begins with a new full dump"


@dataclass(frozen=True, slots=True)
class Keeper:
    """Keeps the log of one base."""

    conn_id: str
    databases: tuple[str, ...]
    folder: ObjectStoragePath
    """The base's."""
    start: Position
    """The full dump's."""
    born: int
    """When the server began that file."""
    method: str
    """How segments are compressed."""
    keep: bool = True
    """Whether the events are stored; an archive has them otherwise."""

    def chain(self) -> list[Segment]:
        """What is kept already."""
        return segments.chain(self.folder, str(self.start))

    def extend(self, goal: Position, say: Say) -> list[Segment]:
        """Keep the log up to a position; a file that is complete counts at once, whatever becomes of the next one.

        :return: all of it, from the base's position to ``goal``
        :raises CopyError: it is not to be had any more, is another log than before, or holds what cannot be replayed
        """
        found = self.chain()
        reached = Position(found[-1].file, found[-1].end) if found else self.start
        with connect(self.conn_id, pure=True) as session:  # also with nothing to read: another server may be at the same position
            require_there(session, reached)
            for segment in self._segments(ServerLog(session, reached), reached, found[-1].born if found else self.born, goal):
                found.append(segment)
                reached = Position(segment.file, segment.end)
                say(f"binary log kept up to {reached}")
        if reached != goal:
            raise CopyError(f"the server's binary log ends before {goal}, where it was a moment ago", fix=_ANEW)
        return found

    def _segments(self, log: ServerLog, reached: Position, born: int, goal: Position) -> Iterator[Segment]:
        previous = reached.file
        for file, raws in log.files():
            same = file == reached.file
            if not same and not events.follows(file, previous):
                raise CopyError(f"the server goes on with {file} after {previous}", fix=_ANEW)
            start = reached if same else Position(file, FIRST)
            reader = LogFile(start, goal.at if file == goal.file else None, born=born if same else None)
            if segment := self._segment(reader, raws, reached):
                segments.add(self.folder, segment)
                reached = reader.position
                yield segment
            if file == goal.file:
                return
            previous = file

    def _segment(self, log: LogFile, raws: Iterator[bytes], after: Position) -> Segment | None:
        start, found, changes = log.at, log.events(raws), Changes(self.databases)
        first = list(islice(found, 2))
        if log.at == start:
            return None
        artifact = self._look(changes, log, start, chain(first, found))
        said = {"file": log.file, "start": start, "end": log.at, "born": log.born, "longest": changes.longest}
        return Segment.model_validate({"after": str(after), **said, "compression": self.method, "artifact": artifact})

    def _look(self, changes: Changes, log: LogFile, start: int, found: Iterable[Event]) -> Artifact | None:
        if not self.keep:
            require_replayable(changes, log, found)
            return None
        name = f"{ROOM}/{log.file}.{start}-{uuid.uuid4().hex[:6]}{compression.suffix(self.method)}"
        with new_artifact(self.folder, name) as writer:
            packer = _Packer(writer, self.method)
            require_replayable(changes, log, packer.passing(found))
            packer.finish()
        return writer.artifact


class _Packer:
    """Compresses events on their way; small ones together."""

    def __init__(self, writer: ArtifactWriter, method: str) -> None:
        self.writer = writer
        self.compressor = compression.compressor(method, 6)
        self.waiting = bytearray()

    def passing(self, found: Iterable[Event]) -> Iterator[Event]:
        """The same events, taken."""
        for event in found:
            self.waiting += event.raw
            if len(self.waiting) > _TOGETHER:
                self._write(self.compressor.compress(bytes(self.waiting)))
                self.waiting.clear()
            yield event

    def finish(self) -> None:
        """Write the rest."""
        self._write(self.compressor.compress(bytes(self.waiting)) + self.compressor.flush())

    def _write(self, packed: bytes) -> None:
        if packed:
            self.writer.write(packed)


def require_there(session: Session, position: Position) -> None:
    """Whether the server still has its log from a position on.

    :raises CopyError: it has not
    """
    sizes = {str(row[0]): int(row[1]) for row in session.rows("SHOW BINARY LOGS")}
    if sizes.get(position.file, -1) < position.at:
        raise CopyError(f"the server has no binary log at {position} any more", fix=_ANEW)


def require_replayable(changes: Changes, log: LogFile, found: Iterable[Event]) -> None:
    """Go over events to their end.

    :raises CopyError: they cannot all be replayed, or end within a transaction
    """
    for _ in changes.of(found):
        pass
    require_whole(changes, log)


def require_whole(changes: Changes, log: LogFile) -> None:
    """Whether all of a file was gone over.

    :raises CopyError: something stands in the way of a replay, or a transaction is cut in two
    """
    if changes.obstacle:
        raise CopyError(f"the binary log has at {log.position} {changes.obstacle}", fix=_ANEW)
    if changes.in_transaction:
        raise CopyError(f"the binary log is cut within a transaction at {log.position}", fix="run the backup again")

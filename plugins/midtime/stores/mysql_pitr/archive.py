"""The server's binary logs in an archive, a folder that somebody else fills with whole files under their own names; and what is kept by us."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from midtime.catalog import artifacts, objects
from midtime.catalog.backends import backend_of
from midtime.errors import ArtifactError, RequestError
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql_pitr.capture import status
from midtime.stores.mysql_pitr.events import MAGIC
from midtime.stores.mysql_pitr.reading import Position
from midtime.stores.mysql_pitr.segments import Segment

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath


def let_go(session: Session, position: Position) -> None:
    """Begin a new file, unless the server has since: most archives take only files that are complete.

    :raises StoreAccessError: the login may not
    """
    if status(session).position.file == position.file:
        session.rows("FLUSH BINARY LOGS")


def lacking(url: str | None, kept: Sequence[Segment]) -> str:
    """The position up to which the archive does not reach, or not with the files that we read; empty if it has them all.

    :raises RequestError: no archive is named any more
    """
    for segment in kept:
        path = _open(url) / segment.file
        try:
            if objects.look(path).size < segment.end:
                return segment.reaches
            if not _same(path, segment.born):
                return f"{segment.reaches}, but another file of that name,"
        except FileNotFoundError:
            return segment.reaches
    return ""


def _same(path: ObjectStoragePath, born: int) -> bool:
    """Whether it is the file that we read: a server whose log was begun anew gives the same names again."""
    wanted = MAGIC + born.to_bytes(4, "little")  # the format event, which begins with its time, is the first one
    with objects.destination_errors(path, "read"):
        found: bytes = backend_of(path).fs.cat_file(path.path, start=0, end=len(wanted))
    return found == wanted


def size(kept: Sequence[Segment]) -> int:
    """Bytes that fetching them takes on disk."""
    archived = {segment.file: segment.end for segment in kept if not segment.artifact}
    return sum(segment.artifact.size for segment in kept if segment.artifact) + sum(archived.values())


def fetch(kept: Sequence[Segment], folder: ObjectStoragePath, url: str | None, staged: Path) -> None:
    """Copy them into a local folder: our own, each checked, below :data:`ROOM`; an archive's under their names.

    :param folder: the base's
    :raises ArtifactError: one is missing, truncated or altered
    """
    artifacts.download([segment.artifact for segment in kept if segment.artifact], folder, "", staged)
    for segment in kept:
        if segment.artifact is None:
            _fetch_file(_open(url) / segment.file, staged / segment.file, segment.end)


def _open(url: str | None) -> ObjectStoragePath:
    if url is None:
        raise RequestError("the binary log was in an archive, and the topology names none any more", fix="put binlog.archive back")
    return objects.open_destination(url)


def _fetch_file(source: ObjectStoragePath, target: Path, end: int) -> None:
    try:
        with objects.destination_errors(source, "read"), objects.open_stream(source, "rb") as reader, target.open("wb") as writer:
            left = end
            while left and (chunk := reader.read(min(left, artifacts.CHUNK))):
                writer.write(chunk)
                left -= len(chunk)
    except FileNotFoundError:
        raise ArtifactError(f"binary log {source} is missing", fix="put it back into the archive, or use another restore point") from None

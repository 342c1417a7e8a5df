"""The folder into which the server archives its WAL segments: looked at and read, never written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from midtime.catalog.artifacts import CHUNK
from midtime.catalog.backends import backend_of
from midtime.catalog.objects import destination_errors, open_destination, open_stream
from midtime.errors import ArtifactError, DestinationAccessError
from midtime.stores.base import Restorable
from midtime.stores.postgresql_pitr.wal import NAME_LENGTH, Span, segment_number, timeline_of

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_PACKED = re.compile(rf"{_SEGMENT.pattern}(?:-[0-9a-f]{{40}})?(?:\.(?:gz|lz4|zst|zstd|bz2|xz|lzma|br|gpg|enc|aes|age))*")
"""Of a segment as tools store it: pgBackRest puts its SHA-1 behind the name. Nothing else counts: a ``.backup`` or a half-written ``.part``
has no WAL that a recovery could read.
"""


class Archive:
    """One WAL archive.

    :param url: the topology's ``wal.archive``
    :param plain: segments lie there as the server wrote them; else a ``restore_command`` of the user's knows how to read them, which may be
        compressed then, under the segment's name with endings
    """

    def __init__(self, url: str, *, plain: bool) -> None:
        self.url = url
        self.plain = plain

    @cached_property
    def root(self) -> ObjectStoragePath:
        """The folder."""
        return open_destination(self.url)

    def sizes(self) -> dict[str, int]:
        """Bytes of every segment that is there, by its name; one listing.

        :raises DestinationAccessError: there is no such folder
        :raises DestinationError: it cannot be listed now
        """
        with destination_errors(self.root, "list"):
            fs = backend_of(self.root).fs
            try:
                entries = fs.ls(self.root.path, detail=True)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise DestinationAccessError(f"there is no WAL archive at {self.url}", fix="correct wal.archive of the topology") from error
        found: dict[str, int] = {}
        for entry in entries:
            name = str(entry["name"]).rstrip("/").rpartition("/")[2]
            if entry["type"] == "file" and (_SEGMENT if self.plain else _PACKED).fullmatch(name):
                segment = name[:NAME_LENGTH]
                found[segment] = max(entry["size"] or 0, found.get(segment, 0))
        return found

    def restorable(self, span: Span) -> Restorable:
        """Whether everything that a recovery over a span reads is there, and whole."""
        return judge(span, self.sizes(), plain=self.plain)

    def fetch(self, name: str, target: Path, size: int) -> None:
        """Copy one segment to this machine; it appears there whole.

        :raises ArtifactError: it is missing, or truncated
        """
        path, draft, copied = self.root / name, target.with_name(f".{target.name}.draft"), 0
        try:
            with destination_errors(path, "read"), open_stream(path, "rb") as reader, draft.open("wb") as writer:
                while chunk := reader.read(CHUNK):
                    copied += writer.write(chunk)
        except FileNotFoundError:
            raise ArtifactError(f"WAL segment {path} is missing", fix="use another restore point") from None
        if copied != size:
            raise ArtifactError(f"WAL segment {path} has {copied} bytes instead of {size}", fix="use another restore point")
        os.replace(draft, target)


def judge(span: Span, sizes: Mapping[str, int], *, plain: bool) -> Restorable:
    """Whether a listing holds all of a span."""
    lacking = [name for name in span.names() if name not in sizes]
    if lacking:
        newest = max((name for name in sizes if timeline_of(name) == span.timeline), default="none")
        gap = newest > lacking[0] and newest != "none"
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        detail = f"the archive lacks {lacking[0]}{more}" + (
            f", although it holds {newest}" if gap else f"; the newest that it holds is {newest}"
        )
        return Restorable(False, detail)
    wrong = [name for name in span.names() if plain and sizes[name] != span.segment_size]
    if wrong:
        return Restorable(False, f"{wrong[0]} has {sizes[wrong[0]]} bytes in the archive instead of {span.segment_size}")
    return Restorable(True, f"the archive holds all {len(span)} segments from {span.name(span.first)} to {span.name(span.last)}")


def gap_since(span: Span, sizes: Mapping[str, int]) -> str | None:
    """The first segment that is missing although a later one of its timeline is there: then a base before it leads nowhere."""
    numbers = {segment_number(name, span.segment_size) for name in sizes if timeline_of(name) == span.timeline}
    newest = max(numbers, default=span.first - 1)
    return next((span.name(number) for number in range(span.first, newest) if number not in numbers), None)

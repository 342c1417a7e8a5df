"""Stretches of the binary log, kept beside the full dump that they go on from: each once, whatever number of restore points need it.

``<base>/binlog/<file>.<start>-<end>.json`` says what a segment is, and its events are in an artifact beside it. The description is written
last; without it the artifact is nobody's. A restore point has copies of the descriptions that it needs in its manifest, each artifact's
SHA-256 included: nothing that is in this folder later can change what it means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from midtime.catalog import objects
from midtime.errors import ArtifactError, ManifestError
from midtime.model.restore_point import Artifact, Sealed

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

ROOM = "binlog"
"""Below a base's folder."""


class Segment(Sealed):
    """Events of one file of the log, from one position to another."""

    after: str
    """The position up to which all was there before: the end of the segment that comes before this one, or the full dump's position."""
    file: str
    start: int
    end: int
    born: int
    """When the server began the file, in seconds."""
    longest: int
    """Bytes of the longest event in it that a replay needs."""
    compression: str = "none"
    artifact: Artifact | None = None
    """Its path is relative to the base's folder. None where an archive has the file."""

    @property
    def reaches(self) -> str:
        """Up to where all is there with it."""
        return f"{self.file}:{self.end}"


def add(folder: ObjectStoragePath, segment: Segment) -> None:
    """Write a segment's description; one that is there already is of the same stretch, and as good.

    :param folder: the base's
    """
    with suppress(FileExistsError):
        objects.create(folder / ROOM / f"{segment.file}.{segment.start}-{segment.end}.json", segment.seal())


def chain(folder: ObjectStoragePath, start: str) -> list[Segment]:
    """All that is there without a gap from a position on; of several at one place the one that goes farthest.

    :param folder: the base's
    """
    following: dict[str, list[Segment]] = {}
    for segment in _all(folder):
        following.setdefault(segment.after, []).append(segment)
    found: list[Segment] = []
    while here := following.pop(found[-1].reaches if found else start, None):
        found.append(max(here, key=lambda each: (each.file, each.end)))
    return found


def _all(folder: ObjectStoragePath) -> Iterator[Segment]:
    room = folder / ROOM
    for name in sorted(objects.names(room)):
        if name.endswith(".json"):
            with suppress(FileNotFoundError, ManifestError):  # one that cannot be believed is as good as none: it is fetched again
                yield Segment.unseal(objects.read(room / name), where=str(room / name))


def require_joined(segments: Sequence[Segment], start: str, end: str) -> None:
    """Whether segments lead from one position to another without a gap.

    :raises ArtifactError: they do not
    """
    reached = start
    for segment in segments:
        if segment.after != reached or segment.start > segment.end:
            raise ArtifactError(f"the binary log has a gap between {reached} and {segment.after}", fix="use another restore point")
        reached = segment.reaches
    if reached != end:
        raise ArtifactError(f"the binary log reaches {reached}, and the restore point is at {end}", fix="use another restore point")

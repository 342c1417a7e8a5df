"""One node's files, brought to the node beside what is live there and verified, while Cassandra runs.

What an earlier try has brought and still is what it should be is not fetched again.
"""

from __future__ import annotations

import posixpath
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midtime.catalog.artifacts import chunks
from midtime.errors import AlteredArtifactError, StagingSpaceError
from midtime.stores.base import Say
from midtime.stores.cassandra.listing import SnapshotFile
from midtime.stores.cassandra.nodes import files
from midtime.stores.cassandra.nodes.base import Node
from midtime.stores.cassandra.swapping import OWN_ALONE

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

RESERVE = 1 << 28
"""Bytes that a file system keeps: the cluster goes on writing meanwhile."""
_ROOM = f"""
owner=$1; shift
{OWN_ALONE}
for folder; do
    make_folder "$folder"
    stat -c %d -- "$folder"
done
"""
_NOT_DATA = ("manifest.json", "schema.cql")
"""Written beside a table's files by the snapshot, for people."""
LOCAL = ("system/", "system_schema/")
"""Begin the paths of a node's own tables."""
Place = tuple[str, str]
"""A folder, and the path of a file below it."""


@dataclass(frozen=True, slots=True)
class Staging:
    """Where one node's files are brought.

    :param roots: one folder in each data directory; SSTables are spread over them, all components of one into the same
    :param streams: files that are fetched at once
    :param system_root: that of the directory where the node has its own tables, if it has one for these alone
    :param distrust: is told the name of content that was altered
    """

    node: Node
    roots: tuple[str, ...]
    pool: ObjectStoragePath
    owner: str | None
    streams: int
    system_root: str = ""
    distrust: Callable[[str], object] = lambda _: None

    @property
    def all_roots(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys([*self.roots, self.system_root or self.roots[0]]))

    def bring(self, listed: Sequence[SnapshotFile], say: Say) -> None:
        """Bring all files, whole; afterwards nothing else is there.

        :raises ArtifactError: content is missing, truncated or altered
        :raises StagingSpaceError: a disk has no room
        """
        wanted = {self._place(file): file for file in listed if posixpath.basename(file.path) not in _NOT_DATA}
        missing = self._missing(wanted)
        size = sum(file.size for file in missing.values())
        self._require_room(missing)
        say(f"node {self.node.label}: {len(missing)} of {len(wanted)} files are fetched, {size:,} bytes")
        self._fetch(missing)
        say(f"node {self.node.label}: {len(wanted)} files are there, their SHA-256 as in the listing")

    def _place(self, file: SnapshotFile) -> Place:
        folder, name = posixpath.split(file.path)
        if file.path.startswith(LOCAL):  # since 4.1 the node looks for them nowhere else
            return self.system_root or self.roots[0], file.path
        family = f"{folder}/{'-'.join(name.split('-')[:3])}"
        return self.roots[zlib.crc32(family.encode()) % len(self.roots)], file.path

    def _missing(self, wanted: Mapping[Place, SnapshotFile]) -> dict[Place, SnapshotFile]:
        """What is not there as it should be. Files that nobody wants show that all of it is another's: then everything goes."""
        seen = {(file.root, file.path): file.size for file in files.find(self.node, self.all_roots)}
        if {place for place in seen if not place[1].startswith(".midtime_")} - wanted.keys():
            for root in self.all_roots:
                files.remove_tree(self.node, root)
            return dict(wanted)
        whole = set(self._whole([place for place, file in wanted.items() if seen.get(place) == file.size], wanted))
        return {place: file for place, file in wanted.items() if place not in whole}

    def _whole(self, places: Iterable[Place], wanted: Mapping[Place, SnapshotFile]) -> Iterator[Place]:
        by_root: dict[str, list[str]] = {}
        for root, path in places:
            by_root.setdefault(root, []).append(path)
        for root, paths in by_root.items():
            size = sum(wanted[root, path].size for path in paths)
            found = files.hashes(self.node, root, paths, jobs=self.streams, size=size)
            yield from ((root, path) for path in paths if found[path] == wanted[root, path].sha256)

    def _require_room(self, missing: Mapping[Place, SnapshotFile]) -> None:
        folders = [posixpath.dirname(root) for root in self.all_roots]
        devices = self.node.shell(_ROOM, self.owner or "", *folders).split()
        for device in dict.fromkeys(devices):
            mine = [root for root, each in zip(self.all_roots, devices, strict=True) if each == device]
            needed = sum(file.size for (root, _), file in missing.items() if root in mine)
            free = files.free_bytes(self.node, posixpath.dirname(mine[0]))
            if needed and free < needed + RESERVE:
                raise StagingSpaceError(
                    f"node {self.node.label}: {posixpath.dirname(mine[0])} has {free:,} bytes free, {needed + RESERVE:,} are needed",
                    fix="make room there: what is restored stands beside what is live",
                )

    def _fetch(self, missing: Mapping[Place, SnapshotFile]) -> None:
        shares = list(_shares(missing, self.streams))
        with ThreadPoolExecutor(max(1, len(shares)), thread_name_prefix="staging") as pool:
            running = [pool.submit(self._fetch_share, root, share) for root, share in shares]
        for each in running:
            each.result()

    def _fetch_share(self, root: str, share: Sequence[tuple[str, SnapshotFile]]) -> None:
        files.take_in(self.node, root, ((path, file.size, self._content(file)) for path, file in share), self.owner)

    def _content(self, file: SnapshotFile) -> Iterator[bytes]:
        try:
            yield from chunks(file.pooled, self.pool)
        except AlteredArtifactError:
            self.distrust(file.content)
            raise


def _shares(missing: Mapping[Place, SnapshotFile], streams: int) -> Iterator[tuple[str, list[tuple[str, SnapshotFile]]]]:
    """The files of each root, dealt out so that no stream has much more than another."""
    for root in dict.fromkeys(root for root, _ in missing):
        mine = sorted(((path, file) for (each, path), file in missing.items() if each == root), key=lambda one: one[1].size, reverse=True)
        for number in range(min(streams, len(mine))):
            yield root, mine[number::streams]

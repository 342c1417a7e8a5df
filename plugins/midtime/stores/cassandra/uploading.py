"""The upload of one node's snapshot: only what the pool does not have yet is read, and only what it lacks is sent.

SSTables never change. A file that an earlier backup listed with the same path, size, inode and time on the same node has the content that
it had then; it is not read again as long as the pool has that content. Everything else is hashed on the node. Snapshots are hard links:
what Cassandra compacts away meanwhile stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, islice

from midtime.catalog import Catalog, Entry, artifacts
from midtime.catalog.pool import Pool
from midtime.errors import CatalogError, CopyError, ToolError
from midtime.model.restore_point import LISTINGS, StoreBackup
from midtime.stores.base import Say
from midtime.stores.cassandra.listing import LISTING, MUTABLE, NodeListing, SnapshotFile
from midtime.stores.cassandra.nodes import files
from midtime.stores.cassandra.nodes.base import Node
from midtime.stores.cassandra.nodes.files import FileSeen
from midtime.stores.cassandra.sending import Hashed, Progress, Sender, Throttle

SNAPSHOTS, MANIFEST = "snapshots", "manifest.json"
OF_EACH_SNAPSHOT = (MANIFEST, "schema.cql")
"""Files that Cassandra writes anew for each snapshot of a table, perhaps one in each data directory."""
HASH_FILES, HASH_BYTES = 2000, 16 << 30
"""At most so much is hashed between two lines of progress."""
EARLIER = 5
"""Restore points among which an earlier listing of the node is looked for."""

Identity = tuple[str, int, int, int]


@dataclass(frozen=True, slots=True)
class Source:
    """One node's snapshot."""

    node: Node
    host_id: str
    tag: str
    data: tuple[str, ...]
    """The data directories."""

    @property
    def subject(self) -> str:
        """For people."""
        return f"node {self.node.label}"


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What became of it."""

    listing: NodeListing
    sent_files: int
    sent_bytes: int


def upload_node(
    source: Source,
    pool: Pool,
    known_files: Mapping[Identity, str],
    *,
    uploads: int,
    throttle: int | None,
    say: Say,
    tables: Iterable[str] = (),
) -> Uploaded:
    """Bring all content of a snapshot into the pool. Killed and called again, it sends only what is not there yet.

    :param pool: of the store; the backup lease is held by this run
    :param known_files: what :func:`remembered` says
    :param uploads: streams at once
    :param throttle: bytes a second, over all streams
    :param tables: ``keyspace/table-id`` of all that was proven to be in it
    :raises ToolError: the snapshot is not there (any more)
    :raises CopyError: a file was changed meanwhile, or a part of the snapshot is gone
    """
    seen = see(source)
    known = pool.known()
    with _still_there(source, seen):
        _require_whole(source, seen, tables)
        hashed = _hashed(source, seen, known_files, known, say)
        missing = {(sha256, seen[path].size): Hashed(seen[path], sha256) for path, sha256 in hashed.items()}
        missing = {content: file for content, file in missing.items() if content not in known}
        total = sum(size for _, size in missing)
        progress = Progress(source.subject, len(missing), total, say)
        sender = Sender(source.node, pool, uploads=uploads, throttle=Throttle(throttle), progress=progress)
        names = known | sender.send(missing.values())
    progress.tell()
    listed = tuple(_listed(path, seen[path], sha256, names) for path, sha256 in sorted(hashed.items()))
    listing = NodeListing(store=pool.store, label=source.node.label, host_id=source.host_id, tag=source.tag, files=listed)
    return Uploaded(listing, len(missing), total)


def remembered(catalog: Catalog, store: str, label: str, host_id: str) -> dict[Identity, str]:
    """The content of immutable files by what identifies them, as the newest restore point has it that lists this node; a damaged one is none."""
    for entry in islice(catalog.entries(), EARLIER):
        for backup in entry.restore_point.stores if entry.restore_point else ():
            if backup.store == store and (found := _earlier(catalog, entry, backup, label)) and found.host_id == host_id:
                return {file.identity: file.sha256 for file in found.files if not file.mutable}
    return {}


def see(source: Source) -> dict[str, FileSeen]:
    """The files of a snapshot by their paths in the listing, ``keyspace/table-id/[.index/]name``.

    :raises ToolError: there is none of them
    :raises CopyError: two different SSTables claim to be the same
    """
    found: dict[str, FileSeen] = {}
    for file in files.find(source.node, source.data, "-path", f"*/{SNAPSHOTS}/{source.tag}/*"):
        if path := _listed_path(file.path, source.tag):
            _require_same(source, path, found.setdefault(path, file), file)
    if not found:
        raise _cleared(source)
    return found


def _listed_path(path: str, tag: str) -> str | None:
    """None for what only looks like a part of the snapshot, such as a table called ``snapshots``."""
    parts = path.split("/")
    return "/".join([*parts[:2], *parts[4:]]) if len(parts) > 4 and parts[2:4] == [SNAPSHOTS, tag] else None


def _require_same(source: Source, path: str, first: FileSeen, other: FileSeen) -> None:
    if other is first or path.rpartition("/")[2] in OF_EACH_SNAPSHOT:
        return
    one, two = (files.hashes(source.node, file.root, [file.path], size=file.size)[file.path] for file in (first, other))
    if one != two:
        raise CopyError(
            f"{source.subject}: {path} lies in {first.root} and in {other.root}, with different content",
            fix="find out which of the two Cassandra uses, and remove the other one",
        )


def _require_whole(source: Source, seen: Mapping[str, FileSeen], tables: Iterable[str]) -> None:
    """Whether all is there that the snapshot's own manifests name: a disk that is not mounted any more looks like an empty folder."""
    manifests = sorted({*(f"{table}/{MANIFEST}" for table in tables), *(path for path in seen if path.endswith(f"/{MANIFEST}"))})
    if lost := [path for path in manifests if path not in seen]:
        raise _incomplete(source, lost)
    sent = b"".join(f"{seen[path].root}/{seen[path].path}".encode() + b"\0" for path in manifests)
    said = source.node.output(["xargs", "-0", "-r", "cat", "--"], sent=sent, timeout=files.WALK)
    for path in manifests:
        own, said = said[: seen[path].size], said[seen[path].size :]
        try:
            named = json.loads(own)["files"]
        except (ValueError, KeyError, TypeError) as error:
            raise CopyError(
                f"{source.subject}: {path} of snapshot {source.tag} cannot be read ({error})", fix="start a new backup"
            ) from error
        if lost := [name for each in named if (name := f"{path.removesuffix(MANIFEST)}{each}") not in seen]:
            raise _incomplete(source, lost)


def _incomplete(source: Source, lost: Sequence[str]) -> CopyError:
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return CopyError(
        f"{source.subject}: snapshot {source.tag} lacks {lost[0]}{more}",
        fix="see whether all data directories are mounted, and named in `directories.data`; then start a new backup",
    )


def _hashed(
    source: Source, seen: Mapping[str, FileSeen], known_files: Mapping[Identity, str], known: Mapping[tuple[str, int], str], say: Say
) -> dict[str, str]:
    """The SHA-256 of every file by its path; read on the node where it is not known."""
    found = {}
    for path, file in seen.items():
        sha256 = known_files.get((path, file.size, file.inode, file.mtime_ns))
        if sha256 and not path.endswith(MUTABLE) and (sha256, file.size) in known:
            found[path] = sha256
    unread = [(path, file) for path, file in seen.items() if path not in found]
    for portion in _portions(unread):
        size = sum(file.size for _, file in portion)
        say(f"{source.subject}: reads {len(portion):,} files, {size:,} bytes")
        hashes = files.hashes(source.node, portion[0][1].root, [file.path for _, file in portion], size=size)
        found |= {path: hashes[file.path] for path, file in portion}
    return found


def _portions(unread: Sequence[tuple[str, FileSeen]]) -> Iterator[list[tuple[str, FileSeen]]]:
    for _, of_root in groupby(sorted(unread, key=lambda each: (each[1].root, each[0])), lambda each: each[1].root):
        portion, size = list[tuple[str, FileSeen]](), 0
        for path, file in of_root:
            if portion and (len(portion) >= HASH_FILES or size + file.size > HASH_BYTES):
                yield portion
                portion, size = [], 0
            portion.append((path, file))
            size += file.size
        yield portion


def _listed(path: str, file: FileSeen, sha256: str, names: Mapping[tuple[str, int], str]) -> SnapshotFile:
    content = names[sha256, file.size]
    return SnapshotFile(path=path, size=file.size, sha256=sha256, content=content, inode=file.inode, mtime_ns=file.mtime_ns)


def _earlier(catalog: Catalog, entry: Entry, backup: StoreBackup, label: str) -> NodeListing | None:
    path = f"{backup.store}/{label}/{LISTING}"
    found = [each for each in backup.artifacts if each.path == path and path in backup.details.get(LISTINGS, ())]
    try:
        return NodeListing.unseal(artifacts.read(found[0], catalog.folder(entry.id)), where=path) if found else None
    except CatalogError:
        return None


@contextmanager
def _still_there(source: Source, seen: Mapping[str, FileSeen]) -> Iterator[None]:
    try:
        yield
    except (ToolError, CopyError) as error:
        if not see(source).keys() >= seen.keys():
            raise _cleared(source) from error
        raise


def _cleared(source: Source) -> ToolError:
    return ToolError(
        f"{source.subject}: snapshot {source.tag} is not there (any more): somebody cleared it, or its time was over",
        fix="start a new backup; give `snapshot_ttl` more time if that is why",
    )

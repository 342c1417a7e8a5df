"""Base backups: streamed by ``pg_basebackup`` into the destination without touching the worker's disk, and looked at on the way."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from midtime.catalog.artifacts import new_artifact
from midtime.catalog.bases import Base, Bases
from midtime.errors import CopyError, MidtimeError
from midtime.model.instants import utc_now
from midtime.stores import compression
from midtime.stores.base import Say
from midtime.stores.postgresql.connections import tool_environment
from midtime.stores.postgresql.server import Session, version_text
from midtime.stores.postgresql_pitr import checks
from midtime.stores.postgresql_pitr.archive import gap_since
from midtime.stores.postgresql_pitr.checks import Identity
from midtime.stores.postgresql_pitr.programs import BackupClient
from midtime.stores.postgresql_pitr.wal import Span, parse_lsn
from midtime.stores.processes import read_output, streaming_tool

FILE = "base.tar"
AUTO = "gzip:1"
"""What ``compression: auto`` means here: a base is as large as the cluster, and a worker has one core for it."""
SILENCE = 900.0
"""Seconds for which ``pg_basebackup`` may write nothing: a checkpoint before its first byte, and archiving after its last."""
_BLOCK = 1 << 20
_LABEL, _MANIFEST = "backup_label", "backup_manifest"


@dataclass(frozen=True, slots=True)
class Request:
    """How a base is to be taken."""

    client: BackupClient
    compression: str
    """The topology's."""


def span_of(base: Base) -> Span:
    """What a recovery from a base needs at least: from its first byte to where it is consistent."""
    return Span.from_dict(base.details["wal"])


def usable(bases: Bases, now: Identity, sizes: Mapping[str, int], say: Say) -> Base | None:
    """The newest base from which a point that is made now can be reached; why others cannot is told.

    :param sizes: the archive's listing
    """
    for base in bases.usable():
        if not (why := _useless(base, now, sizes)):
            return base
        say(f"base {base.id} cannot be used: {why}")
    return None


def _useless(base: Base, now: Identity, sizes: Mapping[str, int]) -> str:
    span = span_of(base)
    if base.details["system_identifier"] != now.system:
        return "it is of another cluster"
    if (span.timeline, span.segment_size) != (now.timeline, now.segment_size):
        return f"it is of timeline {span.timeline}, the server writes timeline {now.timeline}"
    gap = gap_since(span, sizes)
    return f"the archive lacks {gap}, which a recovery from it would need" if gap else ""


def take(bases: Bases, session: Session, request: Request, say: Say) -> Base:
    """Take a base and publish it. When this returns, the archive holds all WAL that makes it consistent.

    :raises CopyError: ``pg_basebackup`` failed, or what came is not whole
    """
    started, began, before = time.monotonic(), utc_now(), checks.identity(session)
    checks.check_primary(session)
    method, level = compression.choose(request.compression, auto=AUTO)
    with bases.taking(f"{socket.gethostname()}") as (base_id, folder):
        say(f"taking base {base_id}")
        with new_artifact(folder, FILE + compression.suffix(method)) as writer:
            packed = compression.compressor(method, level)
            argv: list[str | Path] = [request.client.path, "--pgdata=-", "--format=tar", "--wal-method=none", "--checkpoint=fast"]
            argv += ["--no-password", f"--label=midtime {base_id}", "--verbose"]
            with streaming_tool(argv, env=tool_environment(session), failed=_failed, stdout=subprocess.PIPE) as process:
                found = read_base(read_output(process, silence=SILENCE), lambda chunk: writer.write(packed.compress(chunk)))
                writer.write(packed.flush())
        if (
            (after := checks.identity(session)).system != before.system
            or found.timeline != before.timeline
            or after.timeline != before.timeline
        ):
            raise CopyError("the server was replaced or promoted while its base was taken", fix="run the backup again")
        base = Base(
            id=base_id,
            topology=bases.catalog.topology,
            store=bases.store,
            engine="postgresql",
            taken_at=began,
            server=version_text(session),
            client=request.client.version_text,
            seconds=round(time.monotonic() - started, 3),
            artifacts=(writer.artifact,),
            details={
                "wal": Span(found.timeline, found.start, found.end, before.segment_size).to_dict(),
                "system_identifier": before.system,
                "major": session.info.server_version // 10000,
                "compression": method,
                "bytes": found.size,
                "files": found.files,
                "settings": checks.settings(session),
            },
        )
        bases.publish(base)
    say(f"base {base_id}: {found.files} files, {found.size:,} bytes, {base.size:,} stored, in {base.seconds:.1f} s")
    return base


def _failed(tail: str) -> MidtimeError:
    return CopyError(f"pg_basebackup failed:\n{tail}", fix="read its last lines above; the next run starts afresh")


@dataclass(frozen=True, slots=True)
class Found:
    """What a base backup says of itself."""

    timeline: int
    start: int
    end: int
    size: int
    """Bytes of the tar archive."""
    files: int


def read_base(chunks: Iterator[bytes], sink: Callable[[bytes], object]) -> Found:
    """Pass a base backup on, and read on the way what its manifest says; every file that it names must be there, as long as it says.

    :param chunks: a tar archive with a backup manifest
    :param sink: gets every byte of it
    :raises CopyError: it is no such archive, or not all of one
    """
    stream, kept, lengths = _Stream(chunks, sink), dict[str, bytes](), dict[str, int]()
    try:
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|", bufsize=_BLOCK) as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isfile():
                    lengths[name] = member.size
                if name in (_LABEL, _MANIFEST) and (content := archive.extractfile(member)):
                    kept[name] = content.read()
    except tarfile.TarError as error:
        with suppress(CopyError):
            stream.drain()  # a tool that failed has more to say than the archive that it broke
        raise CopyError(f"pg_basebackup wrote no whole tar archive: {error}", fix="run the backup again") from error
    stream.drain()
    return _described(kept.get(_MANIFEST), lengths, stream.size)


def _described(manifest: bytes | None, lengths: Mapping[str, int], size: int) -> Found:
    try:
        body: dict[str, Any] = json.loads(manifest or b"")
        ranges = body["WAL-Ranges"]
        files = {each["Path"]: each["Size"] for each in body["Files"] if "Path" in each}
        (only,) = ranges
        timeline, start, end = only["Timeline"], parse_lsn(only["Start-LSN"]), parse_lsn(only["End-LSN"])
    except (ValueError, KeyError, TypeError) as error:
        raise CopyError(f"the base backup has no manifest that can be read ({error!r})", fix="run the backup again") from error
    if wrong := [path for path, length in files.items() if lengths.get(path) != length]:
        raise CopyError(f"the base backup lacks {wrong[0]}, or holds only a part of it ({len(wrong)} files)", fix="run the backup again")
    return Found(timeline, start, end, size, len(files))


class _Stream(io.RawIOBase):
    """Chunks as a file to read from, each handed on when it is taken."""

    def __init__(self, chunks: Iterator[bytes], sink: Callable[[bytes], object]) -> None:
        self._chunks, self._sink, self._rest, self.size = chunks, sink, b"", 0

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes; none at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
            self.size += len(self._rest)
            self._sink(self._rest)
        taken, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return taken

    def drain(self) -> None:
        """What comes behind the archive's end."""
        while self.read(_BLOCK):
            pass

"""The way of a dump: through the scanner that counts it and the compressor into the object store, and back. Nothing stands on disk plainly."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import PIPE

from midtime.catalog.artifacts import ArtifactWriter
from midtime.errors import CopyError
from midtime.stores import compression
from midtime.stores.base import Say
from midtime.stores.mysql import tools
from midtime.stores.mysql.capture import Snapshot
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql.stream import DumpScanner, lines, renamed
from midtime.stores.processes import streaming_tool

QUEUED = 8
"""Chunks (of a megabyte at most) between the scanner and the compressor; what bounds memory."""


class Packer(threading.Thread):
    """Compresses and writes on a thread of its own: zlib, SHA-256 and the object store let the scanner run meanwhile."""

    def __init__(self, writer: ArtifactWriter, method: str, level: int) -> None:
        super().__init__(name="pack", daemon=True)
        self.writer = writer
        self.compressor = compression.compressor(method, level)
        self.chunks: queue.Queue[bytes | None] = queue.Queue(QUEUED)
        self.error: BaseException | None = None

    def run(self) -> None:
        """Work until the end of the stream; after an error only drain it."""
        given = iter(self.chunks.get, None)
        try:
            for chunk in given:
                self._write(self.compressor.compress(chunk))
            self._write(self.compressor.flush())
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that feeds us, which must not wait for room in the queue
            self.error = error
            for _ in given:
                pass

    def _write(self, packed: bytes) -> None:
        if packed:
            self.writer.write(packed)

    def put(self, chunk: bytes) -> None:
        """Hand over one chunk.

        :raises Exception: what the object store raised for an earlier one
        """
        if self.error is not None:
            raise self.error
        self.chunks.put(chunk)

    def finish(self) -> None:
        """Wait until all is written."""
        self.chunks.put(None)
        self.join()
        if self.error is not None:
            raise self.error


def copy(snapshot: Snapshot, writer: ArtifactWriter, *, method: str, level: int, say: Say) -> DumpScanner:
    """Read a dump to its end: counted, digested, compressed, stored.

    :raises CopyError: it is not whole, or is no dump as we know it
    """
    scanner = DumpScanner(snapshot.keys)
    packer = Packer(writer, method, level)
    packer.start()
    try:
        begun = 0
        for found in lines(_tee(snapshot.chunks, packer)):
            scanner.feed(found)
            if len(scanner.tallies) > begun:
                begun = len(scanner.tallies)
                say(f"dumping table {begun} of {len(snapshot.details['shapes'])}: {'.'.join(list(scanner.tallies)[-1])}")
    finally:
        packer.finish()
    if not scanner.complete:
        raise CopyError("the dump has no end: the client stopped early", fix="check the server's log; the next run starts afresh")
    return scanner


def _tee(chunks: Iterator[bytes], packer: Packer) -> Iterator[bytes]:
    for chunk in chunks:
        packer.put(chunk)
        yield chunk


def load(path: Path, method: str, session: Session, clients: tools.Clients, databases: Mapping[str, str]) -> None:
    """Let a client execute a stored dump under other database names.

    :raises RestoreFailedError: a statement failed
    :raises ArtifactError: the file is no whole dump
    """
    command = tools.restore_command(clients, session.login)
    with streaming_tool(command, env=tools.environment(session.login), failed=tools.restore_failed, stdin=PIPE) as process:
        assert process.stdin is not None  # noqa: S101 - for the type checker: we asked for a pipe
        for text in renamed(lines(compression.decompressed(path, method)), databases):
            process.stdin.write(text)

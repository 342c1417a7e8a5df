"""Compression of a stream while it passes, for stores whose dump client cannot do it itself."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from midtime.errors import ArtifactError, ToolError

CHUNK = 1 << 20
_PIECE = 8 << 20
_GZIP = 31
"""zlib's window bits for a gzip header and trailer."""


class Compressor(Protocol):
    """What zlib gives."""

    def compress(self, data: bytes, /) -> bytes:
        """Take some bytes, give those that are packed."""

    def flush(self) -> bytes:
        """Give the rest."""


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def choose(wanted: str, *, auto: str = "gzip:6") -> tuple[str, int]:
    """(method, level) of a topology's ``compression``.

    :param auto: what ``auto`` means to an engine: gzip, which every Python and every machine can read
    :raises ToolError: only ``pg_dump`` can do this one
    """
    method, _, level = (auto if wanted == "auto" else wanted).partition(":")
    if method not in ("gzip", "none"):
        raise ToolError(f"this engine cannot compress with {method}", fix="set compression: auto, gzip (with a level: gzip:1) or none")
    return method, int(level or 6)


def suffix(method: str) -> str:
    """What a compressed file's name ends with."""
    return ".gz" if method == "gzip" else ""


def compressor(method: str, level: int) -> Compressor:
    """One stream's compressor."""
    return zlib.compressobj(level, zlib.DEFLATED, _GZIP) if method == "gzip" else _Plain()


def decompressed(path: Path, method: str) -> Iterator[bytes]:
    """A compressed file's content, chunk by chunk.

    :raises ArtifactError: it ends too early, or is no such stream
    """
    with path.open("rb") as file:
        chunks = iter(lambda: file.read(CHUNK), b"")
        yield from _gunzipped(chunks, path.name) if method == "gzip" else chunks


def _gunzipped(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(_GZIP)
    for chunk in chunks:
        while chunk:
            if decompressor.eof:
                raise ArtifactError(f"{name} goes on behind the end of its gzip stream", fix="use another restore point")
            try:
                yield decompressor.decompress(chunk, _PIECE)  # so much at most: zeros would unfold to a thousand times their size
            except zlib.error as error:
                raise ArtifactError(f"{name} is no gzip stream: {error}", fix="use another restore point") from error
            chunk = decompressor.unconsumed_tail or decompressor.unused_data
    if not decompressor.eof:
        raise ArtifactError(f"{name} ends in the middle of its gzip stream", fix="use another restore point")

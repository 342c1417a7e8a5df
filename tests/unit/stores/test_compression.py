"""Compression on the way: what comes back is what went in, or an error."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import ArtifactError, ToolError
from midtime.stores.compression import _PIECE, choose, compressor, decompressed, suffix


def packed(data: list[bytes], method: str = "gzip", level: int = 6) -> bytes:
    found = compressor(method, level)
    return b"".join(map(found.compress, data)) + found.flush()


def unpacked(folder: Path, data: bytes, method: str = "gzip") -> bytes:
    (folder / "dump.sql.gz").write_bytes(data)
    return b"".join(decompressed(folder / "dump.sql.gz", method))


@given(st.lists(st.binary()), st.sampled_from(["gzip", "none"]), st.integers(1, 9))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, data: list[bytes], method: str, level: int) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert unpacked(folder, packed(data, method, level), method) == b"".join(data)


def test_every_machine_can_read_it() -> None:
    assert gzip.decompress(packed([b"some", b"thing"])) == b"something"
    assert suffix("gzip") == ".gz"
    assert suffix("none") == ""


@pytest.mark.parametrize("end", [0, 1, 10, -1, -8, -9])
def test_cut_short(tmp_path: Path, end: int) -> None:
    data = packed([b"x" * 100_000])
    with pytest.raises(ArtifactError, match=r"dump\.sql\.gz ends in the middle"):
        unpacked(tmp_path, data[:end])


@pytest.mark.parametrize("more", [b"\0", b"garbage", packed([b"another one"])])
def test_what_stands_behind_the_end(tmp_path: Path, more: bytes) -> None:
    """A second stream left unread would be rows left out."""
    with pytest.raises(ArtifactError, match="goes on behind the end"):
        unpacked(tmp_path, packed([b"x"]) + more)


@pytest.mark.parametrize("data", [b"no gzip at all", packed([b"x" * 1000])[:10] + b"\xff" * 50, zlib.compress(b"other wrapping")])
def test_no_such_stream(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ArtifactError, match="is no gzip stream"):
        unpacked(tmp_path, data)


def test_a_flipped_bit(tmp_path: Path) -> None:
    data = bytearray(packed([bytes(range(256)) * 100]))
    data[-6] ^= 1  # of the checksum
    with pytest.raises(ArtifactError):
        unpacked(tmp_path, bytes(data))


def test_zeros_unfold_piece_by_piece(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(packed([bytes(1 << 20)] * 100))
    sizes = [len(piece) for piece in decompressed(tmp_path / "bomb", "gzip")]
    assert sum(sizes) == 100 << 20
    assert max(sizes) <= _PIECE


@pytest.mark.parametrize(("wanted", "chosen"), [("auto", ("gzip", 6)), ("gzip:1", ("gzip", 1)), ("none", ("none", 6))])
def test_choice(wanted: str, chosen: tuple[str, int]) -> None:
    assert choose(wanted) == chosen


@pytest.mark.parametrize("wanted", ["zstd", "lz4", "zstd:3"])
def test_what_only_pg_dump_can(wanted: str) -> None:
    with pytest.raises(ToolError, match=wanted.split(":")[0]):
        choose(wanted)

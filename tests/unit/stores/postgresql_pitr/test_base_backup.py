"""A base backup on its way: everything is passed on, and what is not whole is refused."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import CopyError
from midtime.stores.postgresql_pitr.base_backup import Found, read_base

FILES = {"backup_label": b"START", "PG_VERSION": b"18\n", "global/pg_control": b"x" * 8192, "base/1/2": b"y" * 100_000}


def manifest(files: dict[str, bytes], **changes: object) -> bytes:
    body: dict[str, object] = {
        "PostgreSQL-Backup-Manifest-Version": 2,
        "Files": [{"Path": name, "Size": len(content)} for name, content in files.items()],
        "WAL-Ranges": [{"Timeline": 3, "Start-LSN": "0/2000028", "End-LSN": "0/2000120"}],
    }
    return json.dumps(body | changes).encode()


def tar(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return target.getvalue()


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def read(content: bytes, *, size: int = 7000) -> tuple[Found, bytes]:
    passed = bytearray()
    return read_base(pieces(content, size), passed.extend), bytes(passed)


@given(st.integers(1, 200_000), st.integers(0, 30_000))
def test_every_byte_is_passed_on_whatever_the_pieces(size: int, behind: int) -> None:
    whole = tar({**FILES, "backup_manifest": manifest(FILES)}) + b"\0" * behind
    found, passed = read(whole, size=max(size, 500))
    assert passed == whole
    assert found == Found(3, 0x2000028, 0x2000120, len(whole), len(FILES))


def test_a_file_that_the_manifest_does_not_name_is_no_trouble() -> None:
    assert read(tar({**FILES, "tablespace_map": b"", "backup_manifest": manifest(FILES)}))[0].files == len(FILES)


@pytest.mark.parametrize("name", list(FILES))
def test_a_file_that_is_missing_or_short(name: str) -> None:
    said = manifest(FILES)
    without = {each: content for each, content in FILES.items() if each != name}
    for files in (without, {**FILES, name: FILES[name][:-1]}):
        with pytest.raises(CopyError, match=name):
            read(tar({**files, "backup_manifest": said}))


@pytest.mark.parametrize(
    "said",
    [b"", b"{", b"[]", manifest(FILES, **{"WAL-Ranges": []}), manifest(FILES, Files=None),
     manifest(FILES, **{"WAL-Ranges": [{"Timeline": 1, "Start-LSN": "x", "End-LSN": "0/1"}]})],
)  # fmt: skip
def test_no_manifest_that_can_be_read(said: bytes) -> None:
    with pytest.raises(CopyError, match="no manifest"):
        read(tar({**FILES, "backup_manifest": said}))


def test_no_manifest_at_all() -> None:
    with pytest.raises(CopyError, match="no manifest"):
        read(tar(FILES))


@pytest.mark.parametrize("keep", [0, 100, 700, 50_000, -20_000])
def test_an_archive_that_breaks_off(keep: int) -> None:
    with pytest.raises(CopyError):
        read(tar({**FILES, "backup_manifest": manifest(FILES)}).rstrip(b"\0")[:keep])

"""A base unpacked: files and folders of a data directory, and nothing that leads out of it."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from midtime.errors import ArtifactError
from midtime.stores.postgresql_pitr.cluster import Cluster, Owner
from midtime.stores.postgresql_pitr.programs import ServerPrograms
from midtime.stores.postgresql_pitr.recovery import unpack
from tests.unit.base_examples import base


def member(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"") -> tuple[tarfile.TarInfo, bytes]:
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname, made.mode = kind, len(content), "/etc/passwd" if kind != tarfile.REGTYPE else "", 0o777
    return made, content


def unpacked(tmp_path: Path, *members: tuple[tarfile.TarInfo, bytes], cut: int | None = None) -> Path:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for each, content in members:
            archive.addfile(each, io.BytesIO(content))
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    (fetched / "base.tar.gz").write_bytes(gzip.compress(target.getvalue()[:cut]))
    owner = Owner(os.geteuid(), os.getegid())
    cluster = Cluster(tmp_path, owner, ServerPrograms(tmp_path / "postgres", tmp_path / "pg_ctl", (18, 6)))
    unpack(cluster, base(details={"compression": "gzip"}), fetched, lambda _: None)
    return cluster.data


def test_files_and_folders(tmp_path: Path) -> None:
    data = unpacked(
        tmp_path, member("./PG_VERSION", content=b"18\n"), member("pg_wal", tarfile.DIRTYPE), member("base/1/2", content=b"x" * 3_000_000)
    )
    assert {path.relative_to(data).as_posix() for path in data.rglob("*")} == {"PG_VERSION", "pg_wal", "base", "base/1", "base/1/2"}
    assert (data / "base/1/2").stat().st_size == 3_000_000
    assert all(path.stat().st_mode & 0o077 == 0 for path in (data, data / "pg_wal", data / "PG_VERSION", data / "base/1/2"))
    assert not (tmp_path / "fetched" / "base.tar.gz").exists()


@pytest.mark.parametrize(
    "bad",
    [member("../x", content=b"x"), member("/tmp/x", content=b"x"), member("a/../../x", content=b"x"),
     member("pg_tblspc/1", tarfile.SYMTYPE), member("x", tarfile.LNKTYPE), member("x", tarfile.CHRTYPE)],
)  # fmt: skip
def test_what_leads_out_of_it(tmp_path: Path, bad: tuple[tarfile.TarInfo, bytes]) -> None:
    with pytest.raises(ArtifactError, match="no file of a data directory"):
        unpacked(tmp_path, bad)
    assert list((tmp_path / "data").iterdir()) == []
    assert not (tmp_path / "x").exists()


def test_one_that_breaks_off(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be unpacked"):
        unpacked(tmp_path, member("base/1/2", content=b"x" * 30_000), cut=10_000)


def test_one_that_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "fetched").mkdir()
    (tmp_path / "fetched" / "base.tar.gz").write_bytes(b"nothing")
    cluster = Cluster(tmp_path, Owner(0, 0), ServerPrograms(tmp_path, tmp_path, (18,)))
    with pytest.raises(ArtifactError):
        unpack(cluster, base(details={"compression": "gzip"}), tmp_path / "fetched", lambda _: None)

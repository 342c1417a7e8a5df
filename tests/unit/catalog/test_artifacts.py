"""Artifacts: what comes back is what went out, or an error that names the file."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midtime.catalog import Catalog, artifacts, objects
from midtime.catalog.artifacts import check_sizes, download, upload, verify
from midtime.errors import ArtifactError, DestinationError, StagingSpaceError
from midtime.model.restore_point import Artifact
from tests.unit.builders import sha256
from tests.unit.catalog.test_objects import files_of_at_most

POINT = "20261121T020007Z-abcdef"
FILES = {
    "toc.dat": b"contents",
    "empty.dat": b"",
    "nested/deep/er.dat": b"1" * 5000,
    "nested/also empty": b"",
    "exactly": b"2" * 2048,
    "names/with blanks, ünïcode and 日本.dat": b"3",
    "names/100%41#x?y=z&+.dat": b"4",
    "names/..hidden": b"5",
}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "CHUNK", 1024)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "source", FILES)


@pytest.fixture
def folder(any_catalog: Catalog) -> Any:
    return any_catalog.folder(POINT)


@pytest.fixture
def stored(source: Path, folder: Any) -> tuple[Artifact, ...]:
    return upload(source, folder, "accounts")


def write(below: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        path = below / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return below


def files(below: Path) -> dict[str, bytes]:
    return {path.relative_to(below).as_posix(): path.read_bytes() for path in below.rglob("*") if path.is_file()}


def alter(path: Any, content: bytes) -> None:
    objects.replace(path, content)


class TestThereAndBack:
    def test_every_byte_of_every_file(self, stored: tuple[Artifact, ...], folder: Any, tmp_path: Path) -> None:
        download(stored, folder, "accounts", tmp_path / "back")
        assert files(tmp_path / "back") == FILES

    def test_says_what_it_wrote(self, stored: tuple[Artifact, ...]) -> None:
        assert [artifact.path for artifact in stored] == sorted(f"accounts/{name}" for name in FILES)
        assert {artifact.path.removeprefix("accounts/"): (artifact.size, artifact.sha256) for artifact in stored} == {
            name: (len(content), sha256(content)) for name, content in FILES.items()
        }

    def test_is_well(self, stored: tuple[Artifact, ...], folder: Any) -> None:
        assert verify(stored, folder) == []
        check_sizes(stored, folder)

    def test_progress_adds_up(self, source: Path, folder: Any, tmp_path: Path) -> None:
        total = sum(map(len, FILES.values()))
        told: list[int] = []
        stored = upload(source, folder, "accounts", progress=told.append)
        assert (sum(told), max(told)) == (total, 1024)
        told.clear()
        download(stored, folder, "accounts", tmp_path / "back", progress=told.append)
        verify(stored, folder, progress=told.append)
        assert sum(told) == 2 * total

    def test_two_stores_side_by_side(self, source: Path, folder: Any, tmp_path: Path) -> None:
        one = upload(source, folder, "accounts")
        other = upload(write(tmp_path / "other", {"toc.dat": b"another"}), folder, "accounts2")
        download(one, folder, "accounts", tmp_path / "one")
        download(other, folder, "accounts2", tmp_path / "two")
        assert files(tmp_path / "one") == FILES
        assert files(tmp_path / "two") == {"toc.dat": b"another"}

    def test_nothing(self, folder: Any, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert upload(tmp_path / "empty", folder, "accounts") == ()
        assert verify((), folder) == []

    @given(sizes=st.lists(st.integers(0, 5000), min_size=1, max_size=6))
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_whatever_the_sizes(self, any_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
        work = tmp_path_factory.mktemp("sizes")
        content = {f"{number}.dat": os.urandom(size) for number, size in enumerate(sizes)}
        folder = any_catalog.root / work.name
        stored = upload(write(work / "source", content), folder, "s")
        download(stored, folder, "s", work / "back")
        assert files(work / "back") == content

    def test_afresh_over_what_an_earlier_try_left(self, stored: tuple[Artifact, ...], folder: Any, tmp_path: Path) -> None:
        write(tmp_path / "back", {"toc.dat": b"longer than it should be: left by a try that died"})
        download(stored, folder, "accounts", tmp_path / "back")
        assert files(tmp_path / "back") == FILES


class TestDamaged:
    @pytest.fixture
    def victim(self, stored: tuple[Artifact, ...]) -> Artifact:
        return next(artifact for artifact in stored if artifact.path.endswith("er.dat"))

    def refused(self, stored: tuple[Artifact, ...], folder: Any, victim: Artifact, tmp_path: Path, message: str) -> None:
        found = verify(stored, folder)
        assert [victim.path in error.message for error in found] == [True], "this one, and no other"
        with pytest.raises(ArtifactError, match=message) as caught:
            download(stored, folder, "accounts", tmp_path / "back")
        assert victim.path in caught.value.message
        assert str(found[0]) == str(caught.value)
        assert not caught.value.retryable

    @pytest.mark.parametrize("kept", [0, 1, 1024, 4999])
    def test_truncated(self, stored: tuple[Artifact, ...], folder: Any, victim: Artifact, tmp_path: Path, kept: int) -> None:
        alter(folder / victim.path, b"1" * kept)
        self.refused(stored, folder, victim, tmp_path, f"has {kept} bytes, its manifest says 5000")
        with pytest.raises(ArtifactError, match=f"has {kept} bytes"):
            check_sizes(stored, folder)

    def test_longer(self, stored: tuple[Artifact, ...], folder: Any, victim: Artifact, tmp_path: Path) -> None:
        alter(folder / victim.path, b"1" * 5001)
        self.refused(stored, folder, victim, tmp_path, "has 5001 bytes")
        with pytest.raises(ArtifactError, match="5001"):
            check_sizes(stored, folder)

    @pytest.mark.parametrize("at", [0, 1023, 1024, 4999])
    @pytest.mark.parametrize("bit", [0x01, 0x80])
    def test_one_bit(self, stored: tuple[Artifact, ...], folder: Any, victim: Artifact, tmp_path: Path, at: int, bit: int) -> None:
        content = bytearray(objects.read(folder / victim.path))
        content[at] ^= bit
        alter(folder / victim.path, bytes(content))
        self.refused(stored, folder, victim, tmp_path, "was altered")
        check_sizes(stored, folder)

    def test_two_chunks_swapped(self, tmp_path: Path, folder: Any) -> None:
        stored = upload(write(tmp_path / "s", {"x": b"a" * 1024 + b"b" * 1024}), folder, "s")
        alter(folder / "s/x", b"b" * 1024 + b"a" * 1024)
        self.refused(stored, folder, stored[0], tmp_path, "was altered")

    def test_missing(self, stored: tuple[Artifact, ...], folder: Any, victim: Artifact, tmp_path: Path) -> None:
        objects.remove_tree(folder / victim.path)
        self.refused(stored, folder, victim, tmp_path, "is missing")
        with pytest.raises(ArtifactError, match="is missing"):
            check_sizes(stored, folder)

    def test_an_empty_one_missing(self, stored: tuple[Artifact, ...], folder: Any, tmp_path: Path) -> None:
        victim = next(artifact for artifact in stored if artifact.path == "accounts/empty.dat")
        objects.remove_tree(folder / victim.path)
        self.refused(stored, folder, victim, tmp_path, "is missing")

    def test_all_of_them(self, stored: tuple[Artifact, ...], folder: Any) -> None:
        objects.remove_tree(folder)
        assert len(verify(stored, folder)) == len(stored)

    def test_every_bad_one_is_named(self, stored: tuple[Artifact, ...], folder: Any) -> None:
        bad = [artifact for artifact in stored if artifact.size][:3]
        for artifact in bad:
            alter(folder / artifact.path, b"?" * artifact.size)
        assert len(verify(stored, folder)) == 3

    def test_files_that_the_manifest_does_not_know_are_left_alone(self, stored: tuple[Artifact, ...], folder: Any, tmp_path: Path) -> None:
        objects.create(folder / "accounts" / "extra.dat", b"?")
        assert verify(stored, folder) == []
        check_sizes(stored, folder)
        download(stored, folder, "accounts", tmp_path / "back")
        assert files(tmp_path / "back") == FILES


class TestFullDisks:
    def test_staging_full(self, stored: tuple[Artifact, ...], folder: Any, tmp_path: Path) -> None:
        """The last write that fits is a short one, without an error: taken for whole, the file would end there unnoticed."""
        with files_of_at_most(4500), pytest.raises(StagingSpaceError, match=r"er\.dat") as caught:
            download(stored, folder, "accounts", tmp_path / "back")
        assert "MIDTIME_STAGING" in caught.value.fix

    def test_staging_that_writes_little_at_a_time(self, folder: Any, stored: tuple[Artifact, ...]) -> None:
        class Slow:
            name = "slow"
            written = b""

            def write(self, chunk: bytes) -> int:
                self.written += bytes(chunk[:700])
                return min(len(chunk), 700)

        writer = Slow()
        artifacts._staging_sink(writer)(b"ab" * 800)  # type: ignore[arg-type]
        assert writer.written == b"ab" * 800

    def test_destination_full(self, source: Path, catalog: Catalog) -> None:
        with files_of_at_most(4500), pytest.raises(DestinationError, match=r"cannot write .*er\.dat"):
            upload(source, catalog.folder(POINT), "accounts")

    def test_a_source_that_goes_away_is_not_an_artifact(self, source: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        (source / "dangling").symlink_to("/nowhere")
        assert "accounts/dangling" not in {artifact.path for artifact in upload(source, catalog.folder(POINT), "accounts")}


class TestMemory:
    def test_does_not_grow_with_the_file(self, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(artifacts, "CHUNK", 1 << 20)
        (tmp_path / "source").mkdir()
        with (tmp_path / "source" / "big").open("wb") as file:
            file.truncate(64 << 20)
        folder = catalog.folder(POINT)
        tracemalloc.start()
        try:
            stored = upload(tmp_path / "source", folder, "s")
            assert verify(stored, folder) == []
            download(stored, folder, "s", tmp_path / "back")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert stored[0].size == 64 << 20
        assert peak < 8 << 20

"""The WAL archive: what is there, what is lacking, and what must not be taken for a segment."""

from __future__ import annotations

from pathlib import Path

import pytest

from midtime.errors import ArtifactError, DestinationAccessError
from midtime.stores.postgresql_pitr.archive import Archive, gap_since, judge
from midtime.stores.postgresql_pitr.wal import Span

MB = 1 << 20
SPAN = Span(2, 3 * MB + 40, 6 * MB, MB)
NAMES = list(SPAN.names())


def sizes(*without: int, size: int = MB) -> dict[str, int]:
    return {name: size for place, name in enumerate(NAMES) if place not in without}


class TestRestorable:
    def test_with_all_of_them(self) -> None:
        assert len(NAMES) == 3
        assert judge(SPAN, sizes(), plain=True).ready

    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_not_without_one(self, place: int) -> None:
        found = judge(SPAN, sizes(place), plain=True)
        assert not found.ready
        assert NAMES[place] in found.detail

    def test_tells_a_gap_from_what_is_not_there_yet(self) -> None:
        assert f"although it holds {NAMES[2]}" in judge(SPAN, sizes(1), plain=True).detail
        assert f"the newest that it holds is {NAMES[1]}" in judge(SPAN, sizes(2), plain=True).detail
        assert "is none" in judge(SPAN, {}, plain=True).detail

    def test_not_with_a_truncated_one(self) -> None:
        found = judge(SPAN, {**sizes(), NAMES[1]: MB - 1}, plain=True)
        assert not found.ready
        assert f"{NAMES[1]} has {MB - 1} bytes" in found.detail

    def test_another_timelines_segments_do_not_count(self) -> None:
        assert not judge(SPAN, {name.replace("00000002", "00000001", 1): MB for name in NAMES}, plain=True).ready

    def test_with_a_command_of_the_users_any_size_will_do(self) -> None:
        assert judge(SPAN, sizes(size=100), plain=False).ready


class TestGap:
    def test_none(self) -> None:
        assert gap_since(SPAN, sizes()) is None
        assert gap_since(SPAN, sizes(2)) is None, "not there yet"
        assert gap_since(SPAN, {}) is None

    def test_the_first(self) -> None:
        assert gap_since(SPAN, sizes(0)) == NAMES[0]
        assert gap_since(SPAN, {**sizes(1, 2), Span(2, 9 * MB, 10 * MB, MB).name(9): MB}) == NAMES[1]


class TestOnDisk:
    def archive(self, folder: Path, *, plain: bool = True) -> Archive:
        return Archive(f"file://{folder}", plain=plain)

    def test_lists_segments_and_nothing_else(self, tmp_path: Path) -> None:
        for name in (NAMES[0], f"{NAMES[1]}.gz", f".{NAMES[2]}", f"{NAMES[2]}.00000028.backup", "00000002.history", "README"):
            (tmp_path / name).write_bytes(b"x" * 5)
        (tmp_path / NAMES[2]).mkdir()
        assert self.archive(tmp_path).sizes() == {NAMES[0]: 5}
        assert self.archive(tmp_path, plain=False).sizes() == {NAMES[0]: 5, NAMES[1]: 5}

    ENDINGS = ("", ".gz", ".lz4", ".zst", ".zstd", ".bz2", ".xz", ".lzma", ".br", ".gpg", ".enc", ".aes", ".age", ".gz.gpg", ".zst.age")
    NONE = (
        *(
            ".00000028.backup",
            ".00000028.backup.gz",
            ".partial",
            ".partial.gz",
            ".history",
            ".tmp",
            ".part",
            ".ready",
            ".gz.part",
            ".gz.tmp",
        ),
        *(".", "-", "-abc.gz", f"-{'a' * 40}.part", "0", ".gz~", " (1)", ".gz\n"),
    )

    @pytest.mark.parametrize("ending", [*ENDINGS, f"-{'0a' * 20}", f"-{'0a' * 20}.gz", f"-{'0a' * 20}.zst.gpg"])
    def test_packed_by_a_tool_of_the_users(self, tmp_path: Path, ending: str) -> None:
        (tmp_path / f"{NAMES[0]}{ending}").write_bytes(b"x" * 5)
        assert self.archive(tmp_path, plain=False).sizes() == {NAMES[0]: 5}
        assert self.archive(tmp_path).sizes() == ({} if ending else {NAMES[0]: 5})

    @pytest.mark.parametrize("ending", NONE)
    def test_not_what_only_begins_like_a_segment(self, tmp_path: Path, ending: str) -> None:
        for name in (NAMES[0], f"{NAMES[1]}{ending}", f"{NAMES[2]}.gz"):
            (tmp_path / name).write_bytes(b"x" * 5)
        found = self.archive(tmp_path, plain=False).sizes()
        assert found.keys() == {NAMES[0], NAMES[2]}
        assert NAMES[1] in judge(SPAN, found, plain=False).detail
        assert gap_since(SPAN, found) == NAMES[1]

    def test_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(DestinationAccessError, match="no WAL archive"):
            self.archive(tmp_path / "none").sizes()

    def test_an_empty_one(self, tmp_path: Path) -> None:
        assert self.archive(tmp_path).sizes() == {}

    def test_fetches_whole_segments_only(self, tmp_path: Path) -> None:
        source, target = tmp_path / "archive", tmp_path / "target"
        source.mkdir()
        target.mkdir()
        (source / "a").write_bytes(b"12345")
        self.archive(source).fetch("a", target / "a", 5)
        assert (target / "a").read_bytes() == b"12345"
        for name, size, said in (("a", 6, "5 bytes instead of 6"), ("b", 5, "missing")):
            with pytest.raises(ArtifactError, match=said):
                self.archive(source).fetch(name, target / "b", size)
            assert not (target / "b").exists()

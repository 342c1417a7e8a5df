"""What is kept of the log: joined without a gap, whatever else lies there."""

from __future__ import annotations

from pathlib import Path

import pytest

from midtime.catalog import objects
from midtime.errors import ArtifactError
from midtime.stores.mysql_pitr import archive, segments
from midtime.stores.mysql_pitr.segments import Segment


def segment(after: str, file: int, start: int, end: int) -> Segment:
    return Segment(after=after, file=f"bin.{file:06}", start=start, end=end, born=file, longest=100)


FIRST = segment("bin.000001:100", 1, 100, 200)
SECOND = segment("bin.000001:200", 1, 200, 900)
THIRD = segment("bin.000001:900", 2, 4, 400)


def test_a_chain(tmp_path: Path) -> None:
    folder = objects.open_destination(f"file://{tmp_path}")
    assert segments.chain(folder, "bin.000001:100") == []
    for each in (THIRD, FIRST, SECOND, segment("bin.000009:4", 9, 4, 5)):
        segments.add(folder, each)
    assert segments.chain(folder, "bin.000001:100") == [FIRST, SECOND, THIRD]
    assert segments.chain(folder, "bin.000001:900") == [THIRD]
    assert segments.chain(folder, "bin.000001:101") == []


def test_the_same_stretch_twice(tmp_path: Path) -> None:
    """A killed backup may have kept a part, or all of it, before."""
    folder = objects.open_destination(f"file://{tmp_path}")
    for each in (FIRST, segment("bin.000001:100", 1, 100, 900), FIRST.model_copy(update={"longest": 7})):
        segments.add(folder, each)
    assert [each.reaches for each in segments.chain(folder, "bin.000001:100")] == ["bin.000001:900"]


@pytest.mark.parametrize("content", [b"", b"{}", b"{", SECOND.seal().replace(b"900", b"901")])
def test_a_description_that_cannot_be_believed(tmp_path: Path, content: bytes) -> None:
    folder = objects.open_destination(f"file://{tmp_path}")
    for each in (FIRST, SECOND, THIRD):
        segments.add(folder, each)
    (tmp_path / "binlog" / "bin.000001.200-900.json").write_bytes(content)
    assert segments.chain(folder, "bin.000001:100") == [FIRST]


def test_joined() -> None:
    segments.require_joined([FIRST, SECOND, THIRD], "bin.000001:100", "bin.000002:400")
    segments.require_joined([], "bin.000001:100", "bin.000001:100")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([FIRST, THIRD], "has a gap between bin.000001:200 and bin.000001:900"),
        ([SECOND, THIRD], "has a gap"),
        ([FIRST, SECOND], "reaches bin.000001:900, and the restore point is at bin.000002:400"),
        ([], "reaches bin.000001:100"),
        ([FIRST, SECOND, THIRD, THIRD], "has a gap"),
        ([segment("bin.000001:100", 2, 500, 400)], "has a gap"),
    ],
)
def test_not_joined(found: list[Segment], said: str) -> None:
    with pytest.raises(ArtifactError, match=said):
        segments.require_joined(found, "bin.000001:100", "bin.000002:400")


def test_what_fetching_takes() -> None:
    """A file of an archive is fetched once, up to where it is needed."""
    assert archive.size([FIRST, SECOND, THIRD]) == 1300

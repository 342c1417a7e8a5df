"""A file of the log: every event once, none missing, none of another file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import ArtifactError, CopyError
from midtime.stores.mysql_pitr import replaying
from midtime.stores.mysql_pitr.events import FIRST, MAGIC, Kind
from midtime.stores.mysql_pitr.reading import LogFile, Position
from midtime.stores.mysql_pitr.segments import Segment
from tests.unit.stores.mysql_pitr.binlog import BORN, Log, format_body, raw, rotate

WHOLE = Log().transaction(("bank", "a", 2)).transaction(("bank", "b", 1)).transaction(("other", "c", 3))
BOUNDARIES = [sum(map(len, WHOLE.raws[: count + 1])) + FIRST for count in range(len(WHOLE.raws))]


def read(raws: list[bytes], start: int = FIRST, end: int | None = None, born: int | None = None) -> tuple[list[bytes], LogFile]:
    log = LogFile(Position("bin.000001", start), end, born=born)
    return [event.raw for event in log.events(iter(raws))], log


def test_a_whole_file() -> None:
    found, log = read(WHOLE.raws)
    assert found == WHOLE.raws
    assert (log.position, log.born) == (Position("bin.000001", WHOLE.at), BORN)


def test_a_stretch_of_it() -> None:
    """From the middle on, the server tells the format again; it is in no place of its own there."""
    made_up = raw(Kind.FORMAT, format_body())
    start = BOUNDARIES[5]
    found, log = read([made_up, *WHOLE.raws[6:], b"never read"], start, WHOLE.at)
    assert found == [made_up, *WHOLE.raws[6:]]
    assert str(log.position) == f"bin.000001:{WHOLE.at}"


@given(st.integers(1, len(WHOLE.raws) - 1))
def test_a_missing_event(which: int) -> None:
    left = WHOLE.raws[:which] + WHOLE.raws[which + 1 :]
    with pytest.raises(CopyError, match=r"one is missing|ends at"):
        read(left, end=WHOLE.at)


@given(st.integers(1, len(WHOLE.raws) - 2))
def test_an_event_that_comes_twice(which: int) -> None:
    with pytest.raises(CopyError, match=r"one is missing|ends at"):
        read([*WHOLE.raws[:which], WHOLE.raws[which], *WHOLE.raws[which:]], end=WHOLE.at)


@given(st.integers(FIRST, WHOLE.at - 1).filter(lambda at: at not in BOUNDARIES))
def test_an_end_within_an_event(end: int) -> None:
    with pytest.raises(CopyError, match="has no event that ends at"):
        read(WHOLE.raws, end=end)


@pytest.mark.parametrize("left", range(1, len(WHOLE.raws)))
def test_too_few(left: int) -> None:
    with pytest.raises(CopyError, match=rf"bin\.000001 ends at \d+, before {WHOLE.at}"):
        read(WHOLE.raws[:left], end=WHOLE.at)


def test_what_the_server_makes_up_is_in_no_file() -> None:
    beat, turn = raw(Kind.HEARTBEAT, b"", ends=9), raw(Kind.ROTATE, rotate("bin.000001"), flags=0x20)
    assert read([WHOLE.raws[0], beat, turn, *WHOLE.raws[1:]])[0] == WHOLE.raws


def test_another_file_of_that_name() -> None:
    assert read(WHOLE.raws, born=BORN)[1].at == WHOLE.at
    with pytest.raises(CopyError, match="begun anew"):
        read(WHOLE.raws, born=BORN + 1)


def test_nothing_at_all() -> None:
    with pytest.raises(CopyError, match="damaged"):
        read([])


@given(st.lists(st.integers(1, 200)))
def test_events_out_of_a_stream(cuts: list[int]) -> None:
    whole = b"".join(WHOLE.raws)
    chunks, at = [], 0
    for cut in cuts:
        chunks.append(whole[at : at + cut])
        at += cut
    assert list(replaying.split([*chunks, whole[at:]])) == WHOLE.raws


@given(st.integers(1, 1000))
def test_a_stream_that_ends_within_an_event(cut: int) -> None:
    whole = b"".join(WHOLE.raws)
    found = list(replaying.split([whole[:-cut]]))
    with pytest.raises(CopyError):
        read(found, end=WHOLE.at)


def segment(**changes: object) -> Segment:
    fields = {"after": "bin.000001:4", "file": "bin.000001", "start": FIRST, "end": WHOLE.at, "born": BORN, "longest": 0}
    return Segment.model_validate(fields | changes)


@pytest.mark.parametrize("start", [FIRST, BOUNDARIES[0], BOUNDARIES[5]])
def test_a_file_in_an_archive(tmp_path: Path, start: int) -> None:
    (tmp_path / "bin.000001").write_bytes(MAGIC + b"".join(WHOLE.raws))
    found = list(replaying.archived_events(tmp_path / "bin.000001", segment(start=start)))
    index = 0 if start == FIRST else BOUNDARIES.index(start)
    assert found == [WHOLE.raws[0], *WHOLE.raws[index + 1 :]]
    assert read(found, start, WHOLE.at)[0] == found


@pytest.mark.parametrize("content", [b"", b"-- a dump", b"\0" * 500])
def test_no_file_of_a_log(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bin.000001").write_bytes(content)
    with pytest.raises(ArtifactError, match="is no binary log"):
        list(replaying.archived_events(tmp_path / "bin.000001", segment()))

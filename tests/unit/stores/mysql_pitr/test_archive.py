"""The binary log in somebody's archive: whole, and the file that was read, not another one of its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from midtime.stores.mysql_pitr import archive
from midtime.stores.mysql_pitr.events import FIRST, MAGIC, Kind
from midtime.stores.mysql_pitr.segments import Segment
from tests.unit.stores.mysql_pitr.binlog import BORN, Log, format_body, raw

WHOLE = MAGIC + b"".join(Log().transaction(("bank", "a", 2)).raws)
END = len(WHOLE)
SEGMENT = Segment(after="bin.000001:4", file="bin.000001", start=FIRST, end=END, born=BORN, longest=0)
ANOTHER = f"bin.000001:{END}, but another file of that name,"


def lacking(folder: Path, content: bytes | None) -> str:
    if content is not None:
        (folder / SEGMENT.file).write_bytes(content)
    return archive.lacking(f"file://{folder}", [SEGMENT])


@pytest.mark.parametrize("more", [b"", b"x" * 1000])
def test_there(tmp_path: Path, more: bytes) -> None:
    assert lacking(tmp_path, WHOLE + more) == ""


@pytest.mark.parametrize("content", [None, b"", WHOLE[:-1]])
def test_not_there_yet(tmp_path: Path, content: bytes | None) -> None:
    assert lacking(tmp_path, content) == f"bin.000001:{END}"


@pytest.mark.parametrize("later", [-86_400, 1])
def test_a_file_of_another_life_of_the_server(tmp_path: Path, later: int) -> None:
    """After ``RESET MASTER`` the same names come again; an older file may be as long, or longer."""
    begun = raw(Kind.FORMAT, format_body(), at=BORN + later)
    assert lacking(tmp_path, MAGIC + begun + WHOLE) == ANOTHER


def test_no_file_of_a_log(tmp_path: Path) -> None:
    assert lacking(tmp_path, b"\0" + WHOLE[1:]) == ANOTHER


def test_gone_between_two_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> bool:
        raise FileNotFoundError

    monkeypatch.setattr(archive, "_same", gone)
    assert lacking(tmp_path, WHOLE) == f"bin.000001:{END}"

"""Journals lie where everybody may write: what is not ours is neither believed nor waited for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from midtime.errors import ArmingError
from midtime.scalar import journals
from midtime.scalar.double import Double
from midtime.scalar.watchdog import Watchdog

SAID = {"did": "unpaused", "endpoint": "10.0.0.1:1"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "a" / "midtime-1"
    journals.make_folder(made)
    return made


@pytest.fixture
def journal(folder: Path) -> Path:
    return folder / "watchdog-w1.jsonl"


def test_what_is_written_is_read(journal: Path) -> None:
    for said in (SAID, {"did": "found open", "endpoint": "b:1"}, {"did": "gave up", "endpoint": "c:1"}):
        journals.write(journal, said)
    with journal.open("a") as file:
        file.write('[1]\n{"did": "unpaused"')  # a full disk cuts lines
    assert journals.opened(journal) == {"10.0.0.1:1", "b:1"}


def test_only_we_can_look_into_it(folder: Path, journal: Path) -> None:
    journals.write(journal, SAID)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600


def test_one_that_others_can_read_is_closed(folder: Path) -> None:
    folder.chmod(0o755)
    journals.make_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


class TestFolderOfOthers:
    """Made before us by somebody who wants us to believe that a watchdog has unpaused."""

    @pytest.fixture(params=["writable", "link", "somebody's", "file"])
    def theirs(self, request: pytest.FixtureRequest, folder: Path, journal: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        journals.write(journal, SAID)
        match request.param:
            case "writable":
                folder.chmod(0o777)
            case "link":
                folder.rename(folder.with_name("elsewhere"))
                folder.symlink_to(folder.with_name("elsewhere"))
            case "somebody's":
                us = os.getuid()
                monkeypatch.setattr(os, "getuid", lambda: us + 1)
            case _:
                folder.rename(folder.with_name("elsewhere"))
                folder.touch()
        return folder

    @pytest.mark.fault(
        "The folder for the watchdogs' journals belongs to somebody else",
        "Refused before anything is paused; such a journal is not believed.",
    )
    def test_nothing_is_paused(self, theirs: Path, double: Double) -> None:
        with pytest.raises(ArmingError, match="nothing was paused") as caught:
            Watchdog([double.endpoint()], journal=theirs / "watchdog-w2.jsonl").start()
        assert "0700" in caught.value.fix

    def test_it_is_not_believed(self, theirs: Path) -> None:
        assert journals.opened(theirs / "watchdog-w1.jsonl") == set()

    def test_nothing_in_it_is_removed(self, theirs: Path) -> None:
        journals.forget(theirs, before=2**40)
        there = theirs if theirs.is_dir() else theirs.with_name("elsewhere")
        assert [each.name for each in there.iterdir()] == ["watchdog-w1.jsonl"]


class TestFileOfOthers:
    @pytest.mark.timeout(20)
    def test_a_fifo_keeps_nobody_waiting(self, journal: Path) -> None:
        os.mkfifo(journal)
        assert journals.opened(journal) == set()
        with pytest.raises(OSError, match=r"."):
            journals.write(journal, SAID)

    @pytest.mark.timeout(20)
    def test_a_fifo_that_somebody_reads_is_not_written_to(self, journal: Path) -> None:
        os.mkfifo(journal)
        reader = os.open(journal, os.O_RDONLY | os.O_NONBLOCK)
        try:
            with pytest.raises(PermissionError):
                journals.write(journal, SAID)
        finally:
            os.close(reader)

    def test_a_link_is_not_followed(self, journal: Path, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        journals.write(precious, SAID)
        before = precious.read_text()
        journal.symlink_to(precious)
        assert journals.opened(journal) == set()
        with pytest.raises(OSError, match="symbolic"):
            journals.write(journal, SAID)
        assert precious.read_text() == before

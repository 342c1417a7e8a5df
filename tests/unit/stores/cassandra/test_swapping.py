"""What is live and what is staged change places on a node, whoever is killed when; no file is ever lost."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midtime.errors import RestoreFailedError, TargetExistsError
from midtime.stores.cassandra import swapping
from midtime.stores.cassandra.swapping import Progress
from tests.unit.stores.cassandra.swap_room import ASIDE, LIVE, WORKING, Room


@contextmanager
def new_room() -> Iterator[Room]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield Room(folder)
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


class TestWhole:
    def test_forward(self, room: Room) -> None:
        assert room.swap.look() is Progress.UNTOUCHED
        room.swap.forward()
        assert room.files() == room.after()
        assert room.swap.look() is Progress.PLACED
        room.swap.forward()
        assert room.files() == room.after()

    def test_and_back(self, room: Room) -> None:
        room.swap.forward()
        room.write("data1/bank/account-1/nb-9-big-Data.db", "written by the restored cluster")
        room.write("commitlog/CommitLog-7-9.log", "its log")
        room.swap.back()
        of_the_restored = {
            f"data1/{WORKING}/bank/account-1/nb-9-big-Data.db": "written by the restored cluster",
            f"commitlog/{WORKING}/CommitLog-7-9.log": "its log",
        }
        assert room.files() == {**room.before(), **of_the_restored}
        assert room.swap.look() is Progress.UNTOUCHED
        assert not list(room.root.rglob(ASIDE))
        room.swap.forward()
        assert (room.root / "commitlog/CommitLog-7-9.log").exists(), "its data is not whole without its log"

    def test_back_where_nothing_was_done(self, room: Room) -> None:
        room.swap.back()
        assert room.files() == room.before()

    def test_a_wiped_node(self, room: Room) -> None:
        for path in LIVE:
            (room.root / path).unlink()
        for name in ("hints", "commitlog"):
            shutil.rmtree(room.root / name)
        room.swap.ready()
        room.swap.forward()
        assert (room.root / "data1/system/local-1/nb-5-big-Data.db").exists()
        assert room.swap.look() is Progress.PLACED
        assert (room.root / "hints").is_dir()

    def test_nothing_staged(self, room: Room) -> None:
        """A cluster that is emptied, for data that is loaded into it."""
        room.swap.drop()
        room.swap.ready()
        room.swap.forward()
        assert not (room.root / "data1/bank").exists()
        room.swap.back()
        assert {path: content for path, content in room.files().items() if path in LIVE} == LIVE


class TestKilled:
    @pytest.mark.parametrize("every", [2, pytest.param(1, marks=pytest.mark.long)])
    @pytest.mark.parametrize("then", ["forward", "back"])
    @pytest.mark.parametrize("first", ["forward", "back"])
    def test_before_any_command(self, first: str, then: str, every: int) -> None:
        number = 0
        while True:
            number += every
            with new_room() as room:
                if first == "back":
                    room.swap.forward()
                room.dies_at = number
                try:
                    getattr(room.swap, first)()
                    break
                except RestoreFailedError:
                    room.dies_at = 0
                getattr(room.swap, then)()
                assert room.files() == (room.after() if then == "forward" else room.before()), number
        assert number > 20

    def test_it_is_neither_one_nor_the_other(self, room: Room) -> None:
        room.dies_at = 5
        with pytest.raises(RestoreFailedError, match="node one: the folders could not be swapped"):
            room.swap.forward()
        room.dies_at = 0
        assert room.swap.look() is Progress.BEGUN

    @settings(max_examples=20)
    @given(st.lists(st.tuples(st.sampled_from(["forward", "back"]), st.integers(0, 32)), max_size=5), st.booleans())
    def test_whatever_the_order(self, tries: list[tuple[str, int]], placed: bool) -> None:
        with new_room() as room:
            contents = sorted(room.files().values())
            for way, dies_at in tries:
                room.dies_at = dies_at
                with suppress(RestoreFailedError):
                    getattr(room.swap, way)()
                assert sorted(room.files().values()) == contents
            room.dies_at = 0
            room.swap.forward() if placed else room.swap.back()
            assert room.files() == (room.after() if placed else room.before())


class TestRefused:
    @pytest.mark.parametrize("way", ["forward", "back", "drop", "halt", "look"])
    def test_an_earlier_script_is_still_at_work(self, room: Room, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """It survives whoever started it."""
        scripts = {
            name: getattr(swapping, name).replace("flock -w 60", "flock -n") for name in ("_FORWARD", "_BACK", "_DROP", "_HALT", "_LOOK")
        }
        for name, script in scripts.items():
            monkeypatch.setattr(swapping, name, script)
        before = room.files()
        with subprocess.Popen(["flock", str(room.root / "commitlog"), "sh", "-c", "echo; read line"], stdin=PIPE, stdout=PIPE) as earlier:
            assert earlier.stdout
            earlier.stdout.readline()
            with pytest.raises(RestoreFailedError, match="another swap is at work"):
                getattr(room.swap, way)()
            earlier.communicate(b"\n")
        assert room.files() == before
        getattr(room.swap, way)()

    def test_something_appeared_in_between(self, room: Room) -> None:
        """Somebody started Cassandra on a node that was being swapped."""
        while (room.root / "data1/bank").exists():
            room.dies_at += 1
            with suppress(RestoreFailedError):
                room.swap.forward()
        room.dies_at = 0
        room.write("data1/bank/account-1/nb-1-big-Data.db", "of nobody knows whom")
        before = room.files()
        with pytest.raises(RestoreFailedError, match=r"both .*bank and .*bank are there"):
            room.swap.forward()
        assert sorted(room.files().values()) == sorted(before.values())

    def test_the_working_copy_is_gone(self, room: Room) -> None:
        """Somebody woke up late; moving what is live aside would leave an empty cluster."""
        room.swap.drop()
        before = room.files()
        with pytest.raises(RestoreFailedError, match=r"nothing is staged in .*/commitlog/"):
            room.swap.forward()
        assert room.files() == before

    def test_dropped_half_swapped(self, room: Room) -> None:
        room.dies_at = 15
        with suppress(RestoreFailedError):
            room.swap.forward()
        room.dies_at = 0
        before = room.files()
        with pytest.raises(RestoreFailedError, match="half swapped"):
            room.swap.drop()
        assert room.files() == before

    @pytest.mark.parametrize(("working", "aside"), [("midtime_tmp_/../x", ASIDE), (WORKING, "system"), (WORKING, "midtime_before_/..")])
    def test_names_that_are_not_ours(self, room: Room, working: str, aside: str) -> None:
        with pytest.raises(RestoreFailedError, match="midtime refuses"):
            replace(room.swap, working=working, aside=aside).forward()
        assert room.files() == room.before()

    def test_no_working_name_at_all(self, room: Room) -> None:
        with pytest.raises(TargetExistsError):
            replace(room.swap, working="bank").forward()

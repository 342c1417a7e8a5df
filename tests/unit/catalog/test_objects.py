"""Whole or not at all, and never over somebody else's: under rivals, kill -9, full disks and broken file systems."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any, NoReturn

import pytest

from midtime.catalog import Catalog, objects
from midtime.errors import DestinationError
from tests.unit.processes import kill_when_it_says_so, race

WHOLE = b"x" * 20_000
OLD = b"old"
PLACES = ["before fsync", "after fsync", "before link", "after link", "before rename", "after rename"]
"""Where a process is killed; ``create`` links, ``replace`` renames."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def address(path: Path) -> Any:
    return objects.open_destination(f"file://{path}")


def visible(folder: Path) -> list[str]:
    return [name for name in objects.names(address(folder)) if not name.startswith(".")]


def interrupt(monkeypatch: pytest.MonkeyPatch, place: str, act: Callable[..., object]) -> None:
    """Let something happen before or after one system call."""
    when, _, call = place.partition(" ")
    owner, name = {"fsync": (os, "fsync"), "link": (os, "link"), "rename": (Path, "replace")}[call]
    real = getattr(owner, name)

    def instead(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            act()
        result = real(*args, **kwargs)
        if when == "after":
            act()
        return result

    monkeypatch.setattr(owner, name, instead)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel writes up to here, then refuses: what a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestCreate:
    def test_writes_into_folders_that_are_not_there_yet(self, any_catalog: Catalog) -> None:
        path = any_catalog.root / "a" / "b" / "c.json"
        objects.create(path, WHOLE)
        assert objects.read(path) == WHOLE

    def test_is_refused_over_another(self, any_catalog: Catalog) -> None:
        path = any_catalog.root / "c.json"
        objects.create(path, OLD)
        with pytest.raises(FileExistsError):
            objects.create(path, WHOLE)
        assert objects.read(path) == OLD

    def test_leaves_nothing_beside(self, folder: Path) -> None:
        objects.create(address(folder / "c"), WHOLE)
        with pytest.raises(FileExistsError):
            objects.create(address(folder / "c"), WHOLE)
        assert os.listdir(folder) == ["c"]

    def test_one_of_many_threads_wins(self, any_catalog: Catalog) -> None:
        barrier = Barrier(8)

        def contend(number: int) -> list[int]:
            won = []
            for turn in range(30):
                barrier.wait()
                try:
                    objects.create(any_catalog.root / f"{turn}", str(number).encode())
                    won.append(turn)
                except FileExistsError:
                    pass
            return won

        with ThreadPoolExecutor(8) as pool:
            wins = list(pool.map(contend, range(8)))
        assert sorted(turn for each in wins for turn in each) == list(range(30))
        for number, won in enumerate(wins):
            assert {objects.read(any_catalog.root / f"{turn}") for turn in won} <= {str(number).encode()}

    def test_one_of_many_processes_wins(self, folder: Path) -> None:
        def contend(number: int, meet: Callable[[], object]) -> list[int]:
            won = []
            for turn in range(30):
                meet()
                try:
                    objects.create(address(folder / f"{turn}"), str(number).encode() * 1000)
                    won.append(turn)
                except FileExistsError:
                    pass
            return won

        wins = race(4, contend)
        assert sorted(turn for each in wins for turn in each) == list(range(30))
        assert all((folder / f"{turn}").read_bytes() == str(number).encode() * 1000 for number, won in enumerate(wins) for turn in won)

    def test_a_file_in_the_way_is_no_rival(self, folder: Path) -> None:
        """Told apart: `publish` would say that the restore point is there already, and all would be well."""
        (folder / "file").write_bytes(OLD)
        with pytest.raises(DestinationError, match="a file is where a folder should be"):
            objects.create(address(folder / "file" / "c"), WHOLE)
        assert (folder / "file").read_bytes() == OLD


class TestReplace:
    def test_writes_over_another(self, any_catalog: Catalog) -> None:
        path = any_catalog.root / "a" / "c.json"
        objects.replace(path, OLD)
        objects.replace(path, WHOLE)
        assert objects.read(path) == WHOLE
        assert objects.names(any_catalog.root / "a") == ["c.json"]

    def test_readers_see_the_old_or_the_new(self, folder: Path) -> None:
        path = address(folder / "c")
        contents = {bytes([number]) * 50_000 for number in range(4)}
        objects.replace(path, bytes([0]) * 50_000)

        def work(number: int, meet: Callable[[], object]) -> bool:
            meet()
            if number == 3:
                return all(objects.read(path) in contents for _ in range(300))
            for _ in range(150):
                objects.replace(path, bytes([number]) * 50_000)
            return True

        assert all(race(4, work))


class TestKilled:
    @pytest.mark.parametrize("place", PLACES[:4])
    def test_create(self, folder: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        def work(here: Callable[[], NoReturn]) -> None:
            interrupt(monkeypatch, place, here)
            objects.create(address(folder / "c"), WHOLE)

        kill_when_it_says_so(work)
        assert visible(folder) == (["c"] if place == "after link" else [])
        assert [(folder / name).read_bytes() for name in visible(folder)] in ([], [WHOLE])
        if not visible(folder):
            objects.create(address(folder / "c"), WHOLE)
        assert (folder / "c").read_bytes() == WHOLE

    @pytest.mark.parametrize("place", [*PLACES[:2], *PLACES[4:]])
    def test_replace(self, folder: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        (folder / "c").write_bytes(OLD)

        def work(here: Callable[[], NoReturn]) -> None:
            interrupt(monkeypatch, place, here)
            objects.replace(address(folder / "c"), WHOLE)

        kill_when_it_says_so(work)
        assert visible(folder) == ["c"]
        assert (folder / "c").read_bytes() == (WHOLE if place == "after rename" else OLD)


class TestFaults:
    @pytest.mark.parametrize("write", [objects.create, objects.replace])
    @pytest.mark.parametrize("place", ["before fsync", "after fsync"])
    def test_disk_full(self, folder: Path, monkeypatch: pytest.MonkeyPatch, place: str, write: Callable[[Any, bytes], None]) -> None:
        def full() -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            interrupt(patch, place, full)
            with pytest.raises(DestinationError, match="No space left") as caught:
                write(address(folder / "c"), WHOLE)
        assert "make room at the destination" in caught.value.fix
        assert caught.value.retryable
        assert os.listdir(folder) == [], "neither the object nor a draft"

    @pytest.mark.parametrize("write", [objects.create, objects.replace])
    def test_disk_full_in_the_middle_of_the_content(self, folder: Path, write: Callable[[Any, bytes], None]) -> None:
        with files_of_at_most(4096), pytest.raises(DestinationError, match="File too large"):
            write(address(folder / "c"), WHOLE)
        assert os.listdir(folder) == []

    def test_no_room_leaves_the_old_one(self, folder: Path) -> None:
        (folder / "c").write_bytes(OLD)
        with files_of_at_most(4096), pytest.raises(DestinationError):
            objects.replace(address(folder / "c"), WHOLE)
        assert (folder / "c").read_bytes() == OLD
        assert os.listdir(folder) == ["c"]

    @pytest.mark.parametrize(("place", "write"), [("before link", objects.create), ("before rename", objects.replace)])
    def test_a_file_system_that_cannot(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, place: str, write: Callable[[Any, bytes], None]
    ) -> None:
        def cannot() -> None:
            raise OSError(errno.EPERM, "Operation not permitted")

        with monkeypatch.context() as patch:
            interrupt(patch, place, cannot)
            with pytest.raises(DestinationError, match="Operation not permitted"):
                write(address(folder / "c"), WHOLE)
        assert os.listdir(folder) == []

    def test_interrupted_by_the_keyboard(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def ctrl_c() -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            interrupt(patch, "before fsync", ctrl_c)
            with pytest.raises(KeyboardInterrupt):
                objects.create(address(folder / "c"), WHOLE)
        assert os.listdir(folder) == []

    def test_what_is_written_is_on_the_disk_before_it_is_seen(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[str] = []
        real_sync, real_link = os.fsync, os.link
        monkeypatch.setattr(os, "fsync", lambda handle: (seen.append(os.readlink(f"/proc/self/fd/{handle}")), real_sync(handle)))
        monkeypatch.setattr(os, "link", lambda *args: (seen.append("link"), real_link(*args)))
        objects.create(address(folder / "c"), WHOLE)
        draft, link, parent, grandparent = seen
        assert Path(draft).parent == folder
        assert Path(draft).name.startswith(".c.")
        assert (link, parent, grandparent) == ("link", str(folder), str(folder.parent))


class TestReading:
    def test_names(self, any_catalog: Catalog) -> None:
        assert objects.names(any_catalog.root / "nowhere") == []
        objects.create(any_catalog.root / "a" / "x", b"")
        objects.create(any_catalog.root / "b", b"")
        assert sorted(objects.names(any_catalog.root)) == ["a", "b"]

    def test_names_below_a_stray_file(self, folder: Path) -> None:
        (folder / "file").write_bytes(b"")
        assert objects.names(address(folder / "file")) == []
        with pytest.raises(FileNotFoundError):
            objects.read(address(folder / "file" / "manifest.json"))

    def test_what_is_not_there(self, any_catalog: Catalog) -> None:
        with pytest.raises(FileNotFoundError):
            objects.read(any_catalog.root / "nothing")

    def test_remove(self, any_catalog: Catalog) -> None:
        objects.create(any_catalog.root / "a" / "b" / "c", b"")
        objects.create(any_catalog.root / "d", b"")
        objects.remove_tree(any_catalog.root / "a")
        objects.remove_tree(any_catalog.root / "a")
        assert objects.names(any_catalog.root) == ["d"]

    def test_a_backend_s_own_errors_become_ours(self, any_catalog: Catalog) -> None:
        class ClientError(Exception):
            """As botocore has one."""

        with (
            pytest.raises(DestinationError, match=r"cannot list .*bank: AccessDenied") as caught,
            objects.destination_errors(any_catalog.root, "list"),
        ):
            raise ClientError("AccessDenied")
        assert isinstance(caught.value.__cause__, ClientError)

    @pytest.mark.parametrize("error", [FileNotFoundError(), FileExistsError(), DestinationError("x"), KeyboardInterrupt()])
    def test_answers_are_no_faults(self, error: BaseException) -> None:
        with pytest.raises(type(error)) as caught, objects.destination_errors("x", "read"):
            raise error
        assert caught.value is error

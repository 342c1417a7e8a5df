"""Staging folders: private, gone when their process is gone, and never somebody's who lives."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from midtime.errors import StagingSpaceError
from midtime.stores import staging as module
from midtime.stores.staging import PREFIX, check_room, staging, staging_root, sweep
from tests.unit.processes import FORK, PATIENCE, kill_when_it_says_so

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "staging"
    made.mkdir()
    return made


def litter(root: Path) -> Path:
    """What a process leaves that is killed while it stages."""

    def work(here: Callable[[], NoReturn]) -> None:
        with staging(root, needed=0) as folder:
            (folder / "dump").mkdir()
            (folder / "dump" / "1.dat").write_bytes(b"x" * 1000)
            here()

    kill_when_it_says_so(work)
    (left,) = root.iterdir()
    return left


class TestFolder:
    def test_is_empty_private_and_goes_away(self, root: Path) -> None:
        with staging(root, needed=1) as folder:
            assert list(folder.iterdir()) == []
            (made,) = root.iterdir()
            assert (folder.parent, made.name.startswith(PREFIX)) == (made, True)
            assert [oct(each.stat().st_mode & 0o777) for each in (made, folder)] == ["0o700", "0o700"]
            (folder / "a").mkdir()
            (folder / "a" / "b").write_bytes(b"x")
        assert list(root.iterdir()) == []

    def test_goes_away_after_an_error(self, root: Path) -> None:
        with pytest.raises(KeyboardInterrupt), staging(root, needed=0) as folder:
            (folder / "b").write_bytes(b"x")
            raise KeyboardInterrupt
        assert list(root.iterdir()) == []

    def test_two_at_once(self, root: Path) -> None:
        with staging(root, needed=0) as one, staging(root, needed=0) as other:
            assert one != other
            assert one.exists()
            assert sweep(root) == []

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
    def test_is_private_under_any_umask(self, root: Path, umask: int) -> None:
        before = os.umask(umask)
        try:
            with staging(root, needed=0) as folder:
                assert (folder.stat().st_mode & 0o077, folder.parent.stat().st_mode & 0o077) == (0, 0)
        finally:
            os.umask(before)


class TestLeftovers:
    def test_of_a_killed_process_are_removed_by_the_next(self, root: Path) -> None:
        left = litter(root)
        assert (left / "files" / "dump" / "1.dat").exists()
        with staging(root, needed=0):
            assert not left.exists()

    def test_of_a_living_process_stay(self, root: Path) -> None:
        reader, writer = FORK.Pipe(duplex=False)

        def live() -> None:
            with staging(root, needed=0) as folder:
                writer.send(str(folder))
                time.sleep(PATIENCE)

        process = FORK.Process(target=live, daemon=True)
        process.start()
        try:
            assert reader.poll(PATIENCE)
            theirs = Path(reader.recv())
            # Old enough that nobody takes it for one that is being made.
            os.utime(theirs.parent, (0, 0))
            assert sweep(root) == []
            with staging(root, needed=0):
                assert theirs.exists()
        finally:
            process.kill()
            process.join()
            reader.close()
            writer.close()
        assert sweep(root) == [theirs.parent]
        assert list(root.iterdir()) == []

    def test_nobody_sweeps_what_is_being_made(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """At no step between making the folder and handing it over does it look abandoned."""
        swept: list[Path] = []
        steps = 0

        def before(function: Callable[..., Any]) -> Callable[..., Any]:
            def instead(*args: Any, **kwargs: Any) -> Any:
                nonlocal steps
                if fcntl.LOCK_EX | fcntl.LOCK_NB not in args:  # not the sweeper's own
                    steps += 1
                    with monkeypatch.context() as patch:
                        patch.undo()
                        swept.extend(sweep(root))
                return function(*args, **kwargs)

            return instead

        monkeypatch.setattr(module.fcntl, "flock", before(fcntl.flock))
        monkeypatch.setattr(module.os, "rename", before(os.rename))
        monkeypatch.setattr(Path, "mkdir", before(Path.mkdir))
        with staging(root, needed=0) as folder:
            assert folder.exists()
        assert swept == []
        assert steps >= 3

    def test_a_folder_without_a_lock_is_given_a_minute(self, root: Path) -> None:
        made = root / f"{PREFIX}x"
        made.mkdir()
        assert sweep(root) == []
        os.utime(made, (time.time() - 61, time.time() - 61))
        assert sweep(root) == [made]

    def test_strays_are_left_alone(self, root: Path) -> None:
        (root / f"{PREFIX}file").write_bytes(b"")
        (root / "other").mkdir()
        (root / "other" / ".lock").write_bytes(b"")
        elsewhere = root.parent / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / ".lock").write_bytes(b"")
        (elsewhere / "precious").write_bytes(b"")
        (root / f"{PREFIX}link").symlink_to(elsewhere)
        sweep(root)
        assert (elsewhere / "precious").exists()
        assert (root / f"{PREFIX}file").exists()
        assert (root / "other" / ".lock").exists()


class TestRoom:
    def test_too_little_is_refused_before_anything(self, root: Path) -> None:
        with pytest.raises(StagingSpaceError, match="about 1,000,000,000,000,000,000 are needed") as caught, staging(root, needed=10**18):
            pytest.fail("may not get in here")
        assert "MIDTIME_STAGING" in caught.value.fix
        assert not caught.value.retryable
        assert list(root.iterdir()) == []

    def test_no_folder(self, root: Path) -> None:
        with pytest.raises(StagingSpaceError, match="cannot be used"), staging(root / "nowhere", needed=0):
            pytest.fail("may not get in here")

    @pytest.mark.parametrize(("free", "enough"), [(99, False), (100, True), (101, True)])
    def test_exactly(self, root: Path, monkeypatch: pytest.MonkeyPatch, free: int, enough: bool) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000, 1000 - free, free))
        if enough:
            check_room(root, 100)
            return
        with pytest.raises(StagingSpaceError, match="has 99 bytes free, about 100 are needed"):
            check_room(root, 100)

    @pytest.mark.parametrize("how", [lambda root: check_room(root, 600), lambda root: staging(root, needed=600).__enter__()])
    def test_leftovers_make_way(self, root: Path, monkeypatch: pytest.MonkeyPatch, how: Callable[[Path], object]) -> None:
        """A killed dump that filled the disk must not keep every later one from starting."""
        left = litter(root)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000, 0, 0 if left.exists() else 1000))
        how(root)
        assert not left.exists()

    def test_living_ones_do_not(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with staging(root, needed=0) as folder:
            monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1000, 1000, 0))
            with pytest.raises(StagingSpaceError):
                check_room(root, 1)
            assert folder.exists()


class TestRoot:
    def test_the_topology_first_then_the_environment_then_the_system(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("MIDTIME_STAGING", "/from/environment")
        assert staging_root("/from/topology") == Path("/from/topology")
        assert staging_root() == staging_root(None) == Path("/from/environment")
        monkeypatch.delenv("MIDTIME_STAGING")
        monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
        assert staging_root() == tmp_path

"""Segments on their way to a recovering server, with the real shell command in the server's place."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from midtime.errors import ArtifactError
from midtime.stores.postgresql_pitr.archive import Archive
from midtime.stores.postgresql_pitr.cluster import Owner
from midtime.stores.postgresql_pitr.spool import AHEAD, BEHIND, Spool
from tests.stack.processes import poll

NAMES = [f"{number:024X}" for number in range(1, 41)]


class Server:
    """A recovering server, as far as its restore command can see."""

    def __init__(self, folder: Path) -> None:
        self.archive, self.data, self.wal = folder / "archive", folder / "data", folder / "wal"
        for each in (self.archive, self.data):
            each.mkdir()
        (self.data / "postmaster.pid").write_text(f"{os.getpid()}\n{self.data}\n")
        for name in NAMES:
            (self.archive / name).write_bytes(name.encode())
        self.spool = Spool(Archive(f"file://{self.archive}", plain=True), self.wal, NAMES, 24, Owner(os.geteuid(), os.getegid()))
        self.command = self.spool.prepare()

    def ask(self, name: str) -> subprocess.CompletedProcess[bytes]:
        """The command's exit; what it fetched lies in ``data/got``."""
        (self.data / "got").unlink(missing_ok=True)
        command = self.command.replace("%f", name).replace("%p", "got")
        return subprocess.run(command, shell=True, cwd=self.data, timeout=30, check=False, capture_output=True)  # noqa: S602

    @contextmanager
    def served(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self.spool.serve, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(10)
            assert not thread.is_alive()

    def there(self) -> list[str]:
        return sorted(path.name for path in self.wal.iterdir() if path.name in NAMES)


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_in_order(server: Server) -> None:
    with server.served():
        for name in NAMES:
            assert server.ask(name).returncode == 0
            assert (server.data / "got").read_text() == name
        poll("the last wish", lambda: server.spool.reached == len(NAMES) - 1 or None, 10)
    assert server.spool.error is None


def test_far_ahead_first_and_back_then(server: Server) -> None:
    """A recovery reads the last checkpoint's segment before that of its redo start."""
    with server.served():
        for name in (NAMES[30], NAMES[0], NAMES[1], NAMES[30], NAMES[31]):
            assert server.ask(name).returncode == 0
            assert (server.data / "got").read_text() == name


def test_no_more_is_held_than_need_be(server: Server) -> None:
    with server.served():
        for name in NAMES[:20]:
            server.ask(name)
        poll("what comes next", lambda: NAMES[19 + AHEAD] in server.there() or None, 10)
        poll("what is past is gone", lambda: server.there()[0] >= NAMES[19 - BEHIND] or None, 10)
    assert len(server.there()) <= AHEAD + BEHIND + 1


@pytest.mark.parametrize("name", ["00000002.history", "0" * 23 + "F" * 1 + "X", f"{len(NAMES) + 1:024X}"])
def test_what_is_not_wanted_is_not_there(server: Server, name: str) -> None:
    """Also a segment behind the point: what lies in the archive behind it is nobody's business."""
    (server.archive / name).write_bytes(b"x" * 24)
    with server.served():
        assert server.ask(name).returncode == 1
    assert not (server.data / "got").exists()


@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_one_that_cannot_be_fetched_ends_the_recovery(server: Server, damage: str) -> None:
    if damage == "missing":
        (server.archive / NAMES[2]).unlink()
    else:
        (server.archive / NAMES[2]).write_bytes(b"half")
    with server.served():
        codes = [server.ask(name).returncode for name in NAMES[:3]]
    assert codes[-1] > 125, "PostgreSQL takes less for the end of the WAL"
    assert isinstance(server.spool.error, ArtifactError)
    assert NAMES[2] in server.spool.error.message
    assert not (server.data / "got").exists()


def test_the_command_ends_with_its_server(server: Server) -> None:
    """Nobody serves, and the server is dead: the command must not wait for ever."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    (server.data / "postmaster.pid").write_text(f"{gone.pid}\n")
    assert server.ask(NAMES[0]).returncode > 125


def test_the_command_waits_for_its_segment(server: Server) -> None:
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(server.ask(NAMES[5]).returncode))
    waiting.start()
    poll("the wish", lambda: (server.wal / f"asked.{NAMES[5]}").exists() or None, 10)
    assert answers == []
    with server.served():
        waiting.join(10)
    assert answers == [0]

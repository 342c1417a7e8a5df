"""What may happen to files while they are sent: never is a wrong content taken for the right one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from midtime.errors import CopyError, StoreError, ToolError
from midtime.stores.cassandra.nodes.base import Running
from midtime.stores.cassandra.nodes.files import send_out, take_in
from midtime.stores.cassandra.nodes.local import LocalNode
from tests.unit.stores.cassandra.nodes.test_files import NODE, way

__all__ = ["way"]
BIG = 12 << 20
"""More than what lies in pipes and buffers between tar and us."""


class Wrapped(LocalNode):
    """A node whose commands run in a shell that has done something first.

    :param only: the word in a command that makes it one of those
    """

    here = False

    def __init__(self, first: str, only: str) -> None:
        super().__init__("node-a", "127.0.0.1")
        self.first, self.only = first, only

    def start(self, command: Sequence[str]) -> Running:
        if any(self.only in word for word in command):
            command = ["sh", "-c", f'{self.first}\nexec "$@"', "sh", *command]
        return super().start(command)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    for name, size in (("a", BIG), ("b", 5000), ("c", 0)):
        (tmp_path / "root" / name).write_bytes(os.urandom(size))
    return tmp_path / "root"


def read_while(root: Path, happens: Callable[[], object], node: LocalNode = NODE) -> None:
    with send_out(node, str(root), ["a", "b", "c"]) as files:
        for path, _, chunks in files:
            if path == "a":
                next(chunks)
                happens()
            for _ in chunks:
                pass


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes([file.read(1)[0] ^ 1]))


CHANGES = {
    "vanishes": Path.unlink,
    "shrinks": lambda path: os.truncate(path, 2000),
    "grows": append,
    "is rewritten": rewrite,
    "is replaced": lambda path: (path.with_suffix(".new").write_bytes(path.read_bytes()), path.with_suffix(".new").rename(path)),
    "becomes a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.usefixtures("way")
class TestSentOut:
    @pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
    @pytest.mark.parametrize("name", ["a", "b"])
    def test_a_file_that_changes_is_an_error(self, root: Path, name: str, change: Callable[[Path], object]) -> None:
        started = time.monotonic()
        with pytest.raises((CopyError, ToolError)) as caught:
            read_while(root, lambda: change(root / name))
        assert isinstance(caught.value, CopyError) or "No such file" in caught.value.message
        assert time.monotonic() - started < 10

    def test_a_link_more_or_less_is_no_change(self, root: Path) -> None:
        """Compaction removes the live files while we read the snapshot's."""
        (root / "live").hardlink_to(root / "a")

        def links() -> None:
            (root / "live").unlink()
            (root / "another").hardlink_to(root / "b")

        read_while(root, links)

    def test_a_file_that_was_never_there(self, root: Path) -> None:
        with pytest.raises(ToolError, match="No such file"), send_out(NODE, str(root), ["a", "none"]):
            pass

    def test_a_folder_or_link_is_no_file(self, root: Path) -> None:
        (root / "link").symlink_to("a")
        for path in ("link", "."):
            with pytest.raises(CopyError), send_out(NODE, str(root), [path]) as files:
                list(files)

    @pytest.mark.parametrize("death", ["KILL", "TERM"])
    def test_tar_dies(self, root: Path, death: str) -> None:
        node = Wrapped(f"pid=$$; (sleep 0.3; pkill -{death} -g $pid tar) &", only="--create")
        with pytest.raises(ToolError, match=r"exit code 1(37|43)"):
            read_while(root, lambda: time.sleep(0.6), node)

    def test_whoever_leaves_early_leaves_nothing_behind(self, root: Path) -> None:
        with pytest.raises(ZeroDivisionError), send_out(NODE, str(root), ["a"]) as files:
            next(files)
            raise ZeroDivisionError

    def test_whoever_stops_reading_has_what_he_read_checked(self, root: Path) -> None:
        with pytest.raises(CopyError), send_out(NODE, str(root), ["a", "b"]) as files:
            next(files)
            rewrite(root / "a")


def whole(root: Path) -> list[tuple[str, int, list[bytes]]]:
    return [(f"d/{name}", (root / name).stat().st_size, [(root / name).read_bytes()]) for name in ("a", "b", "c")]


class TestTakenIn:
    def test_no_room(self, root: Path, tmp_path: Path) -> None:
        node = Wrapped("trap '' XFSZ; ulimit -f 4096", only="--extract")
        with pytest.raises(ToolError, match="Wrote only"):
            take_in(node, str(tmp_path / "new"), whole(root), None)

    def test_no_room_at_once(self, root: Path, tmp_path: Path) -> None:
        node = Wrapped("ulimit -f 4096", only="--extract")
        with pytest.raises(ToolError, match=r"SIGXFSZ|exit code 153"):
            take_in(node, str(tmp_path / "new"), whole(root), None)

    def test_a_place_where_we_may_not_write(self, root: Path) -> None:
        with pytest.raises(ToolError, match="cannot create directory"):
            take_in(NODE, "/proc/none", whole(root), None)

    def test_what_was_interrupted_is_made_whole(self, root: Path, tmp_path: Path) -> None:
        def interrupted() -> Iterator[bytes]:
            yield (root / "a").read_bytes()[: 5 << 20]
            raise StoreError("killed")

        new = tmp_path / "new"
        with pytest.raises(StoreError, match="killed"):
            take_in(NODE, str(new), [("d/c", 3, [b"old"]), ("d/a", BIG, interrupted())], None)
        take_in(NODE, str(new), whole(root), None)
        assert {name: (new / "d" / name).read_bytes() for name in os.listdir(new / "d")} == {
            name: (root / name).read_bytes() for name in ("a", "b", "c")
        }

    def test_a_link_in_a_files_place_is_not_followed(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "x").symlink_to(root / "b")
        before = (root / "b").read_bytes()
        take_in(NODE, str(tmp_path / "new"), [("x", 3, [b"new"])], None)
        assert ((tmp_path / "new/x").read_bytes(), (root / "b").read_bytes()) == (b"new", before)

"""A node's folders before and after a swap, and a shell that is killed at any of its commands."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from midtime.errors import ToolError
from midtime.stores.cassandra.nodes.base import Node, Running
from midtime.stores.cassandra.swapping import Swap

WORKING, ASIDE = "midtime_tmp_abcdef_ring", "midtime_before_abcdef"
FOLDERS = ("commitlog", "hints", "data1", "data2")
DEATH = """
number=0
step() { number=$((number + 1)); if [ $number = %d ]; then kill -9 $$; fi; }
""" + "".join(f'{name}() {{ step; command {name} "$@"; }}\n' for name in ("mv", "mkdir", "touch", "rm", "rmdir"))
"""Kills the shell before one of the commands that change something; in front of a script."""
SYNC = "sync() { step; }\n"
"""Each real one would write the whole machine's disks."""
LIVE = {
    "commitlog/CommitLog-7-1.log": "newer writes",
    "hints/a.hints": "hint",
    "data1/system/local-1/nb-1-big-Data.db": "live system",
    "data1/bank/account-1/nb-1-big-Data.db": "live account",
    "data1/bank/account-1/.idx/nb-1-big-Data.db": "live index",
    "data1/.hidden": "somebody's",
    "data2/bank/account-1/nb-2-big-Data.db": "live account, second disk",
}
STAGED = {
    f"data1/{WORKING}/system/local-1/nb-5-big-Data.db": "former system",
    f"data1/{WORKING}/bank/account-1/nb-5-big-Data.db": "former account",
    f"data2/{WORKING}/bank/account-1/.idx/nb-6-big-Data.db": "former index",
}
FOREIGN = {"data1/midtime_tmp_other_run/x": "of another run", "data2/midtime_before_111111/y": "kept by another run"}


class Room:
    """A node's folders, and its shell."""

    def __init__(self, root: Path) -> None:
        self.root = root / "node"
        self._fill()
        self.swap = Swap(ShellNode(self), tuple(str(self.root / name) for name in FOLDERS), WORKING, ASIDE)
        self.dies_at = 0
        """Which of the next commands the shell does not live to see; 0: none."""
        self.swap.ready()

    def _fill(self) -> None:
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True)
        for path, content in {**LIVE, **STAGED, **FOREIGN}.items():
            self.write(path, content)

    def write(self, path: str, content: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(content)

    def files(self) -> dict[str, str]:
        """What there is, without our marks."""
        found = (path for path in self.root.rglob("*") if path.is_file() and not path.name.startswith(".midtime_"))
        return {str(path.relative_to(self.root)): path.read_text() for path in found}

    def before(self) -> dict[str, str]:
        return {**LIVE, **STAGED, **FOREIGN}

    def after(self) -> dict[str, str]:
        kept = {f"{path.split('/')[0]}/{ASIDE}/{path.split('/', 1)[1]}": content for path, content in LIVE.items()}
        return {**kept, **{path.replace(f"{WORKING}/", ""): content for path, content in STAGED.items()}, **FOREIGN}


class ShellNode(Node):
    """Runs a script here, to its end or to its death."""

    def __init__(self, room: Room) -> None:
        super().__init__("one", "127.0.0.1")
        self.room = room

    def start(self, command: Sequence[str]) -> Running:
        raise NotImplementedError

    def run(self, command: Sequence[str], *, sent: bytes = b"", timeout: float = 60) -> str:
        shell, options, script, *arguments = command
        words = [shell, options, DEATH % self.room.dies_at + SYNC + script, *arguments]
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)
        if done.returncode:
            raise ToolError(f"exit code {done.returncode}: {done.stderr}")
        return done.stdout

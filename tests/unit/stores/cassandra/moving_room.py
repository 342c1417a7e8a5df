"""Two nodes whose servers are a file each: what a cluster's way into place is played with."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from midtime.model.topology.cassandra import Cassandra, Directories
from midtime.model.topology.commands import Action
from midtime.stores.base import Target
from midtime.stores.cassandra import lifecycle
from midtime.stores.cassandra.cluster import Cluster, Member
from midtime.stores.cassandra.moving import Moving
from midtime.stores.cassandra.nodes.local import LocalNode
from tests.unit.steps import Killed

WORKING, ASIDE = "midtime_tmp_abcdef_1234_ring", "midtime_before_abcdef"
IN_PLACE = Target("ring", "", WORKING, "ring", ASIDE)
DRILL = Target("ring", "drill", WORKING, WORKING)
LIVE, STAGED = "live", "staged"
LINES = ("initial_token: '-5,7'", "num_tokens: 2")
"""For each node's ``cassandra.yaml``."""


def spec() -> Cassandra:
    owner = f"{os.getuid()}:{os.getgid()}"
    return Cassandra.model_validate(
        {"name": "ring", "engine": "cassandra", "namespaces": ["bank"], "access": "local", "nodes": ["a"], "owner": owner}
    )


class World:
    """The nodes, and who dies when."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, patch
        self.commands, self.dies_at = 0, 0
        self.said: list[str] = []
        self.cluster = Cluster("ring", spec(), [self._member(number) for number in range(2)], conn_id=None, jmx_conn_id=None)
        patch.setattr(lifecycle, "listens", self.runs)
        patch.setattr("midtime.stores.cassandra.moving.listens", self.runs)
        patch.setattr(lifecycle, "signs_of_life", lambda member: ["it runs"] if self.runs(member) else [])
        patch.setattr(lifecycle, "act", self._act)
        patch.setattr(lifecycle.Lifecycle, "wait_whole", self._wait_whole)
        patch.setattr(Cluster, "each", lambda cluster, work: {member.label: work(member) for member in cluster.members})

    def _member(self, number: int) -> Member:
        folder = self.root / f"node{number}"
        places = {name: str(folder / name) for name in ("commitlog", "hints", "saved_caches", "cdc_raw")}
        at = Directories(config=str(folder / "cassandra.yaml"), data=(str(folder / "data"),), **places)
        for name in ("data/system", "commitlog"):
            (folder / name).mkdir(parents=True)
        (folder / "data/system/x.db").write_text(LIVE)
        (folder / "commitlog/log").write_text(LIVE)
        (folder / "cassandra.yaml").write_text("num_tokens: 4\nother: 1\n")
        (folder / "running").touch()
        action = Action(command=("true",))
        return Member(MortalNode(self, f"node{number}"), number == 0, 1, 1, ("nodetool",), at, action, action)

    def folder(self, member: Member) -> Path:
        return self.root / member.label

    def runs(self, member: Member) -> bool:
        return (self.folder(member) / "running").exists()

    def _act(self, member: Member, _: Any, verb: str) -> None:
        self.step()
        self.said.append(f"{verb} {member.label}")
        running = self.folder(member) / "running"
        if verb == "stop":
            running.unlink(missing_ok=True)
        else:
            assert len({self.content(each) for each in self.cluster.members}) == 1, "started on a mixed set"
            assert self.log(member) == (self.content(member) == LIVE), "a log of other data is replayed"
            running.touch()

    def _wait_whole(self) -> None:
        assert all(map(self.runs, self.cluster.members))

    def step(self) -> None:
        self.commands += 1
        if self.commands == self.dies_at:
            raise Killed

    def content(self, member: Member) -> str:
        """What its server would find."""
        found = self.folder(member) / "data/system/x.db"
        return found.read_text() if found.exists() else ""

    def live(self) -> str:
        (only,) = {self.content(member) for member in self.cluster.members}
        return only

    def log(self, member: Member) -> bool:
        return (self.folder(member) / "commitlog/log").exists()

    def moving(self, target: Target = IN_PLACE) -> Moving:
        return Moving(self.cluster, target, self.said.append)

    def stage(self, target: Target = IN_PLACE) -> Moving:
        for member in self.cluster.members:
            there = self.folder(member) / "data" / WORKING / "system"
            there.mkdir(parents=True)
            (there / "x.db").write_text(STAGED)
        moving = self.moving(target)
        moving.claim()
        moving.ready()
        return moving


class MortalNode(LocalNode):
    """Before each of its commands the world may end."""

    def __init__(self, world: World, label: str) -> None:
        super().__init__(label, "127.0.0.1")
        self.world = world

    def run(self, command: Sequence[str], *, sent: bytes = b"", timeout: float = 60) -> str:
        self.world.step()
        words = [word.replace("settle() {", "settle() { return 0;") for word in command]  # no disk of the machine is flushed
        return cast(str, super().run([word.replace('sync -f "$1" 2>/dev/null || sync', ":") for word in words], sent=sent, timeout=timeout))


@contextmanager
def new_world() -> Iterator[World]:
    """Two nodes that run, of which nothing is staged."""
    with pytest.MonkeyPatch.context() as patch:
        root = Path(tempfile.mkdtemp())
        try:
            yield World(root, patch)
        finally:
            shutil.rmtree(root)

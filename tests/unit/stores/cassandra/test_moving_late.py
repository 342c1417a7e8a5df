"""A command of a try that died is carried out late: a script, or an act, lives on without whoever sent it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import pytest

from midtime.errors import LeaseHeldError, MidtimeError, RestoreFailedError
from midtime.stores.base import Target
from midtime.stores.cassandra import lifecycle, moving, swapping
from midtime.stores.cassandra.cluster import Member
from midtime.stores.cassandra.moving import Moving
from midtime.stores.cassandra.swapping import Swap
from tests.unit.steps import Killed, die
from tests.unit.stores.cassandra.moving_room import DRILL, IN_PLACE, LINES, LIVE, STAGED, MortalNode, World, new_world

CHANGES = (swapping._FORWARD, swapping._BACK, moving._CONFIGURE)
"""Scripts that do something to what is live."""


class Late:
    """What the command does that was about to be run when its process died, and when.

    What has been sent to a node goes on there; an act holds a lock, for which the next one on that node waits.

    :param due: before the so many-th command of whoever comes after it; an act at the latest before the next act on its node
    """

    def __init__(self, world: World, due: int) -> None:
        self.world, self.due = world, due
        self.pending: Callable[[], object] | None = None
        self.node = ""
        """Whose act it is; empty: it is a script."""
        self.opened = {member.label: LIVE for member in world.cluster.members}
        """What the server of each node has opened."""
        self._act, self._run, self._step = world._act, MortalNode.run, world.step
        world.patch.setattr(lifecycle, "act", self.act)
        world.patch.setattr(MortalNode, "run", lambda node, command, **options: self.run(node, command, **options))
        world.patch.setattr(world, "step", self.step)

    def step(self) -> None:
        """Before each command."""
        if self.pending:
            self.due -= 1
            if self.due <= 0:
                self.fire()
        self._step()

    def run(self, node: MortalNode, command: Sequence[str], **options: Any) -> str:
        """A script: sent, and then we die."""
        try:
            return self._run(node, command, **options)
        except Killed:
            if any(change in word for change in CHANGES for word in command):
                self.pending = lambda: self._run(node, command, **options)
            raise

    def act(self, member: Member, action: Any, verb: str) -> None:
        """An act: begun, and then we die."""
        if self.node == member.label:
            self.fire()
        try:
            self._act(member, action, verb)
        except Killed:
            self.node, self.pending = member.label, lambda: self.done(member, verb)
            raise
        self.note(member, verb)

    def done(self, member: Member, verb: str) -> None:
        """What an act comes to, whatever stands in the folders by then."""
        running = self.world.folder(member) / "running"
        if verb == "stop":
            running.unlink(missing_ok=True)
        else:
            running.touch()
        self.note(member, verb)

    def note(self, member: Member, verb: str) -> None:
        if verb == "start":
            self.opened.setdefault(member.label, self.world.content(member))
        else:
            self.opened.pop(member.label, None)

    def fire(self) -> None:
        """It is carried out."""
        pending, self.pending, self.node = self.pending, None, ""
        if pending:
            with suppress(MidtimeError):
                pending()

    def require(self, wanted: str) -> None:
        """All nodes have that, and their servers run on it."""
        assert {self.world.content(member) for member in self.world.cluster.members} == {wanted}
        assert self.opened == dict.fromkeys(self.opened.keys() | {member.label for member in self.world.cluster.members}, wanted)
        assert all(map(self.world.runs, self.world.cluster.members))


def ended(after: Moving, then: str, lines: Any) -> None:
    """A retry, the teardown, the sweeper: one of them comes to the end."""
    for _ in range(4):
        try:
            after.forward(lines) if then == "forward" else after.back()
        except MidtimeError:
            continue
        return
    pytest.fail("it never ends")


@pytest.mark.parametrize(
    "due", [2, 7, *(pytest.param(each, marks=pytest.mark.long) for each in (1, 3, 4, 5, 6, 8, 9, 10, 12, 15, 20, 30, 999))]
)
@pytest.mark.parametrize(
    ("target", "then"),
    [(IN_PLACE, "back"), pytest.param(IN_PLACE, "forward", marks=pytest.mark.long), pytest.param(DRILL, "back", marks=pytest.mark.long)],
    ids=["in place, back", "in place, forward", "drill, back"],
)
def test_at_any_moment(target: Target, then: str, due: int) -> None:
    """Killed at each command that changes something; whoever comes next gets a whole cluster, and keeps it."""
    tried = 0
    for number in count(1):
        with new_world() as world:
            lines = {member.label: LINES for member in world.cluster.members} if target is DRILL else None
            first, late = world.stage(target), Late(world, due)
            world.dies_at = world.commands + number
            try:
                first.forward(lines)
                break
            except Killed:
                pass
            if late.pending is None:
                continue
            tried += 1
            ended(world.moving(target), then, lines)
            late.fire()
            late.require(STAGED if then == "forward" else LIVE)
    assert tried > 5


def test_a_stop_that_fails_is_not_waited_for(world: World) -> None:
    """Nothing was moved: the nodes that were stopped are started again, whatever their stop says."""
    act = world._act

    def fails(member: Member, action: Any, verb: str) -> None:
        if verb == "stop" and member.label == "node1":
            raise RestoreFailedError("node node1: stop failed", fix="-")
        act(member, action, verb)

    world.patch.setattr(lifecycle, "act", fails)
    with pytest.raises(RestoreFailedError, match="stop failed"):
        world.stage().forward()
    assert not world.runs(world.cluster.members[0])
    world.moving().back()
    assert all(map(world.runs, world.cluster.members))


def test_started_by_somebody_while_files_move_back(world: World) -> None:
    moving, back, (first, _) = world.stage(), Swap.back, world.cluster.members
    moving.forward()

    def and_started(swap: Swap) -> None:
        back(swap)
        (world.folder(first) / "running").touch()

    with world.patch.context() as inner:
        inner.setattr(Swap, "back", and_started)
        with pytest.raises(RestoreFailedError, match="node0 was started by somebody while the files were moved"):
            moving.back()
    world.said.clear()
    world.moving().back()
    assert "stop node0" in world.said
    assert all(map(world.runs, world.cluster.members))


def test_killed_before_it_was_seen_that_all_are_down(world: World) -> None:
    """What somebody has started while files moved is stopped by the next try: it has files open that are not there any more."""
    first, _ = world.cluster.members
    with world.patch.context() as inner, pytest.raises(Killed):
        inner.setattr(Moving, "_require_down", die)
        world.stage().forward()
    (world.folder(first) / "running").touch()
    world.said.clear()
    world.moving().forward()
    assert world.said[:3] == ["stop node0", "stop node1", "Stopped: node0, node1"]
    assert world.live() == STAGED


def test_a_teardown_that_slept_stops_nobody(world: World) -> None:
    """Frozen in the middle of its way back, it wakes up when the sweeper has ended the run."""
    world.stage().forward()
    look, slept = Swap.look, world.moving()

    def and_slept(swap: Swap) -> Any:
        found = look(swap)
        if swap.node.label == "node1":
            world.patch.setattr(Swap, "look", look)
            sweeper = world.moving()
            sweeper.back()
            sweeper.drop()
            world.said.clear()
        return found

    world.patch.setattr(Swap, "look", and_slept)
    with pytest.raises(LeaseHeldError, match="were given back meanwhile"):
        slept.back()
    assert world.said == []
    assert all(map(world.runs, world.cluster.members))

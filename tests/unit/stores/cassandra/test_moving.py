"""A cluster on its way into place, or back: no node is started before all have the same, whoever dies when."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pytest

from midtime.errors import LeaseHeldError, RestoreFailedError, TargetExistsError, ToolError
from midtime.stores.cassandra import lifecycle
from midtime.stores.cassandra.cluster import Member
from midtime.stores.cassandra.lifecycle import Lifecycle
from midtime.stores.cassandra.swapping import Swap
from tests.unit.steps import Killed, die
from tests.unit.stores.cassandra.moving_room import DRILL, IN_PLACE, LINES, LIVE, STAGED, WORKING, World, new_world


class TestForward:
    def test_seeds_first(self, world: World) -> None:
        world.stage().forward()
        assert world.live() == STAGED
        assert [each for each in world.said if each.startswith(("stop ", "start "))] == [
            *("stop node0", "stop node1", "start node0", "start node1"),
        ]
        assert not any(map(world.log, world.cluster.members)), "writes after the snapshot would be replayed"

    def test_again(self, world: World) -> None:
        world.stage().forward()
        world.said.clear()
        world.moving().forward()
        assert world.said == []

    def test_nothing_is_staged_any_more(self, world: World) -> None:
        world.stage().drop()
        with pytest.raises(RestoreFailedError, match="nothing is staged"):
            world.moving().forward()
        assert world.live() == LIVE
        assert world.said == [], "not even stopped"

    def test_woken_up_after_the_sweeper_has_ended_it(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """It slept after it had seen that everything is staged."""
        moving = world.stage()
        running = moving.life.running

        def and_slept() -> list[Member]:
            found = running()
            world.moving().drop()
            return found

        monkeypatch.setattr(moving.life, "running", and_slept)
        with pytest.raises(LeaseHeldError, match="node0 was given back meanwhile"):
            moving.forward()
        assert world.live() == LIVE
        assert world.said == [], "no node was stopped"

    def test_what_seems_to_be_down_is_stopped_too(self, world: World) -> None:
        """A server that is just being restarted shows no life."""
        (world.folder(world.cluster.members[1]) / "running").unlink()
        world.stage().forward()
        assert "stop node1" in world.said

    def test_started_by_somebody_while_files_move(self, world: World) -> None:
        """It has files open that were moved away, and listens like one that we started."""
        moving = world.stage()
        forward, (first, _) = Swap.forward, world.cluster.members

        def and_started(swap: Swap) -> None:
            forward(swap)
            (world.folder(first) / "running").touch()

        world.patch.setattr(Swap, "forward", and_started)
        with pytest.raises(RestoreFailedError, match="node0 was started by somebody while the files were moved"):
            moving.forward()
        assert not any(each.startswith("start ") for each in world.said)


class TestBack:
    def test_after_all(self, world: World) -> None:
        moving = world.stage()
        moving.forward()
        moving.back()
        assert world.live() == LIVE
        assert all(map(world.runs, world.cluster.members))
        assert all(map(world.log, world.cluster.members))
        moving.drop()
        assert not list(world.root.rglob("midtime_*"))
        assert not list(world.root.rglob(".midtime_*"))

    def test_there_and_back_and_there_again(self, world: World) -> None:
        """As a second try of the same task does."""
        world.stage().forward()
        world.moving().back()
        world.said.clear()
        world.moving().forward()
        assert world.live() == STAGED
        assert world.said[:2] == ["stop node0", "stop node1"]
        world.moving().back()
        assert world.live() == LIVE

    def test_where_nothing_was_done(self, world: World) -> None:
        world.stage().back()
        assert world.said == []

    def test_a_stop_of_a_try_that_died_is_still_at_work(self, world: World) -> None:
        """Its node still listens when it is asked whether it must be started."""
        first, dying = world.cluster.members[0], True

        def listens(member: Member) -> bool:
            nonlocal dying
            there = world.runs(member)
            if member is first and dying:
                dying = False
                (world.folder(first) / "running").unlink(missing_ok=True)
            return there

        moving = world.stage()
        with pytest.MonkeyPatch.context() as dies, pytest.raises(Killed):
            dies.setattr(Lifecycle, "stop", die)
            moving.forward()
        world.patch.setattr(lifecycle, "listens", listens)
        world.moving().back()
        assert world.live() == LIVE
        assert all(map(world.runs, world.cluster.members))

    def test_a_node_that_was_lost_stays_down(self, world: World) -> None:
        """It would join as a new one."""
        lost = world.cluster.members[1]
        (world.folder(lost) / "running").unlink()
        moving = world.stage()
        moving.forward()
        assert world.runs(lost)
        moving.back()
        assert not world.runs(lost)


class TestConfigured:
    def test_there_and_back(self, world: World) -> None:
        moving = world.stage(DRILL)
        moving.forward({member.label: LINES for member in world.cluster.members})
        for member in world.cluster.members:
            assert (world.folder(member) / "cassandra.yaml").read_text() == "other: 1\n\ninitial_token: '-5,7'\nnum_tokens: 2\n"
        world.moving(DRILL).back()
        for member in world.cluster.members:
            assert [path.name for path in world.folder(member).glob("cassandra.yaml*")] == ["cassandra.yaml"]
            assert (world.folder(member) / "cassandra.yaml").read_text() == "num_tokens: 4\nother: 1\n"

    def test_not_by_one_that_was_given_up(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        moving = world.stage(DRILL)
        monkeypatch.setattr(moving, "_require_down", moving.let_go)
        with pytest.raises(LeaseHeldError):
            moving.forward({member.label: LINES for member in world.cluster.members})
        assert (world.root / "node0/cassandra.yaml").read_text() == "num_tokens: 4\nother: 1\n"

    def test_one_that_cannot_be_read_is_not_taken_for_an_empty_one(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        tools = world.root / "tools"
        tools.mkdir()
        (tools / "grep").write_text("#!/bin/sh\nexit 2\n")
        (tools / "grep").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
        with pytest.raises(ToolError, match=r"node0: cannot write .*cassandra\.yaml"):
            world.stage(DRILL).forward({member.label: LINES for member in world.cluster.members})
        assert (world.root / "node0/cassandra.yaml").read_text() == "num_tokens: 4\nother: 1\n"

    def test_a_link_to_the_configuration(self, world: World) -> None:
        folder = world.folder(world.cluster.members[0])
        (folder / "real").mkdir()
        (folder / "cassandra.yaml").rename(folder / "real/cassandra.yaml")
        (folder / "cassandra.yaml").symlink_to(folder / "real/cassandra.yaml")
        moving = world.stage(DRILL)
        moving.forward({member.label: LINES for member in world.cluster.members})
        assert "initial_token" in (folder / "real/cassandra.yaml").read_text()
        moving.back()
        assert (folder / "cassandra.yaml").is_symlink()
        assert (folder / "cassandra.yaml").read_text() == "num_tokens: 4\nother: 1\n"
        assert [path.name for path in (folder / "real").iterdir()] == ["cassandra.yaml"]

    def test_what_is_to_stay(self, world: World) -> None:
        moving = world.stage(DRILL)
        moving.forward({member.label: LINES for member in world.cluster.members})
        assert not moving.kept
        moving.keep()
        assert moving.kept
        moving.unkeep()
        assert not moving.kept


class TestKilled:
    @pytest.mark.parametrize(("configured", "then"), [(False, "forward"), (False, "back"), (True, "back")])
    def test_before_any_command(self, configured: bool, then: str) -> None:
        number = 0
        while True:
            number += 1
            with new_world() as world:
                target = DRILL if configured else IN_PLACE
                lines = {member.label: LINES for member in world.cluster.members} if configured else None
                moving = world.stage(target)
                world.dies_at = world.commands + number
                try:
                    moving.forward(lines)
                    break
                except Killed:
                    pass
                after = world.moving(target)
                after.forward(lines) if then == "forward" else after.back()
                assert world.live() == (STAGED if then == "forward" else LIVE), number
                assert all(map(world.runs, world.cluster.members)), number
                if then == "back":
                    assert (world.root / "node0/cassandra.yaml").read_text() == "num_tokens: 4\nother: 1\n"
        assert number > 8

    def test_on_the_way_back(self) -> None:
        number = 0
        while True:
            number += 1
            with new_world() as world:
                moving = world.stage()
                moving.forward()
                world.dies_at = world.commands + number
                try:
                    moving.back()
                    break
                except Killed:
                    world.moving().back()
                assert world.live() == LIVE, number
                assert all(map(world.runs, world.cluster.members)), number
        assert number > 8


class TestOneAtATime:
    def test_another_run(self, world: World) -> None:
        world.moving().claim()
        world.moving().claim()
        other = replace(IN_PLACE, working=WORKING.replace("abcdef", "123456"))
        with pytest.raises(LeaseHeldError, match=f"node node0 is taken by another restore, {WORKING}"):
            world.moving(other).claim()
        world.moving(other).let_go()
        with pytest.raises(LeaseHeldError):
            world.moving(other).claim()
        world.moving().drop()
        world.moving(other).claim()


class TestToStay:
    def test_what_is_to_stay_is_replaced_by_nobody(self, world: World) -> None:
        """By then it may be the cluster that is used."""
        beside = replace(DRILL, final="ring_restored_abcdef")
        moving = world.stage(beside)
        moving.require_lent()
        moving.forward()
        moving.keep()
        moving.require_lent()  # its own, asked again
        moving.drop()
        other = world.moving(replace(DRILL, working="midtime_tmp_fedcba_1234_ring"))
        with pytest.raises(TargetExistsError, match="holds what a restore has brought there to stay"):
            other.require_lent()
        for member in world.cluster.members:
            shutil.rmtree(world.folder(member) / "data" / moving.aside)
        other.require_lent()

"""Commands on the worker itself: their streams, their ends, and what is left of them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from midtime.errors import StoreUnreachableError, ToolError
from midtime.stores.cassandra.nodes import local
from midtime.stores.cassandra.nodes.base import fed
from midtime.stores.cassandra.nodes.local import LocalNode
from midtime.stores.cassandra.nodes.words import KEPT
from tests.unit.processes import alive, until

NODE = LocalNode("node-a", "127.0.0.1")
MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "TICK", 0.02)
    monkeypatch.setattr(local, "GRACE", 0.2)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    yield
    assert until(lambda: len(os.listdir("/proc/self/fd")) <= files and threading.active_count() <= threads, "files and threads are let go")


class TestRun:
    def test_what_it_says(self) -> None:
        assert NODE.run(["echo", "a b", "$HOME"]) == "a b $HOME\n"

    def test_a_script_gets_its_arguments_as_they_are(self) -> None:
        assert NODE.shell('printf "%s|" "$@"; cat', "a b", "$(id)", "", "'", sent=b"sent") == "a b|$(id)||'|sent"

    def test_a_script_ends_at_the_first_failure(self) -> None:
        with pytest.raises(ToolError, match="exit code 1"):
            NODE.shell("false; echo went on")

    def test_its_last_words_are_in_the_error(self) -> None:
        with pytest.raises(ToolError, match=r"node-a: sh ended with exit code 3: no such keyspace"):
            NODE.shell("echo no such keyspace >&2; exit 3")

    def test_a_signal_is_named(self) -> None:
        with pytest.raises(ToolError, match="killed by SIGKILL"):
            NODE.shell("kill -9 $$")

    def test_a_command_that_is_missing(self) -> None:
        with pytest.raises(ToolError, match="node-a: /none/nodetool does not run: No such file or directory"):
            NODE.run(["/none/nodetool", "status"])

    def test_more_in_and_out_than_pipes_hold(self) -> None:
        sent = os.urandom(20 * MEGABYTE)
        assert NODE.output(["cat"], sent=sent) == sent

    def test_a_command_that_does_not_want_all_of_its_input(self) -> None:
        assert NODE.output(["head", "-c", "3"], sent=b"abc" * 10 * MEGABYTE) == b"abc"

    def test_a_flood_of_complaints_blocks_nothing(self) -> None:
        with pytest.raises(ToolError) as caught:
            NODE.shell("head -c 20000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1")
        assert caught.value.message.endswith("xxxthe end")
        assert len(caught.value.message) < KEPT + 100

    def test_a_hung_command_is_given_up(self) -> None:
        started = time.monotonic()
        with pytest.raises(StoreUnreachableError, match=r"sleep did nothing for 0.3 seconds"):
            NODE.run(["sleep", "60"], timeout=0.3)
        assert time.monotonic() - started < 5

    def test_a_command_that_closes_its_output_and_stays(self) -> None:
        with pytest.raises(StoreUnreachableError, match=r"has not ended within 0.3 seconds"):
            NODE.run(["sh", "-c", "exec >&- 2>&-; sleep 60"], timeout=0.3)

    def test_what_it_leaves_running_lives_on(self) -> None:
        """A node is started by a command that ends while the server, with the command's output in its hands, stays."""
        pid = int(NODE.shell("sleep 60 & echo $!"))
        assert alive(pid)
        os.kill(pid, 9)


class TestRunning:
    def test_output_comes_as_it_is_written(self) -> None:
        with NODE.start(["cat"]) as running:
            for line in (b"one", b"two"):
                running.send(line)
                assert running.read() == line
            assert running.alive
            running.end_input()
            running.end_input()
            assert running.read() == running.read() == b""
            running.wait(5)
            assert not running.alive

    def test_no_more_is_read_than_asked_for(self) -> None:
        with NODE.start(["echo", "abcdef"]) as running:
            assert running.read(4) == b"abcd"

    def test_sending_to_what_has_ended(self) -> None:
        with NODE.start(["true"]) as running:
            assert until(lambda: not running.alive, "it ends")
            with pytest.raises(ToolError, match="true has ended"):
                running.send(b"x" * MEGABYTE * 4)

    def test_sending_to_what_takes_nothing(self) -> None:
        with NODE.start(["sleep", "60"]) as running:
            running.silence = 0.3
            with pytest.raises(StoreUnreachableError, match="did nothing"):
                running.send(b"x" * MEGABYTE * 4)

    def test_leaving_it_ends_it_and_its_children(self, tmp_path: Path) -> None:
        with NODE.start(["sh", "-c", "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"]) as running:
            child = int(running.read())
        assert until(lambda: not alive(child), "the child ends")
        assert not running.alive
        running.close()

    def test_leaving_it_frees_who_feeds_it(self) -> None:
        with pytest.raises(ZeroDivisionError), NODE.start(["sleep", "60"]) as running, fed(running, b"x" * MEGABYTE * 4):
            raise ZeroDivisionError

    def test_a_failure_to_feed_is_told(self) -> None:
        with pytest.raises(StoreUnreachableError), NODE.start(["sleep", "60"]) as running:
            running.silence = 0.3
            with fed(running, b"x" * MEGABYTE * 4):
                pass

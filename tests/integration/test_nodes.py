"""The same of a node, however it is reached: on the worker, by SSH (asyncssh's server and OpenSSH's), by exec into a pod."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import StoreUnreachableError, ToolError
from midtime.stores.cassandra.nodes.base import Node, fed
from midtime.stores.cassandra.nodes.files import find, hashes, send_out, take_in
from tests.integration.cassandra_reached import ACCESS, Servers, reach, servers
from tests.unit.processes import alive, until
from tests.unit.stores.cassandra.nodes.test_files import CONTENT, ODD, content_of, fill

__all__ = ["servers"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
MEGABYTE = 1 << 20


@pytest.fixture(params=list(ACCESS))
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def node(way: str, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    if way != "local":
        server = servers.get(way)
        monkeypatch.setenv(f"AIRFLOW_CONN_{server.CONN_ID.upper()}", server.conn())
    opened = reach(way)
    yield opened
    opened.close()


class TestCommands:
    def test_arguments_and_output_stay_as_they_are(self, node: Node) -> None:
        words = ["a b", "$(id)", "", "'\"\\", "line\nline", "ü*", "-n", "!"]
        assert node.shell('printf "%s|" "$@"; cat', *words, sent=b"sent") == "|".join([*words, "sent"])

    def test_its_code_and_last_words(self, node: Node) -> None:
        with pytest.raises(ToolError, match="exit code 3: no such keyspace"):
            node.shell("echo no such keyspace >&2; exit 3")

    def test_a_command_that_is_missing(self, node: Node) -> None:
        with pytest.raises(ToolError, match=r"/none/nodetool.*(not found|No such file)"):
            node.run(["/none/nodetool", "status"])

    def test_a_hundred_megabytes_in_and_out(self, node: Node) -> None:
        sent = os.urandom(100 * MEGABYTE)
        with node.start(["cat"]) as running, fed(running, sent):
            digest = sha256()
            while chunk := running.read():
                digest.update(chunk)
            running.wait(10)
        assert digest.digest() == sha256(sent).digest()

    def test_a_flood_of_complaints_blocks_nothing(self, node: Node) -> None:
        with pytest.raises(ToolError, match="xxxthe end"):
            node.shell("head -c 20000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1")

    def test_a_command_that_does_not_want_all_of_its_input(self, node: Node) -> None:
        assert node.output(["head", "-c", "3"], sent=b"abc" * 3 * MEGABYTE) == b"abc"

    def test_a_command_that_ends_while_there_is_more_to_send(self, node: Node) -> None:
        with node.start(["echo", "done"]) as running:
            assert running.read() == b"done\n"
            assert running.read() == b""
            running.wait(10)
            with pytest.raises(ToolError):
                for _ in range(20):
                    running.send(b"x" * MEGABYTE)

    def test_output_comes_as_it_is_written(self, node: Node) -> None:
        with node.start(["cat"]) as running:
            for line in (b"one", b"two"):
                running.send(line)
                assert running.read() == line
            assert running.alive
            running.end_input()
            assert running.read() == b""
            running.wait(10)
            assert not running.alive

    def test_many_at_once(self, node: Node) -> None:
        with ThreadPoolExecutor(12) as pool:
            said = list(pool.map(lambda index: node.shell('sleep 0.3; echo "$1"', str(index), sent=b"x" * MEGABYTE), range(12)))
        assert said == [f"{index}\n" for index in range(12)]


class TestEnds:
    def test_a_hung_command_is_given_up_and_ended_on_the_node(self, node: Node) -> None:
        with node.start(["sh", "-c", "sleep 600 & echo $!; wait"]) as running:
            child = int(running.read())
            running.silence = 0.5
            started = time.monotonic()
            with pytest.raises(StoreUnreachableError, match="did nothing"):
                running.read()
            assert time.monotonic() - started < 5
            assert alive(child)
        until(lambda: not alive(child), "the command ends on the node")

    def test_a_command_that_takes_nothing(self, node: Node) -> None:
        with node.start(["sleep", "600"]) as running:
            running.silence = 0.5
            with pytest.raises(StoreUnreachableError, match="did nothing"):
                for _ in range(64):
                    running.send(b"x" * MEGABYTE)

    def test_no_thread_and_no_file_is_left(self, node: Node) -> None:
        node.run(["true"])
        before = len(os.listdir("/proc/self/fd")), threading.active_count()
        for _ in range(5):
            node.run(["true"])
            with node.start(["sleep", "600"]):
                pass
        until(lambda: (len(os.listdir("/proc/self/fd")), threading.active_count()) <= before, "all is let go")


class TestFiles:
    def test_there_and_back(self, node: Node, tmp_path: Path) -> None:
        fill(tmp_path / "one", CONTENT | {"large": os.urandom(9 * MEGABYTE)})
        paths = [*ODD, "large"]
        root, new = str(tmp_path / "one"), str(tmp_path / "two")
        assert {file.path for file in find(node, [root])} == set(paths)
        with send_out(node, root, paths) as files:
            take_in(node, new, files, None)
        assert content_of(tmp_path / "two") == content_of(tmp_path / "one")
        assert hashes(node, root, paths) == hashes(node, new, paths)


@pytest.mark.parametrize("way", [way for way in ACCESS if way != "local"], indirect=True)
class TestDeath:
    def test_the_server_is_killed_in_mid_transfer(self, node: Node, way: str, servers: Servers) -> None:
        server: Any = servers.get(way)
        with node.start(["cat"]) as sending, node.start(["cat", "/dev/zero"]) as reading:
            sending.send(b"x")
            assert sending.read() == b"x"
            assert reading.read()
            server.kill()
            started = time.monotonic()
            with pytest.raises(StoreUnreachableError):
                while reading.read():
                    pass
            with pytest.raises(StoreUnreachableError):
                while True:
                    sending.send(b"x" * MEGABYTE)
            with pytest.raises(StoreUnreachableError):
                sending.wait(30)
            assert time.monotonic() - started < 20
        with pytest.raises(StoreUnreachableError):
            node.run(["true"])
        server.start()
        assert node.run(["echo", "again"]) == "again\n"

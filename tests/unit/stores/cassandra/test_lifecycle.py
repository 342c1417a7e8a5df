"""Nodes are stopped and started by commands of the user's, and seen to be down by what a server leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from midtime.errors import RequestError, RestoreFailedError
from midtime.model.topology.cassandra import Directories
from midtime.model.topology.commands import Action, KubernetesScale
from midtime.stores.cassandra import lifecycle
from midtime.stores.cassandra.cluster import Cluster, Member
from midtime.stores.cassandra.lifecycle import Lifecycle, act, listens, require_actions, signs_of_life
from midtime.stores.cassandra.nodes.local import LocalNode
from tests.unit.stores.cassandra.moving_room import spec


def shell(script: str, seconds: float = 30) -> Action:
    return Action(command=("sh", "-c", script), timeout=timedelta(seconds=seconds))


def member(folder: Path, *, port: int = 1, stop: Action | None = None, start: Action | None = None) -> Member:
    places = {name: str(folder / name) for name in ("commitlog", "hints", "saved_caches", "cdc_raw")}
    for each in ("commitlog", "data"):
        (folder / each).mkdir(exist_ok=True)
    at = Directories(config=str(folder / "cassandra.yaml"), data=(str(folder / "data"),), **places)
    return Member(LocalNode("one", "127.0.0.1"), True, port, 1, ("nodetool",), at, stop or shell("true"), start or shell("true"))


def cluster(*members: Member) -> Cluster:
    return Cluster("ring", spec(), members, conn_id=None, jmx_conn_id=None)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody who has a segment of the commit log open."""
    (tmp_path / "commitlog").mkdir()
    script = "import sys, time; log = open(sys.argv[1], 'w'); print('up', flush=True); time.sleep(60)"
    log = str(tmp_path / "commitlog/CommitLog-7-1.log")
    with subprocess.Popen([sys.executable, "-c", script, log], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


class TestSigns:
    def test_a_server_whose_port_is_closed_already(self, tmp_path: Path, server: subprocess.Popen[bytes]) -> None:
        assert signs_of_life(member(tmp_path)) == [f"process {server.pid} has its commit log open"]
        server.kill()
        server.wait()
        assert signs_of_life(member(tmp_path)) == []

    def test_a_server_that_listens(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            there = member(tmp_path, port=listening.getsockname()[1])
            assert listens(there)
            assert signs_of_life(there) == ["CQL port open"]

    def test_the_log_of_another_node_is_none(self, tmp_path: Path, server: subprocess.Popen[bytes]) -> None:
        assert server.poll() is None
        other = tmp_path / "commit"
        other.mkdir()
        assert signs_of_life(member(other)) == []


class TestAct:
    def test_the_host_is_put_in(self, tmp_path: Path) -> None:
        there = member(tmp_path, stop=Action(command=("touch", f"{tmp_path}/{{host}}.stopped")))
        act(there, there.stop, "stop")
        assert (tmp_path / "127.0.0.1.stopped").exists()

    def test_it_fails(self, tmp_path: Path) -> None:
        there = member(tmp_path, stop=shell("echo no such unit >&2; exit 5"))
        with pytest.raises(RestoreFailedError, match=r"node one: stop failed: .*no such unit"):
            act(there, there.stop, "stop")

    def test_it_hangs(self, tmp_path: Path) -> None:
        there = member(tmp_path, stop=shell("sleep 60", 0.5))
        began = time.monotonic()
        with pytest.raises(RestoreFailedError, match="124"):
            act(there, there.stop, "stop")
        assert time.monotonic() - began < 20

    def test_what_a_start_leaves_running_keeps_nobody(self, tmp_path: Path) -> None:
        there = member(tmp_path, start=shell(f"sleep 30 & echo $! > {tmp_path}/pid"))
        began = time.monotonic()
        act(there, there.start, "start")
        assert time.monotonic() - began < 20
        pid = (tmp_path / "pid").read_text().strip()
        assert Path(f"/proc/{pid}").exists(), "a server is not ended with what has started it"
        subprocess.run(["kill", pid], check=True)

    def test_an_act_of_a_process_that_died_comes_to_its_end_first(self, tmp_path: Path) -> None:
        log, one = tmp_path / "log", member(tmp_path)
        self._begun_and_killed(one, f"echo begun >>{log}; sleep 1; echo ended >>{log}; sleep 60 & echo $! >{log}.pid", log)
        act(one, shell(f"echo next >>{log}"), "start")
        assert log.read_text().split() == ["begun", "ended", "next"]
        subprocess.run(["kill", (tmp_path / "log.pid").read_text().strip()], check=True)  # what it leaves running holds up nobody

    def test_an_act_of_a_process_that_died_does_not_end(self, tmp_path: Path) -> None:
        log, one = tmp_path / "log", member(tmp_path, stop=shell("true", 1), start=shell("true", 1))
        self._begun_and_killed(one, f"echo begun >>{log}; sleep 10", log)
        with pytest.raises(
            RestoreFailedError,
            match=r"start failed: .*an earlier stop or start is still at work on it.*see on the node what that waits for",
        ):
            act(one, shell(f"echo next >>{log}", 1), "start")
        assert log.read_text().split() == ["begun"]

    @staticmethod
    def _begun_and_killed(one: Member, script: str, log: Path) -> None:
        pid = os.fork()
        if not pid:
            act(one, shell(script), "stop")
            os._exit(0)
        while not log.exists():
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class TestStop:
    def test_a_stop_that_stops_nothing(self, tmp_path: Path, server: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lifecycle, "POLL_SECONDS", 0.05)
        there = member(tmp_path, stop=shell("true", 0.3))
        with pytest.raises(RestoreFailedError, match=f"was stopped and still runs: process {server.pid}"):
            Lifecycle(cluster(there), print).stop([there])

    def test_a_stop(self, tmp_path: Path, server: subprocess.Popen[bytes]) -> None:
        there = member(tmp_path, stop=shell(f"kill {server.pid}"))
        said: list[str] = []
        Lifecycle(cluster(there), said.append).stop([there])
        assert said == ["Stopped: one"]
        assert Lifecycle(cluster(there), print).running() == []


class TestRequired:
    def test_a_pod_that_is_scaled_away(self, tmp_path: Path) -> None:
        scale = Action(kubernetes=KubernetesScale(namespace="n", workloads=("statefulset/c",)))
        with pytest.raises(RequestError, match="without its pod nobody reaches its files"):
            require_actions(cluster(member(tmp_path, stop=scale)))

    def test_nothing_given(self, tmp_path: Path) -> None:
        there = member(tmp_path)
        without = Member(there.node, True, 1, 1, ("nodetool",), there.directories, None, None)
        with pytest.raises(RequestError, match="node one has no `stop`"):
            require_actions(cluster(without))

"""The login that is in no argument, and snapshots that wait for it; with a real shell and a nodetool of ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from midtime.errors import MidtimeError, StoreAccessError, StoreUnreachableError, ToolError
from midtime.stores.cassandra.nodes.local import LocalNode
from midtime.stores.cassandra.nodetool import ArmedCommand, Login, Nodetool, told
from tests.unit.stores.cassandra import arming
from tests.unit.stores.cassandra.fake_ring import member_of, recorded

SECRET = Login("operator", "Geh3im")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The node's folder for temporary files."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def tool_in(folder: Path, login: Login | None = None, command: tuple[str, ...] | None = None) -> Nodetool:
    return Nodetool(member_of(LocalNode("n1", "127.0.0.1"), nodetool=command or arming.nodetool(folder)), login)


def done_in(folder: Path) -> list[str]:
    done = folder / "done"
    return done.read_text().splitlines() if done.exists() else []


@pytest.fixture
def armed(scratch: Path) -> Iterator[ArmedCommand]:
    command = tool_in(scratch, SECRET).armed_snapshot("tag", ["bank", "system"], timedelta(days=3), 60)
    command.wait_ready(20)
    yield command
    command.close()


def tools_of(folder: Path) -> list[int]:
    """Those nodetools that still run."""
    return [pid for pid in (int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")) if psutil.pid_exists(pid)]


def gone(folder: Path) -> bool:
    """Whether all have ended, within a few seconds."""
    deadline = time.monotonic() + 8
    while tools_of(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not tools_of(folder)


def test_login_reaches_nodetool_by_a_fifo_that_is_removed(scratch: Path) -> None:
    tool_in(scratch, SECRET).clear("tag")
    assert done_in(scratch) == ["operator|Geh3im|clearsnapshot -t tag"]
    assert not list((scratch / "tmp").iterdir())


def test_without_login_nodetool_is_told_none(scratch: Path) -> None:
    tool_in(scratch).flush()
    assert done_in(scratch) == ["||flush"]


def test_armed_snapshot_waits_and_goes_on(scratch: Path, armed: ArmedCommand) -> None:
    time.sleep(0.3)
    assert armed.alive
    assert not done_in(scratch)
    armed.release()
    armed.wait(10)
    assert done_in(scratch) == ["operator|Geh3im|snapshot -t tag --ttl 259200s bank system"]
    assert not list((scratch / "tmp").iterdir())


@pytest.mark.usefixtures("armed")
def test_password_is_in_no_argument_and_no_environment_of_any_process(scratch: Path) -> None:
    for process in psutil.process_iter(["cmdline", "environ"]):
        assert SECRET.password not in " ".join(process.info["cmdline"] or ())
        assert SECRET.password not in str(process.info["environ"])
    (folder,) = (scratch / "tmp").iterdir()
    assert folder.stat().st_mode & 0o077 == 0


def test_closing_ends_nodetool_without_a_snapshot(scratch: Path, armed: ArmedCommand) -> None:
    assert tools_of(scratch)
    armed.close()
    assert gone(scratch)
    assert not done_in(scratch)
    assert not list((scratch / "tmp").iterdir())


def test_killed_worker_takes_no_snapshot(scratch: Path) -> None:
    """SIGKILL to who armed: nobody can tell nodetool anything."""
    command = [sys.executable, "-m", "tests.unit.stores.cassandra.arming", str(scratch)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "plugins:."}) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == b"armed\n"
        assert tools_of(scratch)
        worker.send_signal(signal.SIGKILL)
    assert gone(scratch)
    assert not done_in(scratch)


def test_killed_wrapper_takes_no_snapshot(scratch: Path, armed: ArmedCommand) -> None:
    """SIGKILL to the shell alone: the FIFO must not come to its end, or nodetool would go on without a password."""
    (tool,) = tools_of(scratch)
    wrapper = next(parent for parent in psutil.Process(tool).parents() if "-euc" in parent.cmdline())
    wrapper.kill()
    time.sleep(0.5)
    assert not done_in(scratch)
    armed.close()
    assert gone(scratch)
    assert not done_in(scratch)


def test_nodetool_that_ends_while_it_waits_is_seen(scratch: Path, armed: ArmedCommand) -> None:
    (tool,) = tools_of(scratch)
    os.kill(tool, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while armed.alive and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not armed.alive
    with pytest.raises(ToolError):
        armed.release()


def test_server_that_ends_while_nodetool_waits_is_seen(scratch: Path) -> None:
    """nodetool itself notices nothing: it connects only when it is let go."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        member = member_of(LocalNode("n1", "127.0.0.1"), nodetool=arming.nodetool(scratch), jmx_port=server.getsockname()[1])
        armed = Nodetool(member).armed_snapshot("tag", ["bank"], timedelta(0), 60)
        armed.wait_ready(20)
        time.sleep(1)
        assert armed.alive
    with closing(armed), pytest.raises(StoreUnreachableError, match="nothing listens at port"):
        armed.wait(5)
    assert gone(scratch)
    assert not done_in(scratch)


def test_nodetool_that_does_not_start_is_told_at_once(scratch: Path) -> None:
    tool = tool_in(scratch, command=("/nowhere/nodetool",))
    with closing(tool.armed_snapshot("tag", ["bank"], timedelta(0), 60)) as armed, pytest.raises(ToolError, match="node n1"):
        armed.wait_ready(20)
    with pytest.raises(ToolError, match="No such file"):
        tool.status()


def test_failure_of_a_released_snapshot_is_told_without_java(scratch: Path, armed: ArmedCommand) -> None:
    (scratch / "fails").write_text(recorded("snap-exists-5.0.txt") + "\tat java.base/somewhere.in.Java(Unknown Source)\n" * 100)
    armed.release()
    with pytest.raises(ToolError, match="Snapshot cold1 already exists") as caught:
        armed.wait(10)
    assert "takeSnapshot" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (recorded("refused-5.0.txt"), StoreUnreachableError),
        ("nodetool: Failed to connect to 'h:7199' - SecurityException: 'Authentication failed! Invalid username or password'.", StoreAccessError),
        ("error: Access denied! Invalid access level for requested MBeanServer operation.", StoreAccessError),
        (recorded("snap-nope-5.0.txt"), ToolError),
    ],
)  # fmt: skip
def test_last_words_tell_what_is_wrong(said: str, kind: type[MidtimeError]) -> None:
    error = told(ToolError(f"node n1: sh ended with exit code 1: {said}"), "n1")
    assert type(error) is kind
    assert error.message.startswith("node n1: ")
    assert "sh ended" not in error.message

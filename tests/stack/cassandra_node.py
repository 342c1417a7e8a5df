"""One node of a Cassandra cluster of the stack."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.stack import cassandra_control
from tests.stack.cassandra_files import NodeFiles
from tests.stack.processes import Port, StackError

CQL_PORT, STORAGE_PORT = 9042, 7000


class CassandraNode:
    """One node. What it has stays in its folder when it stops."""

    def __init__(self, files: NodeFiles, port: Port) -> None:
        self.files, self.host, self.jmx_port, self._port = files, files.host, files.jmx_port, port

    @property
    def folder(self) -> Path:
        return self.files.folder

    @property
    def directories(self) -> dict[str, Any]:
        """As a topology calls them."""
        return self.files.directories

    @property
    def pid(self) -> int:
        """Of its JVM; 0 if it does not run."""
        return cassandra_control.ask(self.folder, "pid")

    @property
    def seed(self) -> bool:
        return self.host == self.files.seed

    def command(self, verb: str) -> list[str]:
        """What a topology names as ``start`` or ``stop``, to be run by whoever likes."""
        return [sys.executable, "-I", "-S", cassandra_control.__file__, verb, str(self.folder)]

    def start(self) -> None:
        """And return at once; the cluster's ``wait_un`` waits."""
        cassandra_control.start(self.folder)

    def stop(self) -> None:
        cassandra_control.stop(self.folder)

    def kill(self) -> None:
        """A crash: SIGKILL."""
        cassandra_control.stop(self.folder, "kill")

    def wipe(self) -> None:
        """The loss of all its disks; its configuration is left. It must not run."""
        assert not self.pid, f"{self.host} runs"
        for directory in [
            *self.directories["data"],
            *(self.directories[name] for name in ("commitlog", "hints", "saved_caches", "cdc_raw")),
        ]:
            shutil.rmtree(directory, ignore_errors=True)

    def nodetool(self, *arguments: str, login: tuple[str, str] | None = None, timeout: float = 120) -> str:
        """What it says; JMX's login is shown to everybody on the machine, which a test may do."""
        user = ["-u", login[0], "-pw", login[1]] if login else []
        command = [str(self.files.nodetool), "-p", str(self.jmx_port), *user, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise StackError(f"nodetool {' '.join(arguments)} of {self.host} failed:\n{done.stdout[-1000:]}{done.stderr[:1000]}")
        return done.stdout

    def as_node(self) -> dict[str, Any]:
        """As a topology lists it."""
        return {
            "host": self.host,
            "seed": self.seed,
            "cql_port": CQL_PORT,
            "jmx_port": self.jmx_port,
            "nodetool": [str(self.files.nodetool)],
            "directories": self.directories,
            "stop": self.command("stop"),
            "start": self.command("start"),
        }

    def listens(self, port: int = CQL_PORT) -> bool:
        """CQL is what a node opens last."""
        with contextlib.suppress(OSError), socket.create_connection((self.host, port), timeout=2):
            return True
        return False

    def up_and_normal(self) -> set[str]:
        """The addresses of which it says so."""
        lines = [line.split() for line in self.nodetool("status").splitlines()]
        return {words[1] for words in lines if words[:1] == ["UN"]}

    def log_tail(self, lines: int = 40) -> str:
        log = self.folder / cassandra_control.LOG
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def release(self) -> None:
        self._port.release()

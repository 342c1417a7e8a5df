"""Stops and starts a node of a Cassandra cluster as systemd would, by a shell command: ``cassandra_control.py stop FOLDER``.

The cluster's supervisor (``cassandra_control.py serve FOLDER``, a process of the stack) owns the JVMs: what a command starts must not
outlive the test run. A command asks it through a socket of an abstract name, since a path below pytest's folders can be too long for one.
Only the standard library is imported, and a folder is all that is needed, so that it runs from anywhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

COMMAND, LOG = "command.json", "output.log"
PR_SET_PDEATHSIG = 1
#: seconds after which a node that was asked to end is killed
PATIENCE = 60.0


def _address(folder: Path) -> str:
    return "\0midtime-cassandra-" + hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Supervisor:
    """Every request is carried out at once, and by the main thread alone: the JVMs die with the thread that started them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._ending: set[str] = set()

    def serve(self) -> None:
        """Until it is ended."""
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(_address(self._folder))
            server.listen(16)
            while True:
                connection, _ = server.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    verb, name = connection.recv(4096).decode().split(" ", 1)
                    connection.sendall(self._answer(verb, name).encode())

    def _answer(self, verb: str, name: str) -> str:
        """The process id of what runs now, or nothing; an error begins with an exclamation mark."""
        node = self._nodes.get(name)
        if node is not None and node.poll() is not None:
            del self._nodes[name]
            node = None
            self._ending.discard(name)
        try:
            if verb == "start":
                node = node or self._started(name)
                return "" if name in self._ending else str(node.pid)
            if node and verb in ("term", "kill"):
                node.send_signal(signal.SIGTERM if verb == "term" else signal.SIGKILL)
                self._ending.add(name)
        except Exception as error:  # noqa: BLE001 - whoever asked gets to know it, and the others are served
            return f"!{error!r}"
        return str(node.pid) if node else ""

    def _started(self, name: str) -> subprocess.Popen[bytes]:
        folder = self._folder / name
        command = json.loads((folder / COMMAND).read_text())
        with (folder / LOG).open("ab") as log:
            node = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=_die_with_parent
            )
        self._nodes[name] = node
        return node


def ask(folder: Path, verb: str) -> int:
    """Ask the supervisor of a node's cluster: ``start``, ``term``, ``kill`` or ``pid``. The process id of what runs, or 0."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(_address(folder.parent))
        client.sendall(f"{verb} {folder.name}".encode())
        answer = client.recv(4096).decode()
    if answer.startswith("!"):
        raise RuntimeError(f"{verb} {folder}: {answer[1:]}")
    return int(answer or 0)


def start(folder: Path) -> int:
    """Start the node unless it runs, and return at once; one that is about to end is waited for first."""
    while not (running := ask(folder, "start")):
        time.sleep(0.05)
    return running


def stop(folder: Path, verb: str = "term") -> None:
    """Stop the node if it runs, and wait until it has ended."""
    end = time.monotonic() + PATIENCE
    while ask(folder, verb):
        time.sleep(0.05)
        verb = "pid" if time.monotonic() < end else "kill"


def main(arguments: list[str]) -> int:
    verb, folder = arguments[0], Path(arguments[1])
    if verb == "serve":
        os.umask(0o022)
        Supervisor(folder).serve()
    elif verb == "pid":
        print(ask(folder, "pid") or "")
    elif verb == "start":
        start(folder)
    else:
        stop(folder, {"stop": "term", "kill": "kill"}[verb])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

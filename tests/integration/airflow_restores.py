"""Restores in a real Airflow: a product that they stop and start, a person who approves, and what is in the databases before and after."""

from __future__ import annotations

import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.integration.fixtures import Installation
from tests.stack.processes import StackError, poll
from tests.stack.scalardb import Place

COMMITTED = 3
_ASK = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as peer:
    peer.sendall(sys.argv[2].encode() + b"\\n")
    sys.exit(peer.recv(4) != b"done")
"""


class Switch:
    """Something of this process that a command of another one stops and starts.

    :param actions: by the word that the command says
    """

    def __init__(self, actions: Mapping[str, Callable[[], object]]) -> None:
        self.done: list[str] = []
        self._actions, switch = actions, self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                switch.act(self.rfile.readline().decode().strip())
                self.wfile.write(b"done")

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Switch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def act(self, word: str) -> None:
        self._actions[word]()
        self.done.append(word)

    def command(self, word: str) -> list[str]:
        """As a topology names it."""
        return [sys.executable, "-I", "-S", "-c", _ASK, str(self._server.server_address[1]), word]


def money(places: Mapping[str, Place], coordinator: str) -> int:
    """The sum of all accounts, as ScalarDB's lazy recovery would decide: what is not committed counts with its old balance.

    :param coordinator: the place that has it
    """
    states = places[coordinator].execute("SELECT tx_id, tx_state FROM coordinator.state")
    committed = {tx_id for tx_id, state in states if state == COMMITTED}
    total = 0
    for namespace, place in places.items():
        for balance, before, state, tx_id in place.execute(f"SELECT balance, before_balance, tx_state, tx_id FROM {namespace}.acct"):
            total += balance if state in (None, COMMITTED) or tx_id in committed else before
    return total


def marks(places: Mapping[str, Place]) -> list[list[int]]:
    """What the tables of that name hold, numbers or what spells them."""
    return [sorted(int(each) for (each,) in place.execute(f"SELECT id FROM {namespace}.mark")) for namespace, place in places.items()]


def asked(installation: Installation, dag_id: str, conf: Mapping[str, Any]) -> str:
    """Start a run that asks a person; the run, once it does."""
    airflow = installation.airflow
    run_id = airflow.trigger(dag_id, conf)
    try:
        poll("the question", lambda: airflow.hitl_pending(dag_id, run_id) or None, 120)
    except StackError:
        raise AssertionError(airflow.failure_report(dag_id, run_id)) from None
    return run_id


def approve(installation: Installation, dag_id: str, run_id: str) -> None:
    """Say yes."""
    time.sleep(1.5)  # an answer in the first moment is lost (facts/airflow.md 9)
    installation.airflow.hitl_respond(dag_id, run_id, "approve", ["Approve"])


def approved(installation: Installation, dag_id: str, conf: Mapping[str, Any], timeout: float = 420) -> str:
    """Start a run, say yes when it asks, and see it succeed; the run."""
    run_id = asked(installation, dag_id, conf)
    approve(installation, dag_id, run_id)
    installation.succeeded(dag_id, run_id, timeout=timeout)
    return run_id

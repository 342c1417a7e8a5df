"""A node in each of the ways in which one is reached, all of them this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midtime.model.topology.cassandra import Access, CassandraNode
from midtime.stores.cassandra.nodes.base import Node
from midtime.stores.cassandra.nodes.opened import open_nodes
from tests.stack.pod import Pod
from tests.stack.processes import Processes
from tests.stack.sshd import OpenSsh, Sshd, openssh_is_to_be_had

SERVERS: dict[str, type[Any]] = {"ssh": Sshd, "openssh": OpenSsh, "pod": Pod}
ACCESS: dict[str, Any] = {
    "local": "local",
    "ssh": {"ssh": {"conn_id": Sshd.CONN_ID}},
    "openssh": {"ssh": {"conn_id": Sshd.CONN_ID}},
    "pod": {"kubernetes": {"conn_id": Pod.CONN_ID, "namespace": "databases", "selector": "app=cassandra"}},
}


class Servers:
    """Each is started when it is asked for."""

    def __init__(self, directory: Path) -> None:
        self._processes, self._started = Processes(directory), dict[str, Any]()

    def get(self, way: str) -> Any:
        if way == "openssh" and not openssh_is_to_be_had():
            pytest.skip("no OpenSSH here, and none to be downloaded")
        if way not in self._started:
            self._started[way] = SERVERS[way](self._processes, way)
            self._started[way].start()
        return self._started[way]

    def stop(self) -> None:
        self._processes.stop()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("nodes"))
    yield made
    made.stop()


def reach(way: str) -> Node:
    """The one node that the access finds."""
    nodes = () if way == "pod" else (CassandraNode(host="127.0.0.1"),)
    ((node, _),) = open_nodes(Access.model_validate(ACCESS[way]), nodes)
    return node

"""A real Cassandra cluster of several nodes on one machine, each on a loopback address of its own with the usual ports.

JMX is on 127.0.0.1, at a port of each node's own. The JVMs belong to a supervisor (``cassandra_control.py``), which belongs to the stack.
"""

from __future__ import annotations

import contextlib
import getpass
import grp
import json
import os
import socket
import sys
import weakref
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.stack import cassandra_control
from tests.stack.cassandra_files import NodeFiles
from tests.stack.cassandra_node import CQL_PORT, STORAGE_PORT, CassandraNode
from tests.stack.cassandra_session import Session
from tests.stack.processes import Port, Process, Processes, StackError, poll

STARTS_WITHIN = 120


class Network:
    """Addresses of the loopback device that no other cluster of this machine uses meanwhile: 127.0.<ours>.1, 2, ..."""

    def __init__(self) -> None:
        self._name = socket.socket(socket.AF_UNIX)
        weakref.finalize(self, self._name.close)
        for number in range(10, 250):
            with contextlib.suppress(OSError):
                self._name.bind(f"\0midtime-network-{number}")
                self.prefix = f"127.0.{number}"
                return
        raise StackError("no network is free")

    def release(self) -> None:
        self._name.close()


class CassandraCluster:
    """Nodes in one data centre, each in a rack of its own; the first is the seed. Their folders are in ``processes.directory / name``.

    :param settings: of ``cassandra.yaml``
    :param data_directories: of each node
    :param login: user and password for CQL, that of the superuser at first; without it CQL asks for none
    :param jmx_logins: user -> password for JMX; without them it asks for none
    """

    def __init__(
        self,
        processes: Processes,
        name: str = "cassandra",
        *,
        nodes: int = 3,
        settings: Mapping[str, Any] | None = None,
        data_directories: int = 1,
        login: tuple[str, str] | None = None,
        jmx_logins: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.login, self._processes = name, login, processes
        self.folder = (processes.directory / name).resolve()
        self._network = Network()
        asking = {"authenticator": "PasswordAuthenticator", "authorizer": "CassandraAuthorizer"} if login else {}
        self.nodes = [
            self._node(number, data_directories, {**asking, **(settings or {})}, jmx_logins or {}) for number in range(1, nodes + 1)
        ]
        self._process: Process | None = None

    @property
    def hosts(self) -> list[str]:
        return [node.host for node in self.nodes]

    def node(self, index: int) -> CassandraNode:
        """The first is 0, and the seed."""
        return self.nodes[index]

    def start(self) -> CassandraCluster:
        """All nodes that do not run, and wait until they are one ring."""
        self.supervise()
        seed, *others = self.nodes
        seed.start()
        self._wait("the seed gossips", lambda: seed.listens(STORAGE_PORT) or None)
        for node in others:
            node.start()
        self.wait_un()
        return self

    def supervise(self) -> None:
        """The owner of the nodes, without which a command can start none."""
        if self._process is None or not self._process.alive:
            for node in self.nodes:
                if not node.files.config.exists():
                    node.files.write()
            command = [sys.executable, "-I", "-S", cassandra_control.__file__, "serve", str(self.folder)]
            self._process = self._processes.start(f"{self.name}-nodes", command, cwd=Path("/"), grace=3)
            self._process.wait_ready(lambda: self.nodes[0].pid >= 0, timeout=20)

    def stop(self) -> None:
        """Every node, as an operator would."""
        self.session.close()
        self._all(CassandraNode.stop)

    def kill(self) -> None:
        """All nodes crash."""
        self.session.close()
        self._all(CassandraNode.kill)

    def close(self) -> None:
        """End everything. The data stay; the addresses and ports are given back."""
        self.session.close()
        if self._process is not None:
            self._process.stop()
            self._process = None
        for node in self.nodes:
            node.release()
        self._network.release()

    def wait_un(self, nodes: Iterable[int] | None = None) -> None:
        """Until these nodes, by default all, say of each other that they are up and normal, with one schema."""
        wanted = [self.nodes[index] for index in nodes] if nodes is not None else self.nodes
        for node in wanted:
            self._wait(f"{node.host} listens", lambda node=node: node.listens() or None)
        hosts = {node.host for node in wanted}
        self._wait("all are UN", lambda: all(hosts <= up for up in self._all(CassandraNode.up_and_normal, wanted)) or None)
        self._wait("one schema", lambda: len({*self._all(self.schema_version, wanted)}) == 1 or None)

    def nodetool(self, index: int, *arguments: str, **options: Any) -> str:
        return self.nodes[index].nodetool(*arguments, **options)

    def nodetool_command(self, index: int) -> list[str]:
        """As a topology names it."""
        return [str(self.nodes[index].files.nodetool)]

    @cached_property
    def session(self) -> Session:
        return Session(self.hosts, CQL_PORT, self.login)

    def execute(self, statement: str, parameters: Any = None, *, consistency: str = "QUORUM") -> list[tuple[Any, ...]]:
        """Run one statement."""
        return self.session.execute(statement, parameters, consistency)

    def conn_uri(self, _: str = "") -> str:
        """An Airflow connection for CQL, as JSON."""
        user, password = self.login or (None, None)
        connection = {"conn_type": "cassandra", "host": ",".join(self.hosts), "port": CQL_PORT, "login": user, "password": password}
        return json.dumps({key: value for key, value in connection.items() if value is not None})

    def topology_store(self, name: str, namespaces: Iterable[str], **changes: Any) -> dict[str, Any]:
        """As a store of a topology."""
        return {
            "name": name,
            "engine": "cassandra",
            "namespaces": list(namespaces),
            "conn_id": f"{name}_cql",
            **self.drill_target(),
            "owner": f"{getpass.getuser()}:{grp.getgrgid(os.getgid()).gr_name}",
            "sstableloader": [str(self.nodes[0].files.sstableloader)],
            **changes,
        }

    def drill_target(self, **changes: Any) -> dict[str, Any]:
        """As what a topology's ``drill`` restores into."""
        return {"access": "local", "nodes": [node.as_node() for node in self.nodes], **changes}

    def _node(self, number: int, data_directories: int, settings: Mapping[str, Any], logins: Mapping[str, str]) -> CassandraNode:
        network, port = self._network.prefix, Port()
        folder, rack = self.folder / f"node{number}", f"rack{number}"
        host, seed = f"{network}.{number}", f"{network}.1"
        files = NodeFiles(folder, host, seed, port.number, self.name, rack, data_directories, settings, logins)
        return CassandraNode(files, port)

    def _all(self, work: Any, nodes: Iterable[CassandraNode] | None = None) -> list[Any]:
        wanted = self.nodes if nodes is None else list(nodes)
        with ThreadPoolExecutor(len(wanted)) as pool:
            return list(pool.map(work, wanted))

    def schema_version(self, node: CassandraNode) -> Any:
        return Session([node.host], CQL_PORT, self.login).once("SELECT schema_version FROM system.local")[0][0]

    def _wait(self, what: str, attempt: Any) -> None:
        try:
            poll(f"{self.name}: {what}", attempt, STARTS_WITHIN)
        except StackError as error:
            logs = "\n".join(f"--- {node.host} (process {node.pid})\n{node.log_tail(15)}" for node in self.nodes)
            raise StackError(f"{error}\n{logs}") from error

"""A ring of three nodes that answer nodetool as recorded from a real one (Cassandra 5.0.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from midtime.errors import MidtimeError
from midtime.model.topology.cassandra import Cassandra, Directories
from midtime.stores.cassandra.cluster import Cluster, Member
from midtime.stores.cassandra.nodes.base import Node, Running
from midtime.stores.cassandra.nodetool import READY, Nodetool
from midtime.stores.cassandra.snapshot_folders import _FOLDERS

RECORDED = Path(__file__).parent / "recorded"
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
IDS = ("60e59fae-6118-406e-a363-7abec45ef2dd", "4d036bc2-b7a9-454a-a9da-c55c74a1bb62", "2bb87faf-c442-4dee-8be2-48909eb29cc7")
Answer = str | MidtimeError | Callable[[Sequence[str]], str]


def recorded(name: str) -> str:
    """What nodetool printed."""
    return (RECORDED / name).read_text()


def info_of(number: int) -> str:
    """``nodetool info -T`` of each of the three: one was recorded."""
    said = recorded("info-5.0.txt").replace(IDS[0], IDS[number]).replace(": r1", f": r{number + 1}")
    return said.replace("Generation No          : 1795903321", f"Generation No          : 179590332{number}")


class Said(Running):
    """What a command of a fake node wrote."""

    def __init__(self, node: FakeNode, command: Sequence[str]) -> None:
        self._node, self._command, self.sent, self._rest = node, command, b"", node.answer(command)

    def send(self, chunk: bytes) -> None:
        self.sent += chunk
        if "snapshot" in self._command:
            self._node.sent.append(bytes(chunk))

    def end_input(self) -> None: ...

    def read(self, size: int = 1 << 20) -> bytes:
        said, self._rest = self._rest.encode(), ""
        return said

    def wait(self, timeout: float) -> None:
        self._node.waited.append(timeout)
        if self._node.ends_with and "snapshot" in self._command:
            raise self._node.ends_with

    @property
    def alive(self) -> bool:
        return self._node.waiting

    def close(self) -> None:
        self._node.closed += "snapshot" in self._command


class FakeNode(Node):
    """Answers by the first of its answers whose key is a word of the command."""

    def __init__(self, host: str, answers: dict[str, Answer]) -> None:
        super().__init__(host, host)
        self.answers, self.commands, self.sent, self.waited = answers, list[Sequence[str]](), list[bytes](), list[float]()
        self.waiting, self.closed = True, 0
        self.ends_with: MidtimeError | None = None
        """How its armed snapshot ends."""

    def told(self, word: str) -> list[Sequence[str]]:
        """The commands with that word."""
        return [command for command in self.commands if word in command]

    def start(self, command: Sequence[str]) -> Running:
        self.commands.append(command)
        return Said(self, command)

    def answer(self, command: Sequence[str]) -> str:
        for key, answer in self.answers.items():
            if key in command:
                if isinstance(answer, MidtimeError):
                    raise answer
                return answer if isinstance(answer, str) else answer(command)
        raise AssertionError(f"nobody expected {command}")


def member_of(node: Node, **changes: Any) -> Member:
    """A node as a topology lists it."""
    said: dict[str, Any] = {
        "seed": False,
        "cql_port": 9042,
        "jmx_port": 7199,
        "nodetool": ("nodetool",),
        "directories": Directories(data=("/data_a", "/data_b"), commitlog="/c", hints="/h", saved_caches="/s", cdc_raw="/cdc"),
        "stop": None,
        "start": None,
    }
    return Member(node, **{**said, **changes})


def spec_of(**changes: Any) -> Cassandra:
    return Cassandra.model_validate({"name": "ring", "engine": "cassandra", "access": "local", "nodes": list(HOSTS), **changes})


class Ring3:
    """Three nodes; ``answers[i]`` may be changed."""

    def __init__(self, **spec: Any) -> None:
        self.nodes = [
            FakeNode(
                host,
                {
                    "status": recorded("status-5.0.txt"),
                    "describecluster": recorded("describecluster-5.0.txt"),
                    "info": info_of(number),
                    "version": "ReleaseVersion: 5.0.4\n",
                    "listsnapshots": recorded("listsnapshots-5.0.txt"),
                    "tablestats": recorded("tablestats-5.0.json"),
                    "flush": "",
                    "clearsnapshot": "",
                    "snapshot": READY,
                    _FOLDERS: "",
                },
            )
            for number, host in enumerate(HOSTS)
        ]
        self.cluster = Cluster("ring", spec_of(**spec), [member_of(node) for node in self.nodes], conn_id=None, jmx_conn_id=None)

    def tool(self, member: Member) -> Nodetool:
        return Nodetool(member)

    def replace(self, number: int | None, key: str, old: str, new: str) -> None:
        """Let a node, or all of them, say something else."""
        for node in self.nodes if number is None else [self.nodes[number]]:
            said = node.answers[key]
            assert isinstance(said, str)
            assert old in said, f"{old!r} is not in what {key} says"
            node.answers[key] = said.replace(old, new)

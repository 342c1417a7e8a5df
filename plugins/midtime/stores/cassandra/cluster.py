"""A cluster as the topology lists it: its nodes, how each is reached, and where each keeps what it has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import yaml

from midtime.errors import MidtimeError, RequestError, StoreAccessError, StoreError
from midtime.model.topology import Topology
from midtime.model.topology.cassandra import Access, Cassandra, CassandraNode, Directories
from midtime.model.topology.commands import Action
from midtime.stores.cassandra.nodes.base import Node

T = TypeVar("T")

TOGETHER = 64
"""Nodes that are worked on at once."""
ALSO = 0.1
"""Seconds after a first failure in which others are still named with it, where nobody waits for all."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Folders of a node, as its server uses them."""

    data: tuple[str, ...]
    commitlog: str
    hints: str
    saved_caches: str
    cdc_raw: str | None
    config: str
    """Its ``cassandra.yaml``."""

    @property
    def folders(self) -> tuple[str, ...]:
        """All that the server writes to, the data directories last."""
        return (self.commitlog, self.hints, self.saved_caches, *([self.cdc_raw] if self.cdc_raw else []), *self.data)


@dataclass(frozen=True)
class Member:
    """One node, with all that the topology says of it."""

    node: Node
    seed: bool
    cql_port: int
    jmx_port: int
    nodetool: tuple[str, ...]
    directories: Directories
    stop: Action | None
    start: Action | None

    @property
    def label(self) -> str:
        """Names it for ever."""
        return self.node.label

    @property
    def host(self) -> str:
        """Its address in the ring, now."""
        return self.node.host

    @cached_property
    def layout(self) -> Layout:
        """Its folders: what the topology leaves out is read from its ``cassandra.yaml``, once.

        :raises StoreAccessError: neither says where something is
        """
        said = self.directories
        if said.data and said.commitlog and said.hints and said.saved_caches and said.cdc_raw:
            return Layout(said.data, said.commitlog, said.hints, said.saved_caches, said.cdc_raw, said.config)
        config = self._config()
        return Layout(
            said.data or self._data(config),
            said.commitlog or self._folder(config, "commitlog_directory", "commitlog"),
            said.hints or self._folder(config, "hints_directory", "hints"),
            said.saved_caches or self._folder(config, "saved_caches_directory", "saved_caches"),
            said.cdc_raw or config.get("cdc_raw_directory"),
            said.config,
        )

    @cached_property
    def local_system_folder(self) -> str:
        """Where it has its own tables, if not beside the others.

        :raises StoreError: its configuration cannot be read, and it matters: what lies in a folder of another kind is not found
        """
        try:
            return str(self._config().get("local_system_data_file_directory") or "")
        except StoreError:
            if len(self.layout.data) > 1:
                raise
            return ""

    @property
    def served(self) -> tuple[str, ...]:
        """The data directories of its ``cassandra.yaml``, whatever the topology says; empty where it says nothing, or cannot be read."""
        try:
            return self._data(self._config())
        except StoreError:
            return ()

    @property
    def captures_changes(self) -> bool:
        """Whether its ``cassandra.yaml`` says so, as far as it can be read."""
        try:
            return bool(self._config().get("cdc_enabled"))
        except StoreError:
            return False

    def _config(self) -> dict[str, Any]:
        where = self.directories.config
        try:
            config = yaml.safe_load(self.node.run(["cat", "--", where]))
        except yaml.YAMLError as error:
            raise StoreAccessError(f"node {self.label}: {where} is no YAML: {error}", fix="correct directories.config") from error
        if not isinstance(config, dict):
            raise StoreAccessError(f"node {self.label}: {where} is no cassandra.yaml", fix="correct directories.config")
        return config

    def _data(self, config: dict[str, Any]) -> tuple[str, ...]:
        if not (folders := config.get("data_file_directories")):
            raise self._unsaid("data_file_directories", "data")
        own = config.get("local_system_data_file_directory")  # since 4.1 the system's own tables may lie elsewhere
        return tuple(dict.fromkeys([*folders, *([own] if own else [])]))

    def _folder(self, config: dict[str, Any], key: str, name: str) -> str:
        if not (folder := config.get(key)):
            raise self._unsaid(key, name)
        return str(folder)

    def _unsaid(self, key: str, name: str) -> StoreAccessError:
        return StoreAccessError(
            f"node {self.label}: {self.directories.config} does not say {key}", fix=f"write directories.{name} into the topology"
        )


class Cluster:
    """All nodes of a cluster. Used as a context manager, it lets go of connections at the end.

    :param name: the store's
    :param spec: the store, as the topology has it
    """

    def __init__(self, name: str, spec: Cassandra, members: Sequence[Member], *, conn_id: str | None, jmx_conn_id: str | None) -> None:
        self.name, self.spec, self.members = name, spec, tuple(members)
        self.conn_id, self.jmx_conn_id, self.owner = conn_id, jmx_conn_id, spec.owner

    def member(self, label: str) -> Member:
        """The node of that label.

        :raises StoreAccessError: there is none any more
        """
        for member in self.members:
            if member.label == label:
                return member
        raise StoreAccessError(
            f"store {self.name!r} has no node {label!r} any more", fix="take a new backup: the cluster has changed since this one began"
        )

    def each(self, work: Callable[[Member], T], *, hasty: bool = False) -> dict[str, T]:
        """Do the same with all members, all at once; results by label.

        :param hasty: wait for nobody once one has failed; whoever calls ends the others
        :raises MidtimeError: some failed: of the first one's kind, and it names all of them
        """
        pool = ThreadPoolExecutor(max(1, min(TOGETHER, len(self.members))), thread_name_prefix="nodes")
        try:
            running = [(member.label, pool.submit(work, member)) for member in self.members]
            _, left = wait([future for _, future in running], return_when=FIRST_EXCEPTION if hasty else ALL_COMPLETED)
            wait(left, ALSO)
        finally:
            pool.shutdown(wait=not hasty, cancel_futures=hasty)
        ended = [(label, future) for label, future in running if future.done() and not future.cancelled()]
        if failed := [(label, error) for label, future in ended if (error := future.exception())]:
            raise _together(failed, len(self.members))
        return {label: future.result() for label, future in running}

    def close(self) -> None:
        """Let go of connections. Idempotent."""
        for member in self.members:
            member.node.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _together(failed: Sequence[tuple[str, BaseException]], total: int) -> BaseException:
    for _, error in failed:
        if not isinstance(error, MidtimeError):
            return error
    errors = [(label, cast(MidtimeError, error)) for label, error in failed]
    first = errors[0][1]
    if len(errors) == 1:
        return first if errors[0][0] in first.message else type(first)(_named(*errors[0]), fix=first.fix)
    told = "\n".join(_named(label, error) for label, error in errors)
    return type(first)(f"{len(errors)} of {total} nodes failed:\n{told}", fix=first.fix)


def _named(label: str, error: MidtimeError) -> str:
    return error.message if label in error.message else f"node {label}: {error.message}"


def live_cluster(topology: Topology, store: str, down: list[MidtimeError] | None = None) -> Cluster:
    """The cluster that is backed up. For pods, Kubernetes is asked which there are.

    :param down: takes what is to be said of pods that are not up; without it they are an error
    :raises StoreError: it does not say
    """
    spec = cast(Cassandra, topology.store(store))
    return Cluster(store, spec, list(_members(spec, spec.access, spec.nodes, down)), conn_id=spec.conn_id, jmx_conn_id=spec.jmx_conn_id)


def drill_cluster(topology: Topology, store: str) -> Cluster:
    """The throw-away cluster of the topology's drill.

    :raises RequestError: the topology names none
    """
    spec, wish = cast(Cassandra, topology.store(store)), topology.drill.targets.get(store)
    if wish is None or not (wish.nodes or wish.access):
        raise RequestError(
            f"the topology names no cluster to drill store {store!r} on",
            fix=f"write drill.targets.{store}.nodes, or set drill.after_backup to false",
        )
    live = {(node.host, node.jmx_port) for node in spec.nodes}
    if (wish.access is None or wish.access == spec.access) and spec.access.kubernetes:
        shared = ["the pods of its selector"]
    else:
        shared = [node.host for node in wish.nodes or () if (node.host, node.jmx_port) in live]
    if shared:
        raise RequestError(
            f"drill.targets.{store} is the live cluster: {', '.join(shared)}", fix="name another cluster: what is in it is replaced"
        )
    members = list(_members(spec, wish.access or spec.access, wish.nodes or ()))
    return Cluster(store, spec, members, conn_id=wish.conn_id or wish.to, jmx_conn_id=spec.jmx_conn_id)


def _members(spec: Cassandra, access: Access, nodes: Sequence[CassandraNode], down: list[MidtimeError] | None = None) -> Iterator[Member]:
    from midtime.stores.cassandra.nodes.opened import open_nodes  # what reaches them may take long to load

    for node, listed in open_nodes(access, tuple(nodes), f"store {spec.name!r}", down):
        said = listed or CassandraNode(host=node.host)  # a pod, of which the topology says nothing
        yield Member(
            node,
            seed=said.seed,
            cql_port=said.cql_port,
            jmx_port=said.jmx_port,
            nodetool=said.nodetool or spec.nodetool,
            directories=said.directories or spec.directories,
            stop=said.stop or spec.stop,
            start=said.start or spec.start,
        )

"""Apache Cassandra: snapshots on every node of every data centre."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from midtime.model.durations import Duration, PositiveDuration, parse_duration
from midtime.model.topology.base import AbsolutePath, ConnId, Count, Flag, Many, Port, Rate, Section, Text, broken, matching, short_form
from midtime.model.topology.commands import Action, Command
from midtime.model.topology.store import StoreBase

Owner = Annotated[str, *matching(r"[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?", "write user or user:group")]


class Directories(Section):
    """Folders of a node. What is left out is read from its `cassandra.yaml`."""

    config: AbsolutePath = Field(default="/etc/cassandra/cassandra.yaml", description="The node's `cassandra.yaml`.")
    data: Many[AbsolutePath] | None = Field(default=None, min_length=1, description="Data directories, all of them.")
    commitlog: AbsolutePath | None = Field(default=None, description="Commit log.")
    hints: AbsolutePath | None = Field(default=None, description="Hints.")
    saved_caches: AbsolutePath | None = Field(default=None, description="Saved caches.")
    cdc_raw: AbsolutePath | None = Field(default=None, description="Change data capture.")


class SshAccess(Section):
    """Nodes reached by SSH."""

    conn_id: ConnId = Field(
        default="ssh_default", description="Airflow connection of type `ssh`; the host is the node's, user and key the connection's."
    )
    sudo: Flag = Field(default=False, description="Run commands with `sudo -n`.")


class KubernetesAccess(Section):
    """Nodes that are pods, reached by exec."""

    conn_id: ConnId = Field(default="kubernetes_default", description="Airflow connection of type `kubernetes`.")
    namespace: Text = Field(description="Kubernetes namespace of the pods.")
    selector: Text = Field(description="Label selector that finds all Cassandra pods of the cluster.")
    container: Text = Field(default="cassandra", description="Container in which Cassandra runs.")


class LocalAccess(Section):
    """Nodes whose files and tools are on the worker."""


class Access(Section):
    """How a node's tools and files are reached: exactly one of the three ways. The plain text `local` is short for `{local: {}}`."""

    model_config = ConfigDict(json_schema_extra=short_form({"const": "local"}))

    local: LocalAccess | None = Field(default=None, description="On the worker itself.")
    ssh: SshAccess | None = Field(default=None, description="By SSH.")
    kubernetes: KubernetesAccess | None = Field(default=None, description="By exec into pods; finds the nodes by itself.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"local": {}} if value == "local" else value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.local, self.ssh, self.kubernetes)) != 1:
            broken("needs exactly one of `local`, `ssh` and `kubernetes`")
        return self


class CassandraNode(Section):
    """One node. A plain text is short for `{host: ...}`."""

    model_config = ConfigDict(json_schema_extra=short_form({"type": "string"}))

    host: Text = Field(description="Address of the node as the ring shows it.")
    seed: Flag = Field(default=False, description="Started first by a whole restore.")
    cql_port: Port = Field(default=9042, description="CQL port.")
    jmx_port: Port = Field(default=7199, description="JMX port.")
    nodetool: Command | None = Field(default=None, description="nodetool of this node. Default: the store's.")
    directories: Directories | None = Field(default=None, description="Folders of this node. Default: the store's.")
    stop: Action | None = Field(default=None, description="How this node is stopped. Default: the store's.")
    start: Action | None = Field(default=None, description="How this node is started. Default: the store's.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"host": value} if isinstance(value, str) else value


def _distinct_hosts(nodes: tuple[CassandraNode, ...]) -> tuple[CassandraNode, ...]:
    seen: set[tuple[str, int]] = set()
    for index, node in enumerate(nodes):
        if (node.host, node.jmx_port) in seen:
            broken(f'node "{node.host}" stands here twice', index, "host")
        seen.add((node.host, node.jmx_port))
    return nodes


Nodes = Annotated[Many[CassandraNode], AfterValidator(_distinct_hosts)]


class Cassandra(StoreBase):
    """A Cassandra cluster. The system keyspaces that a restore needs are always included."""

    target_keys: ClassVar[frozenset[str]] = frozenset({"conn_id", "nodes", "access"})
    identity_keys: ClassVar[tuple[str, ...]] = ("nodes", "access")

    engine: Literal["cassandra"] = Field(description="Apache Cassandra.")
    method: Literal["snapshot"] = Field(
        default="snapshot", description="`snapshot`: hard links on every node at once, uploaded after the window."
    )
    access: Access = Field(description="How the nodes' tools and files are reached.")
    nodes: Nodes = Field(default=(), description="All nodes of all data centres; not with `access: {kubernetes: ...}`, which finds them.")
    conn_id: ConnId | None = Field(
        default=None,
        description="Airflow connection of type `cassandra` whose login, password and TLS (`ssl_options`) CQL asks for; its host does not "
        "count, the nodes are those above. Default: CQL without login.",
    )
    jmx_conn_id: ConnId | None = Field(
        default=None, description="Airflow connection whose login and password JMX asks for. Default: JMX without login."
    )
    nodetool: Command = Field(default=("nodetool",), description="nodetool on the nodes.")
    sstableloader: Command = Field(default=("sstableloader",), description="sstableloader, for a restore into a cluster of another size.")
    directories: Directories = Field(default=Directories(), description="Folders of the nodes.")
    owner: Owner = Field(default="cassandra:cassandra", description="User and group that own the files.")
    stop: Action | None = Field(default=None, description="How a node is stopped for a restore; runs on the node, `{host}` stands for it.")
    start: Action | None = Field(default=None, description="How a node is started after a restore.")
    flush: Flag = Field(
        default=True, description="Flush shortly before the pause, so that the snapshot inside it has little left to write."
    )
    capture_limit: PositiveDuration = Field(
        default=parse_duration("10s"), description="How long the snapshots of all nodes may take inside the window."
    )
    snapshot_ttl: Duration = Field(
        default=parse_duration("3d"),
        description="Time after which Cassandra 4.1+ drops a forgotten snapshot; longer than the slowest upload. `0s`: none.",
    )
    uploads: Count = Field(default=4, le=64, description="Files of one node sent at once.")
    throttle: Rate | None = Field(default=None, description="Limit of the upload per node, such as `50MB/s`. Default: none.")

    @property
    def wished(self) -> str:
        """Never beside."""
        return "the `conn_id` of the topology's drill target; it has to be named"

    @model_validator(mode="after")
    def _known_nodes(self) -> Self:
        if self.access.kubernetes and self.nodes:
            broken("`access: {kubernetes: ...}` finds the nodes by its selector: leave `nodes` out", "nodes")
        if not self.access.kubernetes and not self.nodes:
            broken("needs `nodes`: every node of every data centre must be in the backup")
        if (self.stop is None) != (self.start is None):
            broken("give both `stop` and `start`, or none of them")
        return self

    @property
    def lists_namespaces(self) -> bool:
        """Each namespace is a keyspace of the cluster."""
        return True

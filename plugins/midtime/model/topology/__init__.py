"""The topology file: its models, its rules, and how it is loaded (docs/reference/topology.md)."""

from __future__ import annotations

from midtime.model.topology.cassandra import Access, Cassandra, CassandraNode, Directories
from midtime.model.topology.cloud import Aurora, AzureMysql, AzurePostgresql, Cosmosdb, Dynamodb, Rds
from midtime.model.topology.commands import Action, KubernetesScale
from midtime.model.topology.connections import NeededConnection, needed_connections
from midtime.model.topology.load import ENVIRONMENT, load_named, load_topologies, load_topology, read_topology, topologies_folder
from midtime.model.topology.model import AnyStore, Shape, Topology
from midtime.model.topology.plan import Check, Coordinator, Drill, Notification, Notifications, Pause, Retention, ScalarDb
from midtime.model.topology.products import Endpoints, KubernetesEndpoints, Product, Tls, join_endpoint, split_endpoint
from midtime.model.topology.relational import BinlogArchive, Mysql, Postgresql, Sqlite, WalArchive
from midtime.model.topology.targets import Target
from midtime.model.topology.written import written

__all__ = [
    "ENVIRONMENT",
    "Access",
    "Action",
    "AnyStore",
    "Aurora",
    "AzureMysql",
    "AzurePostgresql",
    "BinlogArchive",
    "Cassandra",
    "CassandraNode",
    "Check",
    "Coordinator",
    "Cosmosdb",
    "Directories",
    "Drill",
    "Dynamodb",
    "Endpoints",
    "KubernetesEndpoints",
    "KubernetesScale",
    "Mysql",
    "NeededConnection",
    "Notification",
    "Notifications",
    "Pause",
    "Postgresql",
    "Product",
    "Rds",
    "Retention",
    "ScalarDb",
    "Shape",
    "Sqlite",
    "Target",
    "Tls",
    "Topology",
    "WalArchive",
    "join_endpoint",
    "load_named",
    "load_topologies",
    "load_topology",
    "needed_connections",
    "read_topology",
    "split_endpoint",
    "topologies_folder",
    "written",
]

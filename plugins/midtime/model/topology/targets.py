"""Where a drill or a restore puts a store."""

from __future__ import annotations

from typing import Self

from pydantic import ConfigDict, Field, model_validator

from midtime.model.topology.base import AbsolutePath, ConnId, Flag, Port, Section, Text, broken, short_form
from midtime.model.topology.cassandra import Access, Nodes
from midtime.model.topology.store import Region


class Target(Section):
    """Target of one store. Plain text is short for `to`; which other keys fit depends on the store's engine."""

    model_config = ConfigDict(json_schema_extra=short_form({"type": "string"}))

    to: Text | None = Field(
        default=None,
        description="Connection of the server or cluster to restore into (databases, Cassandra), prefix of the new tables (DynamoDB), "
        "or name of the new account, instance, cluster or server (other managed services).",
    )
    conn_id: ConnId | None = Field(default=None, description="Airflow connection to restore through. Default: the store's.")
    data_conn_id: ConnId | None = Field(
        default=None,
        description="Airflow connection to the restored items (DynamoDB), beside a `conn_id` of its own. Default: that one. "
        "Of a dump of a managed database (RDS, Aurora, Azure): to the server that it is restored into. Default: the store's.",
    )
    database: Text | None = Field(default=None, description="Name of the restored database (PostgreSQL). Default: generated.")
    prefix: Text | None = Field(
        default=None, description="What stands before the names of restored tables (DynamoDB) or databases (MySQL). Default: generated."
    )
    path: AbsolutePath | None = Field(default=None, description="File of the restored database (SQLite). Default: generated.")
    data_dir: AbsolutePath | None = Field(
        default=None, description="Folder for a server of its own, on the worker (PostgreSQL with `method: pitr`)."
    )
    port: Port | None = Field(default=None, description="Port of that fresh server.")
    nodes: Nodes | None = Field(default=None, min_length=1, description="Nodes of the throw-away cluster (Cassandra).")
    access: Access | None = Field(default=None, description="How those nodes are reached (Cassandra). Default: as the store's.")
    region: Region | None = Field(default=None, description="AWS region (DynamoDB): the store's own, or left out.")
    name: Text | None = Field(
        default=None,
        description="Name of the new account, instance, cluster or server (Cosmos DB, RDS, Aurora, Azure). Default: generated.",
    )
    instance_class: Text | None = Field(
        default=None, description="Class of the new instances (RDS, Aurora). Default: the smallest allowed."
    )
    subnet_group: Text | None = Field(default=None, description="DB subnet group (RDS, Aurora). Default: the source's.")
    clone: Flag | None = Field(default=None, description="Refused: Aurora clones a cluster as it is now, and takes no instant with it.")
    resource_group: Text | None = Field(default=None, description="Resource group (Cosmos DB, Azure). Default: the source's.")
    location: Text | None = Field(default=None, description="Azure location (Cosmos DB). Default: the source's.")
    sku: Text | None = Field(default=None, description="SKU of the new server (Azure). Default: the source's.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"to": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _no_clone(self) -> Self:
        if self.clone:
            broken(
                "Aurora clones a cluster as it is now, never as it was at an instant, so a clone is not what was marked "
                "(RestoreToTime cannot be given with copy-on-write): leave it out, and the cluster is restored in full",
                "clone",
            )
        return self

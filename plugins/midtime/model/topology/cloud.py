"""Managed services: DynamoDB, Cosmos DB, RDS, Aurora, Azure Database for MySQL and PostgreSQL."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from midtime.model.durations import PositiveDuration, parse_duration
from midtime.model.topology.base import ConnId, Count, ServiceUrl, Text, broken
from midtime.model.topology.commands import Action
from midtime.model.topology.store import DumpKeys, ManagedKeys, MysqlClient, Region, StoreBase, SubscriptionId

_DATA = "Airflow connection (`postgres`, `mysql`, `oracle` or `mssql`) to the database itself: clock, fence rows, verification, dump."
DUMP_TARGETS = {"postgresql": frozenset({"data_conn_id", "database"}), "mysql": frozenset({"data_conn_id", "prefix"})}
"""By dialect: what a target of a dump may say, beside the plain-text form."""
_METHOD = "`pitr`: the service's own point-in-time restore. `dump`: a dump through `data_conn_id`, for a copy outside the cloud."


class Dynamodb(ManagedKeys, StoreBase):
    """Amazon DynamoDB tables with point-in-time recovery."""

    takes_queries: ClassVar[bool] = False
    target_keys: ClassVar[frozenset[str]] = frozenset({"conn_id", "data_conn_id", "prefix", "region"})
    identity_keys: ClassVar[tuple[str, ...]] = ("conn_id", "region", "prefix", "endpoint")
    lost_in_place: ClassVar[str] = "every earlier restore point, for the history goes with the tables"

    engine: Literal["dynamodb"] = Field(description="Amazon DynamoDB.")
    method: Literal["pitr"] = Field(default="pitr", description="`pitr`: the tables' point-in-time recovery.")
    conn_id: ConnId = Field(default="aws_default", description="Airflow connection of type `aws`: the control plane.")
    data_conn_id: ConnId | None = Field(
        default=None, description="Airflow connection of type `aws` that reads and writes items. Default: `conn_id`."
    )
    region: Region = Field(description="AWS region of the tables.")
    prefix: Text | None = Field(default=None, description="The product's `scalar.db.dynamo.namespace.prefix`, if it has one.")
    endpoint: ServiceUrl | None = Field(default=None, description="Address of the service, if not Amazon's own.")
    parallel_restores: Count = Field(default=50, le=1000, description="Tables restored at once; Amazon's default quota is 50 per account.")

    @property
    def wished(self) -> str:
        """Tables beside the live ones."""
        return "what the new tables' names begin with"

    @property
    def lists_namespaces(self) -> bool:
        """Tables carry their namespace in their names."""
        return True


class Cosmosdb(ManagedKeys, StoreBase):
    """An Azure Cosmos DB account (API for NoSQL) with continuous backup."""

    takes_queries: ClassVar[bool] = False
    target_keys: ClassVar[frozenset[str]] = frozenset({"conn_id", "name", "resource_group", "location"})
    identity_keys: ClassVar[tuple[str, ...]] = ("subscription_id", "account")

    engine: Literal["cosmosdb"] = Field(description="Azure Cosmos DB for NoSQL.")
    method: Literal["pitr"] = Field(default="pitr", description="`pitr`: restore of the continuous backup into a new account.")
    conn_id: ConnId = Field(default="azure_default", description="Airflow connection of type `azure`: the control plane.")
    data_conn_id: ConnId = Field(description="Airflow connection of type `azure_cosmos`: endpoint and key of the account.")
    subscription_id: SubscriptionId = Field(description="Azure subscription.")
    resource_group: Text = Field(description="Resource group of the account.")
    account: Text = Field(description="Name of the account.")
    repair: Action | None = Field(
        default=None,
        description="Command that puts ScalarDB's stored procedures back after a restore (its schema loader's `--repair-all`), on the worker; "
        "it finds the new account in MIDTIME_COSMOSDB_ENDPOINT, MIDTIME_COSMOSDB_KEY and MIDTIME_COSMOSDB_ACCOUNT. Default: Midtime does.",
    )
    endpoint: ServiceUrl | None = Field(default=None, description="Address of Azure Resource Manager, if not Azure's own.")

    @property
    def wished(self) -> str:
        """An account of its own."""
        return "the new account's name"

    @property
    def beside_only(self) -> bool:
        """The service restores into a new account only."""
        return True

    @property
    def lists_namespaces(self) -> bool:
        """Each namespace is a database of the account."""
        return True

    @model_validator(mode="after")
    def _repaired_here(self) -> Self:
        if self.repair and (self.repair.command is None or self.repair.ssh_conn_id):
            broken("must be a command on the worker: it is handed the new account's key in its environment", "repair")
        return self


class CloudDatabase(ManagedKeys, DumpKeys, StoreBase):
    """Keys of the managed relational services."""

    relational: ClassVar[bool] = True
    restored_as: ClassVar[str]
    """What the service makes of a restore, in words."""
    only_for: ClassVar[dict[str, str]] = {
        "jobs": "dump",
        "compression": "dump",
        "client": "dump",
        "client_path": "dump",
        "staging": "dump",
        "restorable_timeout": "pitr",
        "restorable_after": "pitr",
    }

    method: Literal["pitr", "dump"] = Field(default="pitr", description=_METHOD)
    data_conn_id: ConnId | None = Field(
        default=None, description=f"{_DATA} Needed by `method: dump`, in a pause, and to verify what was restored."
    )
    database: Text | None = Field(default=None, description="Database (not for MySQL). Default: the data connection's.")
    client: MysqlClient = Field(default="auto", description="Dump client for MySQL. `auto`: the one of the server's family.")
    endpoint: ServiceUrl | None = Field(default=None, description="Address of the service, if not the cloud's own.")

    @property
    def speaks(self) -> str:
        """The dialect."""
        return str(getattr(self, "dialect", ""))

    @property
    def lists_namespaces(self) -> bool:
        """A MySQL dump is told which databases to take; everything else goes by the whole instance or database."""
        return self.method == "dump" and self.speaks == "mysql"

    @property
    def fitting_targets(self) -> frozenset[str]:
        """A dump goes into databases that are there already: a server, its class or its network is nothing that it makes."""
        return DUMP_TARGETS[self.speaks] if self.method == "dump" else self.target_keys

    @property
    def wished(self) -> str:
        """A name that the service gives to what it makes; with `method: dump` what the plain engine of the same dialect takes."""
        if self.method != "dump":
            return f"the new {self.restored_as}'s name"
        named = "what the new databases' names begin with" if self.lists_namespaces else "the new database's name"
        return f"a connection, or {named}"

    @property
    def beside_only(self) -> bool:
        """The service restores into something new only; a dump goes where there is something already."""
        return self.method == "pitr"

    @model_validator(mode="after")
    def _dumped(self) -> Self:
        if self.method != "dump":
            return self
        if self.data_conn_id is None:
            broken("`method: dump` needs `data_conn_id`, a connection to the database itself")
        if self.speaks == "mysql" and self.database is not None:
            broken("is not for MySQL: `namespaces` says which databases are dumped", "database")
        if self.speaks != "mysql" and "client" in self.model_fields_set:
            broken("is the dump client for MySQL, and this database is none", "client")
        return self


class Rds(CloudDatabase):
    """An Amazon RDS instance."""

    restored_as: ClassVar[str] = "instance"
    target_keys: ClassVar[frozenset[str]] = frozenset({"conn_id", "name", "instance_class", "subnet_group"})
    identity_keys: ClassVar[tuple[str, ...]] = ("conn_id", "region", "instance", "database")

    engine: Literal["rds"] = Field(description="Amazon RDS.")
    dialect: Literal["mysql", "postgresql", "oracle", "sqlserver"] = Field(description="What runs on the instance. MariaDB is `mysql`.")
    conn_id: ConnId = Field(default="aws_default", description="Airflow connection of type `aws`: the control plane.")
    region: Region = Field(description="AWS region of the instance.")
    instance: Text = Field(description="DB instance identifier.")

    @model_validator(mode="after")
    def _dumpable(self) -> Self:
        if self.method == "dump" and self.dialect in ("oracle", "sqlserver"):
            broken(f"{self.dialect} has no client that dumps in one transaction here: only `method: pitr` is possible", "method")
        return self


class Aurora(CloudDatabase):
    """An Amazon Aurora cluster."""

    restored_as: ClassVar[str] = "cluster"
    target_keys: ClassVar[frozenset[str]] = frozenset({"conn_id", "name", "instance_class", "subnet_group", "clone"})
    identity_keys: ClassVar[tuple[str, ...]] = ("conn_id", "region", "cluster", "database")

    engine: Literal["aurora"] = Field(description="Amazon Aurora.")
    dialect: Literal["mysql", "postgresql"] = Field(description="What the cluster speaks.")
    conn_id: ConnId = Field(default="aws_default", description="Airflow connection of type `aws`: the control plane.")
    region: Region = Field(description="AWS region of the cluster.")
    cluster: Text = Field(description="DB cluster identifier.")


class AzureDatabase(CloudDatabase):
    """Keys of Azure's flexible servers."""

    restored_as: ClassVar[str] = "server"
    target_keys: ClassVar[frozenset[str]] = frozenset({"conn_id", "name", "resource_group", "sku"})
    identity_keys: ClassVar[tuple[str, ...]] = ("subscription_id", "resource_group", "server", "database")

    conn_id: ConnId = Field(default="azure_default", description="Airflow connection of type `azure`: the control plane.")
    subscription_id: SubscriptionId = Field(description="Azure subscription.")
    resource_group: Text = Field(description="Resource group of the server.")
    server: Text = Field(description="Name of the flexible server.")


class AzurePostgresql(AzureDatabase):
    """Azure Database for PostgreSQL, flexible server."""

    dialect: ClassVar[str] = "postgresql"

    engine: Literal["azure_postgresql"] = Field(description="Azure Database for PostgreSQL.")
    restorable_after: PositiveDuration = Field(
        default=parse_duration("15m"), description="Age at which a midtime counts as restorable; Azure has no field that says so."
    )


class AzureMysql(AzureDatabase):
    """Azure Database for MySQL, flexible server."""

    dialect: ClassVar[str] = "mysql"

    engine: Literal["azure_mysql"] = Field(description="Azure Database for MySQL.")
    restorable_after: PositiveDuration = Field(
        default=parse_duration("10m"), description="Age at which a midtime counts as restorable; Azure has no field that says so."
    )


AnyCloudDatabase = Rds | Aurora | AzurePostgresql | AzureMysql

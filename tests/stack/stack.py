"""All parts together; each is started when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.stack.airflow import LocalAirflow
from tests.stack.azure_database import AzureDatabase
from tests.stack.azurite import Azurite
from tests.stack.bank import Bank, tables_of
from tests.stack.cassandra import CassandraCluster
from tests.stack.cosmosdb import CosmosDB
from tests.stack.cosmosdb_scalardb import ScalarDBOverCosmos
from tests.stack.dynamodb import DynamoDB
from tests.stack.kubernetes import Kubernetes
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL
from tests.stack.postgres import Postgres
from tests.stack.processes import Processes
from tests.stack.rds import RDS
from tests.stack.s3 import S3
from tests.stack.scalardb import Place, ScalarDB, account_schema, jdbc_storage, over_databases, replication


class Part(Protocol):
    """What can be ended."""

    def close(self) -> None: ...


P = TypeVar("P", bound=Part)
TWO_DATABASES = ("bank_a", "bank_b")
"""Of one ScalarDB, each with the namespace of its name; the Coordinator is in the first."""
TWO_TABLES = tables_of(TWO_DATABASES)
IN_POSTGRES, IN_MARIADB = "bank_postgres", "bank_mariadb"
"""The namespaces of another ScalarDB, over two kinds of databases; the Coordinator is beside the first."""
MIXED_TABLES = tables_of((IN_POSTGRES, IN_MARIADB))
IN_RING, BESIDE_RING = "bank_ring", "bank_beside"
"""The namespaces of a third ScalarDB, over a Cassandra, with the Coordinator, and a PostgreSQL database."""
RING_TABLES = tables_of((IN_RING, BESIDE_RING))
IN_DYNAMO, BESIDE_DYNAMO = "bank_dynamo", "bank_beside_dynamo"
"""The namespaces of a fourth ScalarDB, over a DynamoDB, with the Coordinator, and a PostgreSQL database."""
DYNAMO_TABLES = tables_of((IN_DYNAMO, BESIDE_DYNAMO))
IN_COSMOS, COSMOS_ACCOUNT = "bank_cosmos", "bank-live"
"""The namespace of a fifth ScalarDB, over a Cosmos DB account, with the Coordinator."""
IN_AZURE, BESIDE_AZURE, AZURE_ACCOUNT = "bank_azure", "bank_beside_azure", "bank-azure-live"
"""The namespaces of a sixth ScalarDB, over another account, with the Coordinator, and a PostgreSQL database."""


class Stack:
    """A "production" PostgreSQL with ScalarDB Server and the bank, and an Airflow with a PostgreSQL of its own.

    Airflow's metadata are on another server, so that a fault in production does not hit Airflow.
    ``connections`` and ``airflow_options`` may be filled until ``airflow`` is first used.
    """

    DATABASE = "bank"

    def __init__(
        self,
        directory: Path,
        *,
        topologies_dir: Path | None = None,
        connections: Mapping[str, Any] | None = None,
        accounts: int = 50,
        postgres_settings: Mapping[str, str | int] | None = None,
        **airflow_options: Any,
    ) -> None:
        self.directory = directory
        self.processes = Processes(directory)
        self.topologies_dir = topologies_dir
        self.connections = dict(connections or {})
        self.airflow_options = airflow_options
        self._accounts, self._postgres_settings = accounts, dict(postgres_settings or {})
        self._parts: list[Part] = []

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def postgres(self) -> Postgres:
        """The server that is backed up; it has the database ``bank``."""
        server = self._started(Postgres(self.processes, "postgres", settings=self._postgres_settings), Postgres.start)
        server.create_database(self.DATABASE)
        return server

    @cached_property
    def mariadb(self) -> MariaDB:
        """Another server that is backed up, empty at first; nothing of the bank is in it."""
        return self._started(MariaDB(self.processes), MariaDB.start)

    @cached_property
    def mysql(self) -> MySQL:
        """The same of Oracle's make, for what differs."""
        return self._started(MySQL(self.processes, "mysql"), MySQL.start)

    @cached_property
    def cassandra(self) -> CassandraCluster:
        """Three nodes that are backed up."""
        return self._started(CassandraCluster(self.processes), CassandraCluster.start)

    @cached_property
    def drill_cassandra(self) -> CassandraCluster:
        """Three others, to restore into."""
        return self._started(CassandraCluster(self.processes, "cassandra-drill"), CassandraCluster.start)

    @cached_property
    def lone_cassandra(self) -> CassandraCluster:
        """A single node, into which a set can be loaded without a restart."""
        return self._started(CassandraCluster(self.processes, "cassandra-lone", nodes=1), CassandraCluster.start)

    @cached_property
    def dynamodb(self) -> DynamoDB:
        """A DynamoDB that restores its tables to a second."""
        return self._started(DynamoDB(self.processes), DynamoDB.start)

    @cached_property
    def cosmosdb(self) -> CosmosDB:
        """An Azure whose Cosmos DB accounts are restored to a second."""
        return self._started(CosmosDB(self.processes), CosmosDB.start)

    @cached_property
    def azure_database(self) -> AzureDatabase:
        """An Azure whose flexible servers are restored to an instant."""
        return self._started(AzureDatabase(self.processes, "azure-database"), AzureDatabase.start)

    @cached_property
    def rds(self) -> RDS:
        """An RDS without data; ``rds_behind`` brings them."""
        return self._started(RDS(self.processes), RDS.start)

    @cached_property
    def metadata(self) -> Postgres:
        """Airflow's own server."""
        server = self._started(Postgres(self.processes, "metadata"), Postgres.start)
        server.create_database("airflow")
        return server

    @cached_property
    def scalardb(self) -> ScalarDB:
        """ScalarDB Server over the database ``bank``, Coordinator included, with the table ``bank.acct``."""
        server = ScalarDB(self.processes, jdbc_storage(self.postgres, self.DATABASE), schema=account_schema("bank.acct"))
        return self._started(server, ScalarDB.start)

    def in_postgres(self, *databases: str) -> dict[str, Place]:
        """Databases of the server that is backed up, made if they are missing, each for the namespace of its name."""
        for database in databases:
            self.postgres.create_database(database)
        return {database: Place(self.postgres, database) for database in databases}

    @cached_property
    def mixed_mariadb(self) -> MariaDB:
        """A server of the mixed bank's own: ``scalardb`` in it, ScalarDB's metadata, must not be anybody else's."""
        return self._started(MariaDB(self.processes, "mariadb-mixed"), MariaDB.start)

    @cached_property
    def multi_places(self) -> dict[str, Place]:
        """Two PostgreSQL databases."""
        return self.in_postgres(*TWO_DATABASES)

    @cached_property
    def mixed_places(self) -> dict[str, Place]:
        """A PostgreSQL database, and a MariaDB."""
        return {**self.in_postgres(IN_POSTGRES), IN_MARIADB: Place(self.mixed_mariadb)}

    def scalardb_over(
        self,
        places: Mapping[str, Place],
        name: str,
        *,
        coordinator: Place | None = None,
        tables: Iterable[str] | bool = True,
        loader_options: Iterable[str] = (),
        **properties: str,
    ) -> ScalarDB:
        """ScalarDB Server over databases of whatever kind, started; whoever wants it for itself closes it.

        :param coordinator: where the Coordinator is; by default beside the first namespace
        :param tables: for accounts, made first; by default ``acct`` in every namespace, with ``False`` none
        :param loader_options: of the schema loader: by default it switches auto scaling and point-in-time recovery of a DynamoDB on
        :param properties: more of ScalarDB's, without their ``scalar.db.``, and with ``__`` for a dot
        """
        wanted = over_databases(places, coordinator)
        wanted |= {f"scalar.db.{key.replace('__', '.')}": value for key, value in properties.items()}
        made = tables_of(places) if tables is True else tables or ()
        schema = account_schema(*made)
        options = [*replication([*places.values(), *([coordinator] if coordinator else [])]), *loader_options]
        server = ScalarDB(self.processes, wanted, schema=schema or None, name=name, loader_options=options)
        return self._started(server, ScalarDB.start)

    def bank_over(self, server: ScalarDB, namespaces: Iterable[str]) -> Bank:
        """Accounts in the table ``acct`` of every namespace, at rest; money goes within them and between them."""
        return self._started(Bank(server.address, self._accounts, tables_of(namespaces)), Bank.load)

    @cached_property
    def multi_scalardb(self) -> ScalarDB:
        """ScalarDB Server over two databases: ``bank_a`` with the Coordinator, and ``bank_b``; a table ``acct`` in either."""
        return self.scalardb_over(self.multi_places, "scalardb-multi")

    @cached_property
    def multi_scalardb_2(self) -> ScalarDB:
        """A second one over the same two databases, so that a window has more than one endpoint."""
        self.multi_scalardb  # noqa: B018 - it creates the tables
        return self.another_multi_scalardb("scalardb-multi-2")

    def another_multi_scalardb(self, name: str) -> ScalarDB:
        """One more over the same two databases; whoever wants it for itself closes it."""
        return self.scalardb_over(self.multi_places, name, tables=False)

    @cached_property
    def multi_bank(self) -> Bank:
        """Over both databases."""
        return self.bank_over(self.multi_scalardb, self.multi_places)

    @cached_property
    def mixed_scalardb(self) -> ScalarDB:
        """ScalarDB Server over a PostgreSQL database, with the Coordinator, and a MariaDB; a table ``acct`` in either."""
        return self.scalardb_over(self.mixed_places, "scalardb-mixed")

    @cached_property
    def mixed_scalardb_2(self) -> ScalarDB:
        """A second one over the same."""
        self.mixed_scalardb  # noqa: B018 - it creates the tables
        return self.scalardb_over(self.mixed_places, "scalardb-mixed-2", tables=False)

    @cached_property
    def mixed_bank(self) -> Bank:
        """Over both kinds of databases."""
        return self.bank_over(self.mixed_scalardb, self.mixed_places)

    @cached_property
    def ring_places(self) -> dict[str, Place]:
        """A Cassandra cluster, and a PostgreSQL database."""
        return {IN_RING: Place(self.cassandra), **self.in_postgres(BESIDE_RING)}

    @cached_property
    def ring_scalardb(self) -> ScalarDB:
        """ScalarDB Server over a Cassandra cluster, with the Coordinator, and a PostgreSQL database; a table ``acct`` in either."""
        return self.scalardb_over(self.ring_places, "scalardb-ring")

    @cached_property
    def ring_bank(self) -> Bank:
        """Over both."""
        return self.bank_over(self.ring_scalardb, self.ring_places)

    @cached_property
    def dynamo_places(self) -> dict[str, Place]:
        """A DynamoDB, and a PostgreSQL database."""
        return {IN_DYNAMO: Place(self.dynamodb), **self.in_postgres(BESIDE_DYNAMO)}

    @cached_property
    def dynamo_scalardb(self) -> ScalarDB:
        """ScalarDB Server over a DynamoDB, with the Coordinator, and a PostgreSQL database; a table ``acct`` in either."""
        return self.scalardb_over(self.dynamo_places, "scalardb-dynamo")

    @cached_property
    def dynamo_bank(self) -> Bank:
        """Over both."""
        return self.bank_over(self.dynamo_scalardb, self.dynamo_places)

    @cached_property
    def bank_cosmosdb(self) -> CosmosDB:
        """An Azure that no test empties: the bank's account is in it."""
        server = self._started(CosmosDB(self.processes, "cosmosdb-bank"), CosmosDB.start)
        server.make_account(COSMOS_ACCOUNT)
        return server

    @cached_property
    def cosmos_scalardb(self) -> ScalarDB:
        """ScalarDB Server over that account, with the Coordinator and a table ``acct``."""
        return self.scalardb_over_cosmos(COSMOS_ACCOUNT)

    def scalardb_over_cosmos(self, account: str, *loader_options: str) -> ScalarDB:
        """The same over another account of that Azure; whoever wants it for itself closes it."""
        schema = account_schema(*tables_of([IN_COSMOS]))
        server = ScalarDBOverCosmos(self.processes, self.bank_cosmosdb, account, schema, loader_options=loader_options)
        return self._started(server, ScalarDBOverCosmos.start)

    @cached_property
    def cosmos_bank(self) -> Bank:
        """In that account."""
        return self.bank_over(self.cosmos_scalardb, [IN_COSMOS])

    @cached_property
    def azure_places(self) -> dict[str, Place]:
        """Another account of that Azure, and a PostgreSQL database."""
        self.bank_cosmosdb.make_account(AZURE_ACCOUNT)
        return {IN_AZURE: Place(self.bank_cosmosdb, AZURE_ACCOUNT), **self.in_postgres(BESIDE_AZURE)}

    @cached_property
    def azure_scalardb(self) -> ScalarDB:
        """ScalarDB Server over that account, with the Coordinator, and a PostgreSQL database; a table ``acct`` in either."""
        schema, over = account_schema(*tables_of(self.azure_places)), over_databases(self.azure_places)
        server = ScalarDBOverCosmos(self.processes, self.bank_cosmosdb, AZURE_ACCOUNT, schema, properties=over)
        return self._started(server, ScalarDBOverCosmos.start)

    @cached_property
    def azure_bank(self) -> Bank:
        """Over both; of few accounts, for every write is a request over HTTPS."""
        return self._started(Bank(self.azure_scalardb.address, 10, tables_of(self.azure_places)), Bank.load)

    @cached_property
    def bank(self) -> Bank:
        """The accounts, at rest: ``bank.start()`` sets them moving."""
        return self._started(Bank(self.scalardb.address, self._accounts), Bank.load)

    @cached_property
    def s3(self) -> S3:
        """An object store that speaks S3's protocol."""
        return self._started(S3(self.processes), S3.start)

    @cached_property
    def azurite(self) -> Azurite:
        """An object store that speaks Azure Blob Storage's protocol."""
        return self._started(Azurite(self.processes), Azurite.start)

    @cached_property
    def kubernetes(self) -> Kubernetes:
        """An API server without nodes: pods are what a test writes."""
        return self._started(Kubernetes(self.processes), Kubernetes.start)

    @cached_property
    def airflow(self) -> LocalAirflow:
        """Airflow, healthy."""
        local = LocalAirflow(
            self.processes,
            self.directory / "airflow",
            self.metadata.dsn("airflow"),
            topologies_dir=self.topologies_dir,
            connections=self.connections,
            **self.airflow_options,
        )
        return self._started(local, LocalAirflow.start)

    def close(self) -> None:
        """End everything at once: each takes seconds. Nothing of it is left afterwards."""
        try:
            self.processes.signal_stop()
            while self._parts:
                self._parts.pop().close()
        finally:
            self.processes.stop()

    def _started(self, part: P, start: Callable[[P], object]) -> P:
        self._parts.append(part)  # first, so that a part that failed half way is ended as well
        start(part)
        return part

"""Fixtures of the real parts: each is started once in a test run, by the first test that asks for it, and ended with the run.

Ctrl-C runs the same teardown; a killed pytest is noticed by the guards of the processes (``launch.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack import mysql
from tests.stack.airflow import LocalAirflow
from tests.stack.azure_database import AzureDatabase
from tests.stack.azurite import Azurite
from tests.stack.bank import Bank
from tests.stack.cassandra import CassandraCluster
from tests.stack.cosmosdb import CosmosDB
from tests.stack.dynamodb import DynamoDB
from tests.stack.kubernetes import Kubernetes, build_ahead
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL
from tests.stack.postgres import Postgres
from tests.stack.processes import StackError
from tests.stack.rds import RDS
from tests.stack.s3 import S3
from tests.stack.scalardb import ScalarDB
from tests.stack.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All parts; its ``topologies_dir`` is empty at first, and what a test writes there becomes DAGs within seconds."""
    directory = tmp_path_factory.mktemp("stack")
    topologies = directory / "topologies"
    topologies.mkdir()
    with Stack(directory, topologies_dir=topologies) as parts:
        yield parts


@pytest.fixture(scope="session")
def postgres_server(stack: Stack) -> Postgres:
    """The server that is backed up; tests make databases of their own in it."""
    return stack.postgres


@pytest.fixture(scope="session")
def mariadb_server(stack: Stack) -> MariaDB:
    """The same for MariaDB."""
    return stack.mariadb


@pytest.fixture(scope="session")
def mysql_server(stack: Stack) -> MySQL:
    """The same for Oracle's MySQL, where the machine can run it."""
    if lacks := mysql.missing():
        raise StackError(f"MySQL needs {lacks}")
    return stack.mysql


@pytest.fixture(scope="session")
def cassandra_cluster(stack: Stack) -> CassandraCluster:
    """Three nodes that are backed up."""
    return stack.cassandra


@pytest.fixture(scope="session")
def drill_cassandra(stack: Stack) -> CassandraCluster:
    """Three others, to restore into; a test leaves them as they were."""
    return stack.drill_cassandra


@pytest.fixture(scope="session")
def dynamodb_server(stack: Stack) -> DynamoDB:
    """The same for DynamoDB; a test leaves its settings and faults as they were."""
    return stack.dynamodb


@pytest.fixture(scope="session")
def spare_dynamodb(stack: Stack) -> Iterator[DynamoDB]:
    """Another one, for tests that empty it first (``reset``) and change its clock and its pace as they like."""
    server = DynamoDB(stack.processes, "dynamodb-spare")
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def cosmosdb_server(stack: Stack) -> CosmosDB:
    """The same for Azure Cosmos DB; its docstring and that of ``azure_arm`` say how it is reached."""
    return stack.cosmosdb


@pytest.fixture(scope="session")
def azure_database_server(stack: Stack) -> AzureDatabase:
    """The same for Azure's flexible servers."""
    return stack.azure_database


@pytest.fixture(scope="session")
def rds_server(stack: Stack) -> RDS:
    """The same for Amazon RDS and Aurora."""
    return stack.rds


@pytest.fixture(scope="session")
def scalardb(stack: Stack) -> ScalarDB:
    return stack.scalardb


@pytest.fixture(scope="session")
def bank(stack: Stack) -> Bank:
    """Loaded and at rest: the test starts and stops it."""
    return stack.bank


@pytest.fixture(scope="session")
def s3_server(stack: Stack) -> S3:
    """Tests use prefixes of their own in its bucket."""
    return stack.s3


@pytest.fixture(scope="session")
def azurite_server(stack: Stack) -> Azurite:
    """The same for its container."""
    return stack.azurite


@pytest.fixture(scope="session")
def kubernetes_server(stack: Stack) -> Kubernetes:
    """Tests make namespaces of their own in it."""
    return stack.kubernetes


def pytest_collection_finish(session: pytest.Session) -> None:
    """Building the API server takes minutes, once: it begins while other tests run."""
    if any("kubernetes_server" in getattr(item, "fixturenames", ()) for item in session.items) and not session.config.option.collectonly:
        build_ahead()


@pytest.fixture(scope="session")
def local_airflow(stack: Stack) -> LocalAirflow:
    """Connections are added with ``local_airflow.add_connection(…)``."""
    return stack.airflow


@pytest.fixture(scope="session")
def multi_scalardb(stack: Stack) -> ScalarDB:
    """Over the databases ``bank_a`` and ``bank_b``."""
    return stack.multi_scalardb


@pytest.fixture(scope="session")
def multi_scalardb_2(stack: Stack) -> ScalarDB:
    """A second one over the same."""
    return stack.multi_scalardb_2


@pytest.fixture(scope="session")
def multi_bank(stack: Stack) -> Bank:
    """Between both databases; loaded and at rest, as ``bank``."""
    return stack.multi_bank


@pytest.fixture(scope="session")
def mixed_scalardb(stack: Stack) -> ScalarDB:
    """Over the PostgreSQL database ``bank_postgres`` and the MariaDB database ``bank_mariadb``, on a server of its own."""
    return stack.mixed_scalardb


@pytest.fixture(scope="session")
def mixed_bank(stack: Stack) -> Bank:
    """Between both kinds of databases; loaded and at rest, as ``bank``."""
    return stack.mixed_bank


@pytest.fixture(scope="session")
def ring_scalardb(stack: Stack) -> ScalarDB:
    """Over the keyspace ``bank_ring`` of the Cassandra cluster, which also has the Coordinator, and the PostgreSQL database ``bank_beside``."""
    return stack.ring_scalardb


@pytest.fixture(scope="session")
def ring_bank(stack: Stack) -> Bank:
    """Between Cassandra and PostgreSQL; loaded and at rest, as ``bank``."""
    return stack.ring_bank


@pytest.fixture(scope="session")
def dynamo_scalardb(stack: Stack) -> ScalarDB:
    """Over the namespace ``bank_dynamo`` of the DynamoDB, which also has the Coordinator, and the PostgreSQL database ``bank_beside_dynamo``."""
    return stack.dynamo_scalardb


@pytest.fixture(scope="session")
def dynamo_bank(stack: Stack) -> Bank:
    """Between DynamoDB and PostgreSQL; loaded and at rest, as ``bank``."""
    return stack.dynamo_bank


@pytest.fixture(scope="session")
def cosmos_bank(stack: Stack) -> Bank:
    """In the account ``bank-live`` of ``stack.bank_cosmosdb``, which also has the Coordinator; loaded and at rest, as ``bank``."""
    return stack.cosmos_bank

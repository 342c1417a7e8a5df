"""A DynamoDB, an Aurora, a Cassandra and a PostgreSQL under one ScalarDB Server, in a real Airflow: the topology, and what tests write there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import ClassVar

from tests.integration.airflow_restores import Switch
from tests.integration.cassandra_airflow import mark, mark_tables
from tests.integration.dynamodb_tables import make, put
from tests.integration.fixtures import Installation
from tests.integration.managed_airflow import QUICK, Managed, written
from tests.integration.rds_airflow import postgres_behind
from tests.stack.cassandra import CassandraCluster
from tests.stack.dynamodb import DynamoDB
from tests.stack.rds import RDS
from tests.stack.rds_behind import Fulfilling
from tests.stack.rds_postgres import RdsPostgres
from tests.stack.scalardb import Place

NAME, CLUSTER = "mixed", "mixed-prod"
DYNAMO, AURORA, RING, POSTGRES = STORES = ("mixed_dynamo", "mixed_aurora", "mixed_ring", "mixed_postgres")
"""Stores, each with the namespace of its name; the Coordinator is in the first."""
MARKS = f"{DYNAMO}.mark"


@dataclass
class Mixed(Managed):
    """Of two services, a cluster that is snapshotted, and a database that is dumped."""

    NAME: ClassVar[str] = NAME
    dynamodb: DynamoDB
    behind: RdsPostgres

    @property
    def rds(self) -> RDS:
        return self.installation.stack.rds

    @property
    def lone(self) -> CassandraCluster:
        """Where the Cassandra's drills go."""
        return self.installation.stack.lone_cassandra

    def lag(self, seconds: float) -> None:
        self.dynamodb.settings(lag=seconds)
        self.rds.settings(lag=seconds)

    def mark(self, number: int) -> None:
        put(self.dynamodb, MARKS, str(number), number)
        mark({name: place for name, place in self.places.items() if name != DYNAMO}, number)

    def copies(self, working: Mapping[str, str]) -> dict[str, Place]:
        """Where a drill has brought them."""
        self.lone.session.close()  # it may have been restarted meanwhile
        return {
            DYNAMO: Place(self.dynamodb, f"{working[DYNAMO]}_"),
            AURORA: Place(self.behind.restored[working[AURORA]], AURORA),
            RING: Place(self.lone),
            POSTGRES: Place(self.installation.stack.postgres, working[POSTGRES]),
        }


@contextmanager
def mixed_of(installation: Installation) -> Iterator[Mixed]:
    """In Airflow."""
    stack, airflow = installation.stack, installation.airflow
    with ExitStack() as ends:
        dynamodb = ends.enter_context(closing(DynamoDB(stack.processes, "dynamodb-mixed", lag=QUICK).start()))
        behind = ends.enter_context(postgres_behind(installation, "aurora", CLUSTER, AURORA))
        ring = ends.enter_context(closing(CassandraCluster(stack.processes, "cassandra-mixed", nodes=1).start()))
        places = {DYNAMO: Place(dynamodb), AURORA: Place(behind.live, AURORA), RING: Place(ring), **stack.in_postgres(POSTGRES)}
        server = ends.enter_context(closing(stack.scalardb_over(places, "scalardb-of-four")))
        bank = ends.enter_context(closing(stack.bank_over(server, places)))
        for namespace, place in places.items():
            airflow.add_connection(f"{namespace}_db", place.conn_uri)
        airflow.add_connection("lone", stack.lone_cassandra.conn_uri())
        make(dynamodb, MARKS)
        ends.enter_context(mark_tables({name: place for name, place in places.items() if name != DYNAMO}))
        switch = ends.enter_context(Switch({"stop": server.stop, "start": server.start}))
        ends.enter_context(Fulfilling(behind))
        drilled_to = {DYNAMO: {"prefix": "drill_"}, RING: stack.lone_cassandra.drill_target(conn_id="lone")}
        pause = {"drain": "5s", "deadline": "30s", "arm": "5m"}
        topology = written(installation, NAME, places, server, switch, {}, pause=pause, drill={"targets": drilled_to})
        yield Mixed(installation, topology, places, bank, switch, dynamodb, behind)

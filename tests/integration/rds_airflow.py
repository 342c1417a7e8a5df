"""An RDS in a real Airflow: what is behind it, what its restores lose, and an Aurora PostgreSQL with a PostgreSQL under one ScalarDB Server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.integration.airflow_restores import Switch
from tests.integration.cassandra_airflow import mark, mark_tables
from tests.integration.fixtures import Installation
from tests.integration.managed_airflow import QUICK, Managed, written
from tests.integration.pitr_setting import folder_of_the_server
from tests.stack.rds import RDS
from tests.stack.rds_behind import Fulfilling
from tests.stack.rds_postgres import RdsPostgres
from tests.stack.scalardb import Place

NAME, CLUSTER = "river", "river-prod"
IN_AURORA, BESIDE_AURORA = "bank_aurora", "bank_beside_aurora"
TOKEN = "the-session-token-of-a-role-for-rds"
CHOSEN: dict[str, Any] = {"BackupRetentionPeriod": 7, "DeletionProtection": True, "Tags": [{"Key": "team", "Value": "bank"}]}
"""Of settings, what Amazon does not choose by itself."""
WATCHED = {"MonitoringInterval": 60, "MonitoringRoleArn": "arn:aws:iam::123456789012:role/monitoring"}
_ITS_OWN = (
    "DBInstanceIdentifier", "DBClusterIdentifier", "DBInstanceArn", "DBClusterArn", "DbiResourceId", "DbClusterResourceId", "Endpoint",
    "ReaderEndpoint", "Port", "DbInstancePort", "InstanceCreateTime", "ClusterCreateTime", "EarliestRestorableTime", "LatestRestorableTime",
    "DBClusterMembers", "HostedZoneId", "TagList",
)  # fmt: skip
"""By which each instance and each cluster differs from every other."""


def settings_of(rds: RDS, name: str) -> dict[str, Any]:
    """All that is said of an instance, or of a cluster and its instances, but what is its own; of the tags those that are not Midtime's."""
    said = rds.instance(name) or rds.cluster(name)
    assert said, name
    members = sorted(said.get("DBClusterMembers", ()), key=lambda each: (not each["IsClusterWriter"], each["DBInstanceIdentifier"]))
    tags = {each["Key"]: each["Value"] for each in said["TagList"] if not each["Key"].startswith("midtime:")}
    own = {key: value for key, value in said.items() if key not in _ITS_OWN}
    return {**own, "tags": tags, "members": [settings_of(rds, each["DBInstanceIdentifier"]) for each in members]}


@contextmanager
def postgres_behind(installation: Installation, kind: str, name: str, database: str) -> Iterator[RdsPostgres]:
    """An RDS for PostgreSQL, or an Aurora PostgreSQL of two instances, with an empty database. It is gone at the end."""
    rds, processes = connected(installation), installation.stack.processes
    with folder_of_the_server("mt-rds-") as folder, closing(RdsPostgres(processes, rds, name, folder, kind).start()) as behind:
        behind.live.create_database(database)
        behind.back_up()
        with made(rds, kind, name, "aurora-postgresql" if kind == "aurora" else "postgres"):
            yield behind


@contextmanager
def made(rds: RDS, kind: str, name: str, engine: str) -> Iterator[None]:
    """At the control plane: an instance, or a cluster of two. It goes at the end, and with it all that the tests have made."""
    if kind == "rds":
        rds.make_instance(name, Engine=engine, MultiAZ=True, **CHOSEN, **WATCHED)
    else:
        rds.make_cluster(name, f"{name}-a", f"{name}-b", Engine=engine, **CHOSEN)
    try:
        yield
    finally:
        rds.reset()


def connected(installation: Installation) -> RDS:
    """With the connection to its control plane, by a role for a session."""
    rds = installation.stack.rds
    rds.settings(lag=QUICK)
    installation.airflow.add_connection(RDS.CONN_ID, rds.conn(aws_session_token=TOKEN))
    return rds


@dataclass
class River(Managed):
    """Of this service."""

    NAME: ClassVar[str] = NAME
    behind: RdsPostgres
    fulfilling: Fulfilling

    @property
    def server(self) -> RDS:
        return self.installation.stack.rds

    def mark(self, number: int) -> None:
        mark(self.places, number)

    def live(self) -> Any:
        return self.server.names(), settings_of(self.server, CLUSTER)

    def copies(self, cluster: str, database: str) -> dict[str, Place]:
        """Where a restore has brought them."""
        beside = Place(self.installation.stack.postgres, database)
        return {IN_AURORA: Place(self.behind.restored[cluster], IN_AURORA), BESIDE_AURORA: beside}


@contextmanager
def river_of(installation: Installation) -> Iterator[River]:
    """In Airflow."""
    stack = installation.stack
    with ExitStack() as ends:
        behind = ends.enter_context(postgres_behind(installation, "aurora", CLUSTER, IN_AURORA))
        places = {IN_AURORA: Place(behind.live, IN_AURORA), **stack.in_postgres(BESIDE_AURORA)}
        server = ends.enter_context(closing(stack.scalardb_over(places, "scalardb-river")))
        bank = ends.enter_context(closing(stack.bank_over(server, places)))
        for namespace, place in places.items():
            installation.airflow.add_connection(f"{namespace}_db", place.conn_uri)
        ends.enter_context(mark_tables(places))
        switch = ends.enter_context(Switch({"stop": server.stop, "start": server.start}))
        fulfilling = ends.enter_context(Fulfilling(behind))
        topology = written(installation, NAME, places, server, switch, {"name": "river-drill"})
        yield River(installation, topology, places, bank, switch, behind, fulfilling)

"""A server that speaks RDS's protocol, in which things take time, and what an Airflow connection to it looks like."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from tests.stack.aws import AwsDouble
from tests.stack.processes import Processes, poll


class RDS(AwsDouble):
    """One account."""

    MODULE = "tests.stack.rds_server"
    CONN_ID = "midtime_rds"
    SERVICE, REGION = "rds", "eu-west-1"

    def __init__(self, processes: Processes, name: str = "rds", **settings: Any) -> None:
        super().__init__(processes, name, **settings)

    @cached_property
    def client(self) -> Any:
        return self.sdk()

    def topology_keys(self, kind: str, dialect: str, name: str) -> dict[str, Any]:
        """Of a store of a topology: an instance, or a cluster with ``aurora``."""
        named = {"instance" if kind == "rds" else "cluster": name}
        return {"engine": kind, "dialect": dialect, "method": "pitr", "conn_id": self.CONN_ID, "region": self.REGION, **named}

    def make_instance(self, name: str, **settings: Any) -> None:
        """And wait until it is there."""
        common = {"DBInstanceClass": "db.r6g.large", "Engine": "postgres", "AllocatedStorage": 20, "MasterUsername": "midtime"}
        self.client.create_db_instance(DBInstanceIdentifier=name, MasterUserPassword="midtime-secret", **{**common, **settings})
        poll(f"{name} to be there", lambda: self.status(name) == "available" or None, 30, every=0.05)

    def make_cluster(self, name: str, *members: str, **settings: Any) -> None:
        """With its instances."""
        common = {"Engine": "aurora-postgresql", "MasterUsername": "midtime", "MasterUserPassword": "midtime-secret"}
        made = {**common, **settings}
        self.client.create_db_cluster(DBClusterIdentifier=name, **made)
        poll(f"{name} to be there", lambda: self.cluster(name).get("Status") == "available" or None, 30, every=0.05)
        for member in members:
            self.make_instance(member, Engine=made["Engine"], DBClusterIdentifier=name, AllocatedStorage=1)

    def instance(self, name: str) -> dict[str, Any]:
        """As it is described; nothing if there is none."""
        found = self.client.describe_db_instances()["DBInstances"]
        return next((each for each in found if each["DBInstanceIdentifier"] == name), {})

    def cluster(self, name: str) -> dict[str, Any]:
        found = self.client.describe_db_clusters()["DBClusters"]
        return next((each for each in found if each["DBClusterIdentifier"] == name), {})

    def status(self, name: str) -> str:
        return str(self.instance(name).get("DBInstanceStatus", ""))

    def restores(self) -> list[dict[str, Any]]:
        """Calls that asked for one, carried out or not."""
        return [each for each in self.calls()["control"] if each["operation"].startswith("RestoreDB")]

    def names(self) -> set[str]:
        """Of all that is there and is not being deleted."""
        instances = {each["DBInstanceIdentifier"]: each["DBInstanceStatus"] for each in self.client.describe_db_instances()["DBInstances"]}
        clusters = {each["DBClusterIdentifier"]: each["Status"] for each in self.client.describe_db_clusters()["DBClusters"]}
        return {name for name, status in {**instances, **clusters}.items() if status != "deleting"}

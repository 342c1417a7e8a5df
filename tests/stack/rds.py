"""A server that speaks RDS's protocol, in which things take time, and what an Airflow connection to it looks like."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from tests.stack.cloud import CloudDouble
from tests.stack.processes import Processes, poll


class RDS(CloudDouble):
    """One account."""

    MODULE = "tests.stack.rds_server"
    KEY, SECRET, REGION = "midtime", "midtime-secret", "eu-west-1"

    def __init__(self, processes: Processes, name: str = "rds", **settings: Any) -> None:
        super().__init__(processes, name, **settings)

    def conn(self) -> str:
        """An Airflow connection as JSON, for ``AIRFLOW_CONN_…``."""
        extras = {"endpoint_url": f"http://127.0.0.1:{self.port}", "region_name": self.REGION}
        return json.dumps({"conn_type": "aws", "login": self.KEY, "password": self.SECRET, "extra": extras})

    @cached_property
    def client(self) -> Any:
        """To look, and to meddle, without Midtime; it does not try anything twice."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "rds", endpoint_url=f"http://127.0.0.1:{self.port}", region_name=self.REGION, aws_access_key_id=self.KEY,
            aws_secret_access_key=self.SECRET, config=Config(retries={"total_max_attempts": 1}),
        )  # fmt: skip

    def make_instance(self, name: str, **settings: Any) -> None:
        """And wait until it is there."""
        common = {"DBInstanceClass": "db.r6g.large", "Engine": "postgres", "AllocatedStorage": 20, "MasterUsername": "midtime"}
        self.client.create_db_instance(DBInstanceIdentifier=name, MasterUserPassword="midtime-secret", **{**common, **settings})
        poll(f"{name} to be there", lambda: self.status(name) == "available" or None, 30, every=0.05)

    def make_cluster(self, name: str, *members: str, **settings: Any) -> None:
        """With its instances."""
        common = {"Engine": "aurora-postgresql", "MasterUsername": "midtime", "MasterUserPassword": "midtime-secret"}
        self.client.create_db_cluster(DBClusterIdentifier=name, **{**common, **settings})
        poll(f"{name} to be there", lambda: self.cluster(name).get("Status") == "available" or None, 30, every=0.05)
        for member in members:
            self.make_instance(member, Engine="aurora-postgresql", DBClusterIdentifier=name, AllocatedStorage=1)

    def instance(self, name: str) -> dict[str, Any]:
        """As it is described; nothing if there is none."""
        found = self.client.describe_db_instances()["DBInstances"]
        return next((each for each in found if each["DBInstanceIdentifier"] == name), {})

    def cluster(self, name: str) -> dict[str, Any]:
        found = self.client.describe_db_clusters()["DBClusters"]
        return next((each for each in found if each["DBClusterIdentifier"] == name), {})

    def status(self, name: str) -> str:
        return str(self.instance(name).get("DBInstanceStatus", ""))

    def names(self) -> set[str]:
        """Of all that is there and is not being deleted."""
        instances = {each["DBInstanceIdentifier"]: each["DBInstanceStatus"] for each in self.client.describe_db_instances()["DBInstances"]}
        clusters = {each["DBClusterIdentifier"]: each["Status"] for each in self.client.describe_db_clusters()["DBClusters"]}
        return {name for name, status in {**instances, **clusters}.items() if status != "deleting"}

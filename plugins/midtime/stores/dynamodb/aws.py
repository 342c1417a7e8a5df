"""Amazon's clients of one DynamoDB store: its control plane, its items, its clock."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from midtime.model.topology.cloud import Dynamodb
from midtime.stores.aws.clients import PACED, PATIENT, AwsClients
from midtime.stores.dynamodb.refusals import aws_errors

HURRIED = {"retries": {"mode": "standard", "total_max_attempts": 2}, "connect_timeout": 1, "read_timeout": 1}
"""Of what runs inside a window."""
ONCE = {"retries": {"total_max_attempts": 1}, "connect_timeout": 2, "read_timeout": 2}
"""Of the clock: a second try would only make the round trip longer."""


class Aws(AwsClients[Dynamodb]):
    """The clients of one DynamoDB store, each made when it is first used."""

    SERVICE = "dynamodb"
    errors = staticmethod(aws_errors)

    @cached_property
    def control(self) -> Any:
        """Tables and their settings."""
        return self.client("dynamodb", self.spec.conn_id, PATIENT)

    @cached_property
    def paced(self) -> Any:
        """Tables, for restores: their quota is kept by looks."""
        return self.client("dynamodb", self.spec.conn_id, PACED)

    @cached_property
    def clock(self) -> Any:
        """The same for the clock."""
        return self.client("dynamodb", self.spec.conn_id, ONCE)

    @cached_property
    def data(self) -> Any:
        """Items."""
        return self.client("dynamodb", self.spec.data_conn_id or self.spec.conn_id, PATIENT)

    @cached_property
    def hurried(self) -> Any:
        """Items, in a window."""
        return self.client("dynamodb", self.spec.data_conn_id or self.spec.conn_id, HURRIED)

    @cached_property
    def scaling(self) -> Any:
        """Application Auto Scaling."""
        return self.client("application-autoscaling", self.spec.conn_id, PATIENT)

    @cached_property
    def alarms(self) -> Any:
        """CloudWatch."""
        return self.client("cloudwatch", self.spec.conn_id, PATIENT)

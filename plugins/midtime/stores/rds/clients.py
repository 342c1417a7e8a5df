"""The clients of one RDS or Aurora store."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from midtime.model.topology.cloud import Aurora, Rds
from midtime.stores.aws.clients import PACED, PATIENT, AwsClients
from midtime.stores.rds.refusals import aws_errors


class RdsClients(AwsClients[Rds | Aurora]):
    """The control plane; the data are reached by a connection of their own."""

    SERVICE = "rds"
    errors = staticmethod(aws_errors)

    @cached_property
    def control(self) -> Any:
        """For what only reads."""
        return self.client("rds", self.spec.conn_id, PATIENT)

    @cached_property
    def paced(self) -> Any:
        """For what makes, changes and deletes: never sent twice by the SDK, for the first one may have arrived."""
        return self.client("rds", self.spec.conn_id, PACED)

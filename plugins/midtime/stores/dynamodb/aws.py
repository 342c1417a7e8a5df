"""Amazon's clients of one store, made through the provider's hooks: credentials, roles, proxies and endpoints are those of its connections."""

from __future__ import annotations

from functools import cached_property
from threading import RLock
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import BaseHook
from botocore.config import Config

from midtime.model.topology.cloud import Dynamodb
from midtime.stores.dynamodb.refusals import aws_errors
from midtime.stores.each import AT_ONCE

PATIENT = {
    "retries": {"mode": "adaptive", "total_max_attempts": 9},
    "connect_timeout": 5,
    "read_timeout": 20,
    "max_pool_connections": AT_ONCE + 2,
}
"""Throttling is met by pace; what the connection's ``config_kwargs`` say has precedence."""
HURRIED = {"retries": {"mode": "standard", "total_max_attempts": 2}, "connect_timeout": 1, "read_timeout": 1}
"""Of what runs inside a window."""
ONCE = {"retries": {"total_max_attempts": 1}, "connect_timeout": 2, "read_timeout": 2}
"""Of the clock: a second try would only make the round trip longer."""
PACED = {"retries": {"mode": "standard", "total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 20, "max_pool_connections": 4}
"""Of what is asked again at the next look: the SDK would take a full quota for throttling, and wait for it."""
DEFAULT_CONNECTION = "aws_default"
"""May be missing: then the worker's own role is meant, as everywhere in Airflow."""


class Aws:
    """The clients of one DynamoDB store, each made when it is first used. They may be shared by threads.

    :param store: the store's name, for messages
    """

    def __init__(self, store: str, spec: Dynamodb) -> None:
        self.store, self.spec = store, spec
        self._lock = RLock()  # sessions, unlike clients, are not made for several threads
        self._logins: dict[str, tuple[Any, Any]] = {}

    @cached_property
    def control(self) -> Any:
        """Tables and their settings."""
        return self._client("dynamodb", self.spec.conn_id, PATIENT)

    @cached_property
    def paced(self) -> Any:
        """Tables, for restores: their quota is kept by looks."""
        return self._client("dynamodb", self.spec.conn_id, PACED)

    @cached_property
    def clock(self) -> Any:
        """The same for the clock."""
        return self._client("dynamodb", self.spec.conn_id, ONCE)

    @cached_property
    def data(self) -> Any:
        """Items."""
        return self._client("dynamodb", self.spec.data_conn_id or self.spec.conn_id, PATIENT)

    @cached_property
    def hurried(self) -> Any:
        """Items, in a window."""
        return self._client("dynamodb", self.spec.data_conn_id or self.spec.conn_id, HURRIED)

    @cached_property
    def scaling(self) -> Any:
        """Application Auto Scaling."""
        return self._client("application-autoscaling", self.spec.conn_id, PATIENT)

    @cached_property
    def alarms(self) -> Any:
        """CloudWatch."""
        return self._client("cloudwatch", self.spec.conn_id, PATIENT)

    def _client(self, service: str, conn_id: str, ours: dict[str, Any]) -> Any:
        with self._lock, aws_errors(self.store):
            hook, session = self._login(conn_id)
            config = Config(**ours).merge(hook.config) if ours is PATIENT else hook.config.merge(Config(**ours))
            own = self.spec.endpoint if service == "dynamodb" else None
            endpoint = own or hook.conn_config.get_service_endpoint_url(service)
            return session.client(service, endpoint_url=endpoint, config=config, verify=hook.verify)

    def _login(self, conn_id: str) -> tuple[Any, Any]:
        """A connection's hook and session, one for all of its clients: a session takes a third of a second to learn a service."""
        if conn_id not in self._logins:
            if conn_id != DEFAULT_CONNECTION:
                BaseHook.get_connection(conn_id)  # the provider would take the environment's credentials for one that is not there
            hook: Any = AwsBaseHook(aws_conn_id=conn_id, client_type="dynamodb", region_name=self.spec.region)
            self._logins[conn_id] = hook, hook.get_session(region_name=self.spec.region)
        return self._logins[conn_id]

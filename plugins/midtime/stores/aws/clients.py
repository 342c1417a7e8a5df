"""Amazon's clients of one store, made through the provider's hooks: credentials, roles, proxies and endpoints are those of its connections."""

from __future__ import annotations

from threading import RLock
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.sdk import BaseHook
from botocore.config import Config

from midtime.stores.aws.refusals import Errors
from midtime.stores.each import AT_ONCE
from midtime.stores.naming import require_type

PATIENT = {
    "retries": {"mode": "adaptive", "total_max_attempts": 9},
    "connect_timeout": 5,
    "read_timeout": 20,
    "max_pool_connections": AT_ONCE + 2,
}
"""Throttling is met by pace; what the connection's ``config_kwargs`` say has precedence."""
PACED = {"retries": {"mode": "standard", "total_max_attempts": 1}, "connect_timeout": 5, "read_timeout": 20, "max_pool_connections": 4}
"""Of what is asked again at the next look: the SDK would take a full quota for throttling, and wait for it."""
DEFAULT_CONNECTION = "aws_default"
"""May be missing: then the worker's own role is meant, as everywhere in Airflow."""


class InAws(Protocol):
    """A store's part of a topology, if it is in Amazon's cloud."""

    @property
    def region(self) -> str:
        """AWS region."""

    @property
    def endpoint(self) -> str | None:
        """Address of the service, if not Amazon's own."""


Spec = TypeVar("Spec", bound=InAws)


class AwsClients(Generic[Spec]):
    """The clients of one store. They may be shared by threads.

    :param store: the store's name, for messages
    """

    #: the one whose address the topology may name
    SERVICE: ClassVar[str]
    #: turns its refusals into our errors
    errors: Errors

    def __init__(self, store: str, spec: Spec) -> None:
        self.store, self.spec = store, spec
        self._lock = RLock()  # sessions, unlike clients, are not made for several threads
        self._logins: dict[str, tuple[Any, Any]] = {}

    def client(self, service: str, conn_id: str, ours: dict[str, Any]) -> Any:
        """A client of a service.

        :param ours: its configuration; of a patient one the connection's has precedence
        :raises StoreAccessError: no such connection
        """
        with self._lock, self.errors(self.store):
            hook, session = self._login(conn_id)
            config = Config(**ours).merge(hook.config) if ours is PATIENT else hook.config.merge(Config(**ours))
            own = self.spec.endpoint if service == self.SERVICE else None
            endpoint = own or hook.conn_config.get_service_endpoint_url(service)
            return session.client(service, endpoint_url=endpoint, config=config, verify=hook.verify)

    def _login(self, conn_id: str) -> tuple[Any, Any]:
        """A connection's hook and session, one for all of its clients: a session takes a third of a second to learn a service."""
        if conn_id not in self._logins:
            if conn_id != DEFAULT_CONNECTION:
                # The provider would take the environment's credentials for one that is not there.
                require_type(self.store, BaseHook.get_connection(conn_id), "aws")
            hook: Any = AwsBaseHook(aws_conn_id=conn_id, client_type=self.SERVICE, region_name=self.spec.region)
            self._logins[conn_id] = hook, hook.get_session(region_name=self.spec.region)
        return self._logins[conn_id]

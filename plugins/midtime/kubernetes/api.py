"""The few calls to a Kubernetes API server, with errors that say which permission or setting is missing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from midtime.errors import DiscoveryAccessError, DiscoveryError

TIMEOUT = (3.0, 5.0)
"""Seconds to connect, and between two pieces of an answer. There is one attempt: whoever calls knows whether there is time for more."""
ROLE, SCALE_ROLE = "include/kubernetes/role.yaml", "include/kubernetes/role-scale.yaml"

_METHODS = {"list": "list", "get": "read", "patch": "patch"}
_RESOURCES = {
    "pods": "pod",
    "services": "service",
    "replicasets": "replica_set",
    "deployments": "deployment",
    "statefulsets": "stateful_set",
}
_CORE = ("pods", "services")
# The client library hands a kubeconfig from its loader to the client through a global: two threads would swap their clusters.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, slots=True)
class Api:
    """One namespace as one Airflow connection sees it."""

    core: Any
    apps: Any
    conn_id: str
    namespace: str
    subject: str
    """What it is about, as reports say it: ``product ledger``."""

    def list(self, resource: str, selector: str | None = None) -> list[Any]:
        """The objects of a kind. Read from etcd, not from a cache that may be behind: no ``resource_version`` is given.

        :raises DiscoveryError: no answer, or :class:`DiscoveryAccessError` if we are refused
        """
        answer = self._call("list", resource, **({"label_selector": selector} if selector else {}))
        return list(answer.items)

    def get(self, resource: str, name: str) -> Any:
        """One object, or None if there is none.

        :raises DiscoveryError: as for :meth:`list`
        """
        return self._call("get", resource, name=name)

    def patch(self, resource: str, name: str, body: dict[str, Any]) -> Any:
        """Change one object.

        :return: what it is now; None if it is not there
        :raises DiscoveryError: as for :meth:`list`; retryable if somebody else changed it meanwhile
        """
        return self._call("patch", resource, name=name, body=body)

    def _call(self, verb: str, resource: str, **arguments: Any) -> Any:
        from kubernetes.client import ApiException  # type: ignore[import-untyped]
        from urllib3.exceptions import HTTPError

        api = self.core if resource in _CORE else self.apps
        method = getattr(api, f"{_METHODS[verb]}_namespaced_{_RESOURCES[resource]}")
        try:
            return method(namespace=self.namespace, _request_timeout=TIMEOUT, **arguments)
        except ApiException as error:
            if error.status == 404 and "name" in arguments:
                return None
            self._refused(verb, resource, error)
        except HTTPError as error:
            self._unreachable(error)

    def _refused(self, verb: str, resource: str, error: Any) -> NoReturn:
        where = f"{self.subject}: Kubernetes (connection {self.conn_id!r})"
        if error.status == 403:
            raise DiscoveryAccessError(
                f"{where} does not let us {verb} {resource} in namespace {self.namespace}: {_said(error)}",
                fix=f"bind the Role of {SCALE_ROLE if verb == 'patch' else ROLE} to our user or service account in that namespace",
            ) from error
        if error.status == 401:
            raise DiscoveryAccessError(f"{where} does not know us (401)", fix="renew the token or certificate of the connection") from error
        text = f"{where} failed to {verb} {resource} in namespace {self.namespace}: {error.status} {_said(error)}"
        if error.status in (409, 429) or error.status >= 500:
            raise DiscoveryError(text, fix="try again") from error
        raise DiscoveryAccessError(text, fix="correct the connection, or the `kubernetes` section in the topology") from error

    def _unreachable(self, error: Exception) -> NoReturn:
        where = f"{self.subject}: the Kubernetes API server of connection {self.conn_id!r}"
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise DiscoveryAccessError(
                f"{where} has a certificate that we do not trust: {error}", fix="correct the CA in the connection's kubeconfig"
            ) from error
        raise DiscoveryError(
            f"{where} does not answer: {error}", fix="see whether it runs and the worker reaches it, then try again"
        ) from error


def _said(error: Any) -> str:
    """What the API server says, without headers and the rest of its answer."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


@contextmanager
def connect(conn_id: str, namespace: str, subject: str) -> Iterator[Api]:
    """Open a namespace through the provider's hook.

    :raises DiscoveryAccessError: there is no such connection, or it cannot be used
    """
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
    from kubernetes.client import AppsV1Api, CoreV1Api
    from urllib3 import Retry

    with _ONE_AT_A_TIME:
        try:
            client = KubernetesHook(conn_id=conn_id).get_conn()
        except Exception as error:
            raise DiscoveryAccessError(
                f"{subject}: the Airflow connection {conn_id!r} cannot be used for Kubernetes: {type(error).__name__}: {error}",
                fix=f"airflow connections add {conn_id} --conn-type kubernetes ... (in_cluster, kube_config_path or kube_config)",
            ) from error
    pool = client.rest_client.pool_manager
    pool.connection_pool_kw["retries"] = Retry(0)  # by default each time-out would be waited for four times
    try:
        yield Api(CoreV1Api(client), AppsV1Api(client), conn_id, namespace, subject)
    finally:
        pool.clear()

"""The nodes of a cluster, each reached as the topology says."""

from __future__ import annotations

from collections import Counter
from typing import Any

from midtime.errors import DiscoveryAccessError, DiscoveryError, MidtimeError, StoreAccessError, StoreUnreachableError
from midtime.model.topology.cassandra import Access, CassandraNode, KubernetesAccess, Nodes
from midtime.stores.cassandra.nodes.base import Node

_GONE = ("Succeeded", "Failed")


def open_nodes(
    access: Access, nodes: Nodes, subject: str = "Cassandra", down: list[MidtimeError] | None = None
) -> list[tuple[Node, CassandraNode | None]]:
    """Every node, with what the topology says of it; with Kubernetes it says nothing, and they are found. Nothing is connected to yet.

    :param subject: what it is about, as reports say it
    :param down: takes what is to be said of each pod that is not up, instead of an error: for what is done on those that are
    :raises StoreUnreachableError: the pods cannot be looked up now, or one of them is on its way
    :raises StoreAccessError: we may not look for pods, or there is none
    """
    if access.kubernetes:
        return [(node, None) for node in _pods(access.kubernetes, subject, down)]
    often = Counter(node.host for node in nodes)
    labels = [node.host if often[node.host] == 1 else f"{node.host}-{node.jmx_port}" for node in nodes]
    return [(_opened(access, label, node.host), node) for label, node in zip(labels, nodes, strict=True)]


def _opened(access: Access, label: str, host: str) -> Node:
    if access.ssh:
        from midtime.stores.cassandra.nodes.ssh import SshNode

        return SshNode(label, host, access.ssh)
    from midtime.stores.cassandra.nodes.local import LocalNode

    return LocalNode(label, host)


def _pods(access: KubernetesAccess, subject: str, down: list[MidtimeError] | None) -> list[Node]:
    from midtime.kubernetes.api import connect
    from midtime.stores.cassandra.nodes.kubernetes import PodNode

    try:
        with connect(access.conn_id, access.namespace, subject) as api:
            pods = [pod for pod in api.list("pods", access.selector) if pod.status.phase not in _GONE]
    except DiscoveryAccessError as error:
        raise StoreAccessError(error.message, fix=error.fix) from error
    except DiscoveryError as error:
        raise StoreUnreachableError(error.message, fix=error.fix) from error
    if not pods:
        raise StoreAccessError(
            f"{subject}: no pod in namespace {access.namespace} has the labels {access.selector}",
            fix="correct `access.kubernetes` in the topology",
        )
    up = [pod for pod in sorted(pods, key=lambda pod: str(pod.metadata.name)) if _is_up(pod, access, subject, down)]
    return [PodNode(pod.metadata.name, pod.status.pod_ip, api, access.container) for pod in up]


def _is_up(pod: Any, access: KubernetesAccess, subject: str, down: list[MidtimeError] | None) -> bool:
    try:
        _require_up(pod, access, subject)
    except MidtimeError as error:
        if down is None:
            raise
        down.append(error)
        return False
    return True


def _require_up(pod: Any, access: KubernetesAccess, subject: str) -> None:
    name = f"{subject}: pod {access.namespace}/{pod.metadata.name}"
    if access.container not in (container.name for container in pod.spec.containers):
        raise StoreAccessError(f"{name} has no container {access.container!r}", fix="correct `container` in the topology")
    if pod.metadata.deletion_timestamp:
        raise StoreUnreachableError(f"{name} is being deleted", fix="wait until it is replaced, then try again")
    if pod.status.phase != "Running" or not pod.status.pod_ip:
        raise StoreUnreachableError(f"{name} is {pod.status.phase}, not Running", fix="see why with kubectl describe, then try again")

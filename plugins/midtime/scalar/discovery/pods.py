"""Endpoints from the pods of a Kubernetes namespace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from midtime.errors import DiscoveryAccessError, ProductNotReadyError
from midtime.kubernetes.api import Api, connect
from midtime.model.topology import join_endpoint
from midtime.scalar.discovery.workloads import require_settled
from midtime.scalar.endpoint import Identity

if TYPE_CHECKING:
    from midtime.model.topology import Product
    from midtime.model.topology.products import KubernetesEndpoints

CHARTS = {
    "scalardb-cluster": ("scalardb-cluster", "scalardb-cluster"),
    "scalardb-server": ("scalardb", "scalardb"),
    "scalardl-ledger": ("ledger", "scalardl-admin"),
    "scalardl-auditor": ("auditor", "scalardl-auditor-admin"),
}
"""Of each kind, what Scalar's charts call it in ``app.kubernetes.io/app``, and the Service's port that leads to its admin service."""
OVER = ("Succeeded", "Failed")
"""Phases of a pod whose containers have ended for good."""


def find(product: Product) -> Iterator[tuple[str, Identity]]:
    """Address and identity of every pod, all of them ready and at rest.

    :raises DiscoveryError: or one of its kinds, see :func:`midtime.scalar.discovery.discover`
    """
    where = _where(product)
    with connect(where.conn_id, where.namespace, f"product {product.label}") as api:
        pods = api.list("pods", selector(product))
        if not pods:
            raise DiscoveryAccessError(
                f"product {product.label}: no pod in namespace {where.namespace} has the labels {selector(product)}",
                fix="check `namespace` and `release` (or `selector`) in the topology, and whether the product runs",
            )
        for pod in pods:
            _require_ready(api, pod)
        require_settled(api, pods)
        port = where.port or _port(api, product, pods)
        for pod in pods:
            yield join_endpoint(pod.status.pod_ip, port), _identity(pod, port)


@dataclass(frozen=True, slots=True)
class Remains:
    """What is left of a product that is being stopped."""

    known: bool
    """Whether anything carries its labels, be it at rest: else nothing tells a stopped product from a misspelt one."""
    running: tuple[str, ...]
    """Pods that are not over, and workloads that would make new ones."""
    addresses: tuple[str, ...]
    """Of those pods, as far as they can be told."""


def remains(product: Product) -> Remains:
    """Look what is left of a product, in whatever state it is.

    :raises DiscoveryError: or :class:`DiscoveryAccessError`: we cannot tell
    """
    where, labels = _where(product), selector(product)
    with connect(where.conn_id, where.namespace, f"product {product.label}") as api:
        pods = api.list("pods", labels)
        workloads = [(kind, each) for kind in ("deployment", "statefulset") for each in api.list(f"{kind}s", labels)]
        alive = [pod for pod in pods if pod.status.phase not in OVER]
        running = [f"pod/{pod.metadata.name}" for pod in alive]
        running += [f"{kind}/{each.metadata.name} (its replicas are not 0)" for kind, each in workloads if each.spec.replicas != 0]
        return Remains(bool(pods or workloads), tuple(running), _addresses(api, product, alive))


def selector(product: Product) -> str:
    """The labels by which the pods are found."""
    where = _where(product)
    return where.selector or f"app.kubernetes.io/instance={where.release},app.kubernetes.io/app={CHARTS[product.kind][0]}"


def _where(product: Product) -> KubernetesEndpoints:
    assert product.endpoints.kubernetes  # noqa: S101 - discover() asks only then
    return product.endpoints.kubernetes


def _require_ready(api: Api, pod: Any) -> None:
    if reason := _not_ready(pod):
        name = f"{api.namespace}/{pod.metadata.name}"
        raise ProductNotReadyError(
            f"{api.subject}: pod {name} {reason[0]}",
            fix=reason[1].format(describe=f"`kubectl -n {api.namespace} describe pod {pod.metadata.name}`"),
        )


def _not_ready(pod: Any) -> tuple[str, str] | None:
    """Why a pod cannot be paused now, and what to do; None if it can."""
    status = pod.status
    if pod.metadata.deletion_timestamp:
        return "is terminating", "wait until it is gone, then try again"
    if status.phase in OVER:
        return f"is over ({status.phase}{': ' + status.reason if status.reason else ''})", "delete it, or see why with {describe}"
    if status.phase != "Running":
        return f"is {status.phase or 'of no phase yet'}", "wait until it runs; {describe} says what it waits for"
    ready = next((each for each in status.conditions or () if each.type == "Ready"), None)
    if ready is None or ready.status != "True":
        return f"is not ready{': ' + ready.reason if ready and ready.reason else ''}", "wait until it is; {describe} says what it waits for"
    if not status.pod_ip:
        return "has no IP address", "wait until it has one; {describe} says what it waits for"
    return None


def _port(api: Api, product: Product, pods: list[Any]) -> int:
    """The pods' port behind the Service's port that the chart names; the containers' ports have no names there."""
    if product.kind not in CHARTS:
        raise DiscoveryAccessError(f"product {product.label}: its admin port is not known", fix="give `port` in the topology")
    name = CHARTS[product.kind][1]
    found = {port for service in api.list("services") for port in _ports(service, name, pods)}
    if len(found) == 1:
        return found.pop()
    several = f"lead to different ports of the pods: {', '.join(map(str, sorted(found)))}"
    raise DiscoveryAccessError(
        f"product {product.label}: Services in namespace {api.namespace} with a port named {name} {several}"
        if found
        else f"product {product.label}: no Service in namespace {api.namespace} that selects its pods has a port named {name}",
        fix="give the admin `port` in the topology",
    )


def _ports(service: Any, name: str, pods: list[Any]) -> Iterator[int]:
    """The pods' ports behind a Service's port of that name, if the Service selects all of them."""
    wanted = (service.spec.selector or {}).items()
    if not wanted or not all(wanted <= (pod.metadata.labels or {}).items() for pod in pods):
        return
    for port in service.spec.ports or ():
        if port.name == name:
            yield from _numbers(port.target_port if port.target_port is not None else port.port, pods)


def _numbers(target: Any, pods: list[Any]) -> Iterator[int]:
    if str(target).isdigit():
        yield int(target)
        return
    for pod in pods:
        yield from (port.container_port for container in pod.spec.containers for port in container.ports or () if port.name == target)


def _addresses(api: Api, product: Product, pods: list[Any]) -> tuple[str, ...]:
    reachable = [pod for pod in pods if pod.status.pod_ip]
    if not reachable:
        return ()
    try:
        port = _where(product).port or _port(api, product, reachable)
    except DiscoveryAccessError:
        return ()  # the pods themselves are seen to go
    return tuple(join_endpoint(pod.status.pod_ip, port) for pod in reachable)


def _identity(pod: Any, port: int) -> Identity:
    """Who serves that port. Other containers of the pod, such as a proxy, may restart; if none declares the port, all of them count."""
    serving = {each.name for each in pod.spec.containers if any(one.container_port == port for one in each.ports or ())}
    statuses = [each for each in pod.status.container_statuses or () if not serving or each.name in serving]
    containers = ",".join(sorted(each.container_id or "" for each in statuses))
    return Identity(pod.metadata.name, pod.metadata.uid, containers, sum(each.restart_count for each in statuses))

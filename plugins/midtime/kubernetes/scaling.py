"""Kubernetes workloads scaled down to stop something, and up again to start it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midtime.errors import DiscoveryAccessError, DiscoveryError, ProductRunningError
from midtime.kubernetes.api import Api, connect

if TYPE_CHECKING:
    from midtime.model.topology.commands import KubernetesScale

BEFORE = "midtime.io/replicas"
"""Annotation of a workload that we stopped: its replicas before. In the cluster, so that it outlives the worker that stopped it."""
ATTEMPTS = 5


def stop(subject: str, scale: KubernetesScale) -> None:
    """Scale workloads down (to none, unless ``replicas`` says otherwise), and note on each what it had. Repeatable.

    :param subject: what is stopped, as reports say it: ``product ledger``
    :raises DiscoveryError: the API server does not answer; :class:`DiscoveryAccessError`: it refuses us, or there is no such workload
    """

    def change(workload: Any) -> dict[str, Any] | None:
        current, wanted = _replicas(workload), scale.replicas or 0
        return None if current == wanted else _body(wanted, str(current))

    _each(subject, scale, change)


def start(subject: str, scale: KubernetesScale) -> None:
    """Scale workloads up to ``replicas``, or to what they had before :func:`stop`. One that was not stopped by us stays as it is. Repeatable.

    :raises DiscoveryError: as for :func:`stop`
    :raises ProductRunningError: one is at 0 and nothing says what it had
    """

    def change(workload: Any) -> dict[str, Any] | None:
        current, noted = _replicas(workload), (workload.metadata.annotations or {}).get(BEFORE)
        wanted = scale.replicas if scale.replicas is not None else int(noted) if noted and noted.isdigit() else current
        if not wanted and scale.replicas is None:
            raise ProductRunningError(
                f"{subject}: {workload.metadata.name} in namespace {scale.namespace} has no replicas, and no annotation {BEFORE} says how many it had",
                fix="scale it up by hand, or give `replicas` under `start` in the topology",
            )
        return None if current == wanted and noted is None else _body(wanted, None)

    _each(subject, scale, change)


def _each(subject: str, scale: KubernetesScale, change: Any) -> None:
    with connect(scale.conn_id, scale.namespace, subject) as api:
        for workload in scale.workloads:
            for attempt in range(ATTEMPTS):
                try:
                    _apply(api, workload, change)
                    break
                except DiscoveryError as error:
                    if not error.retryable or attempt == ATTEMPTS - 1:
                        raise


def _apply(api: Api, workload: str, change: Any) -> None:
    kind, _, name = workload.partition("/")
    found = api.get(f"{kind}s", name)
    if found is None:
        raise DiscoveryAccessError(
            f"{api.subject}: there is no {workload} in namespace {api.namespace}", fix="correct `workloads` in the topology"
        )
    if body := change(found):
        # Replicas and note change in one request, and only if nobody scaled it since we looked.
        body["metadata"]["resourceVersion"] = found.metadata.resource_version
        api.patch(f"{kind}s", name, body)


def _replicas(workload: Any) -> int:
    return 1 if workload.spec.replicas is None else int(workload.spec.replicas)


def _body(replicas: int, before: str | None) -> dict[str, Any]:
    return {"metadata": {"annotations": {BEFORE: before}}, "spec": {"replicas": replicas}}

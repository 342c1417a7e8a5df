"""Whether a Deployment or StatefulSet is at rest: in a rollout, pods come and go under the window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from midtime.errors import ProductNotReadyError
from midtime.kubernetes.api import Api

RESOURCES = {"Deployment": "deployments", "StatefulSet": "statefulsets", "ReplicaSet": "replicasets"}


def require_settled(api: Api, pods: Iterable[Any]) -> None:
    """Refuse pods whose workload is being rolled out or scaled. Pods of other owners, or of none, are taken as they are.

    :raises ProductNotReadyError: with the workload and what it waits for
    """
    groups: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for pod in pods:
        if owner := controller(pod):
            groups[owner].append(pod)
    counts: dict[tuple[str, str], int] = defaultdict(int)
    workloads: dict[tuple[str, str], Any] = {}
    for owner, members in groups.items():
        if top := _top(api, owner, members[0].metadata.name):
            workload, name = top
            workloads[name] = workload
            counts[name] += len(members)
    for name, workload in workloads.items():
        if reason := _unsettled(workload, counts[name]):
            raise ProductNotReadyError(
                f"{api.subject}: {'/'.join(name)} in namespace {api.namespace} {reason}",
                fix=f"wait until `kubectl -n {api.namespace} rollout status {name[0].lower()}/{name[1]}` says that it is done, then try again",
            )


def controller(thing: Any) -> tuple[str, str] | None:
    """Kind and name of the object that manages a pod or a ReplicaSet."""
    owners = [each for each in thing.metadata.owner_references or () if each.controller]
    return (owners[0].kind, owners[0].name) if owners else None


def _top(api: Api, owner: tuple[str, str], pod: str) -> tuple[Any, tuple[str, str]] | None:
    """The workload above a pod: a ReplicaSet leads on to its Deployment."""
    kind, name = owner
    if kind not in RESOURCES:
        return None
    workload = api.get(RESOURCES[kind], name)
    if workload is None:
        raise ProductNotReadyError(
            f"{api.subject}: {kind}/{name}, which pod {api.namespace}/{pod} belongs to, is gone",
            fix="try again when the pod is, too",
        )
    above = controller(workload) if kind == "ReplicaSet" else None
    return (_top(api, above, pod) if above else None) or (workload, owner)


def _unsettled(workload: Any, pods: int) -> str:
    """Why it is not at rest, or nothing."""
    wanted = 1 if workload.spec.replicas is None else workload.spec.replicas
    status = workload.status
    if (status.observed_generation or 0) < workload.metadata.generation:
        return "has been changed, and its controller has not acted yet"
    updated = (status.updated_replicas or 0) if hasattr(status, "updated_replicas") else wanted
    if updated != wanted:
        return f"is being rolled out: {updated} of {wanted} pods are of its newest version"
    if (status.replicas or 0) != wanted:
        return f"is being scaled or rolled out: it has {status.replicas or 0} pods and wants {wanted}"
    if pods != wanted:
        return f"wants {wanted} pods, and {pods} are there with our labels"
    return ""

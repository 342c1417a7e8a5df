"""A Helm release of a Scalar product, as its chart, the controllers and the kubelets would have written it into an API server."""

from __future__ import annotations

import itertools
import uuid
from pathlib import Path
from typing import Any

import yaml

from midtime.model.topology import Product
from tests.stack.kubernetes import Kubernetes

ROLES = Path(__file__).parents[2] / "include" / "kubernetes"
#: by kind: app label, the Deployment's suffix, the Service's ports
CHARTS: dict[str, tuple[str, str, dict[str, int]]] = {
    "scalardb-cluster": ("scalardb-cluster", "-node", {"scalardb-cluster": 60053, "graphql": 8080}),
    "scalardb-server": ("scalardb", "", {"scalardb": 60051}),
    "scalardl-ledger": ("ledger", "-ledger", {"scalardl": 50051, "scalardl-priv": 50052, "scalardl-admin": 50053}),
    "scalardl-auditor": ("auditor", "-auditor", {"scalardl-auditor": 40051, "scalardl-auditor-admin": 40053}),
}


class Release:
    """One Deployment with its ReplicaSet, Services and pods, in a namespace of its own unless one is given."""

    def __init__(self, server: Kubernetes, kind: str = "scalardb-cluster", ips: tuple[str, ...] = ("127.0.0.11", "127.0.0.12"), *,
                 name: str = "bank", namespace: str = "", container_port: int | None = None) -> None:  # fmt: skip
        self.server, self.name, self.kind = server, name, kind
        self.namespace = namespace or server.namespace()
        self.app, suffix, self.ports = CHARTS[kind]
        self.workload = f"{name}-{self.app}{suffix}"
        self.labels = {"app.kubernetes.io/name": self.app, "app.kubernetes.io/instance": name, "app.kubernetes.io/app": self.app}
        self._container_port = container_port or max(self.ports.values())
        self._numbers = itertools.count(1)
        self._replicas, self._owner = len(ips), ""
        self._make_workload()
        self._make_service("headless", {"clusterIP": "None"})
        self._make_service("endpoint", {})
        self.pods = [self.add_pod(ip) for ip in ips]
        self.settle()

    # -- what the kubelets do ------------------------------------------------------------------------------------------------------------

    def add_pod(self, ip: str = "", **changes: Any) -> str:
        """A pod that is ready.

        :param changes: of its status
        :return: its name
        """
        name = f"{self.workload}-{next(self._numbers)}"
        body = {"metadata": {"name": name, "labels": self.labels, "ownerReferences": [self._reference]}, "spec": self._pod_spec}
        self.server.core.create_namespaced_pod(self.namespace, body)
        self.set_status(name, **{"podIP": ip, "containerStatuses": self._containers(0)} | changes)
        return name

    def set_status(self, pod: str, *, ready: str = "True", phase: str = "Running", **changes: Any) -> None:
        status = {
            "phase": phase,
            "conditions": [{"type": "Ready", "status": ready}],
            **{key: value for key, value in changes.items() if value},
        }
        self.server.core.patch_namespaced_pod_status(pod, self.namespace, {"status": status})

    def restart(self, pod: str, times: int = 1, *, container: str = "node") -> None:
        """What a crash of a container leaves behind: another id, a higher count."""
        statuses = self.server.core.read_namespaced_pod(pod, self.namespace).status.container_statuses
        before = {each.name: (each.restart_count, each.container_id) for each in statuses}
        before[container] = (before[container][0] + times, f"containerd://{uuid.uuid4().hex}")
        self.set_status(pod, containerStatuses=[self._status(name, *what) for name, what in before.items()])

    def replace(self, pod: str) -> None:
        """A pod of the same name and address, but another one."""
        ip = self.server.core.read_namespaced_pod(pod, self.namespace).status.pod_ip
        self.remove(pod)
        self._numbers = itertools.count(int(pod.rpartition("-")[2]))
        self.add_pod(ip)

    def remove(self, pod: str) -> None:
        self.server.core.delete_namespaced_pod(pod, self.namespace, grace_period_seconds=0)

    def terminate(self, pod: str) -> None:
        """What it is from `kubectl delete` on until its node says that it has ended."""
        self.server.core.delete_namespaced_pod(pod, self.namespace)

    # -- what the controllers do ---------------------------------------------------------------------------------------------------------

    def settle(self, **changes: Any) -> None:
        """The Deployment's status when all is done.

        :param changes: of that status; None leaves a field out
        """
        deployment = self.server.apps.read_namespaced_deployment(self.workload, self.namespace)
        wanted = deployment.spec.replicas
        status = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), wanted)
        status |= {"observedGeneration": deployment.metadata.generation}
        self.server.apps.patch_namespaced_deployment_status(self.workload, self.namespace, {"status": status | changes})

    def scale(self, replicas: int) -> None:
        """What `kubectl scale` writes; no controller acts on it."""
        self.server.apps.patch_namespaced_deployment(self.workload, self.namespace, {"spec": {"replicas": replicas}})

    # -- what an administrator does ------------------------------------------------------------------------------------------------------

    def grant(self, role: str = "role.yaml", user: str = "app") -> None:
        """Bind what Midtime ships to a user."""
        from kubernetes.client import RbacAuthorizationV1Api

        rbac = RbacAuthorizationV1Api(self.server.core.api_client)
        text = (ROLES / role).read_text().replace("bank-scalardb-cluster-node", self.workload)
        for body in yaml.safe_load_all(text):
            if body["kind"] == "Role":
                rbac.create_namespaced_role(self.namespace, body)
            else:
                subjects = [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}]
                rbac.create_namespaced_role_binding(self.namespace, body | {"subjects": subjects})

    # -- what a topology says ------------------------------------------------------------------------------------------------------------

    def product(self, *, conn_id: str = "k8s", kind: str = "", tls: Any = None, **where: Any) -> Product:
        """The product as a topology would describe it; ``where`` changes its ``kubernetes`` section."""
        found_by = {} if "selector" in where else {"release": self.name}
        body = {"conn_id": conn_id, "namespace": self.namespace, **found_by, **where}
        return Product.model_validate({"kind": kind or self.kind, "endpoints": {"kubernetes": body}, "tls": tls})

    # -- how it is written ---------------------------------------------------------------------------------------------------------------

    @property
    def _pod_spec(self) -> dict[str, Any]:
        node = {"name": "node", "image": "scalar", "ports": [{"containerPort": self._container_port}, {"containerPort": 9080}]}
        return {"nodeName": "somewhere", "containers": [node, {"name": "proxy", "image": "proxy"}]}

    def _containers(self, restarts: int) -> list[dict[str, Any]]:
        return [self._status(name, restarts, f"containerd://{uuid.uuid4().hex}") for name in ("node", "proxy")]

    @staticmethod
    def _status(name: str, restarts: int, container: str) -> dict[str, Any]:
        return {"name": name, "restartCount": restarts, "containerID": container, "image": "i", "imageID": "i", "ready": True}

    def _make_workload(self) -> None:
        template = {"metadata": {"labels": self.labels}, "spec": {"containers": [{"name": "node", "image": "scalar"}]}}
        body = {
            "metadata": {"name": self.workload, "labels": self.labels},
            "spec": {"selector": {"matchLabels": self.labels}, "template": template},
        }
        body["spec"]["replicas"] = self._replicas
        deployment = self.server.apps.create_namespaced_deployment(self.namespace, body)
        owner = self._refer("Deployment", deployment)
        body["metadata"] = {"name": f"{self.workload}-7d9f", "labels": self.labels, "ownerReferences": [owner]}
        self._reference = self._refer("ReplicaSet", self.server.apps.create_namespaced_replica_set(self.namespace, body))

    @staticmethod
    def _refer(kind: str, made: Any) -> dict[str, Any]:
        return {"apiVersion": "apps/v1", "kind": kind, "name": made.metadata.name, "uid": made.metadata.uid, "controller": True}

    def _make_service(self, suffix: str, spec: dict[str, Any]) -> None:
        ports = [{"name": name, "port": port, "targetPort": port} for name, port in self.ports.items()]
        body = {"metadata": {"name": f"{self.name}-{self.app}-{suffix}", "labels": self.labels}}
        self.server.core.create_namespaced_service(self.namespace, body | {"spec": {"ports": ports, "selector": self.labels} | spec})

"""Discovery on a real Kubernetes API server, as the user who has nothing but the Role that Midtime ships."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from midtime.errors import ProductNotReadyError
from midtime.scalar.discovery import discover
from midtime.scalar.endpoint import Identity, TlsFiles
from tests.stack.kubernetes import Kubernetes
from tests.stack.kubernetes_release import Release

# Where the API server is not built yet, the first test waits for it.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1300)]


@pytest.fixture(autouse=True)
def connections(kubernetes_server: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_K8S", kubernetes_server.conn())


@pytest.fixture
def release(kubernetes_server: Kubernetes) -> Release:
    made = Release(kubernetes_server)
    made.grant()
    return made


def addresses(made: Release, **where: Any) -> list[str]:
    return [each.address for each in discover(made.product(**where))]


class TestFound:
    @pytest.mark.parametrize(
        ("kind", "port"), [("scalardb-cluster", 60053), ("scalardb-server", 60051), ("scalardl-ledger", 50053), ("scalardl-auditor", 40053)]
    )
    def test_each_kind_by_what_its_chart_sets(self, kubernetes_server: Kubernetes, kind: str, port: int) -> None:
        made = Release(kubernetes_server, kind, ("127.0.0.12", "127.0.0.11", "127.0.0.13"))
        made.grant()
        Release(kubernetes_server, kind, ("127.0.0.99",), name="other", namespace=made.namespace)
        found = discover(made.product(tls={"ca": "/ca.pem", "override_authority": "scalar"}))
        assert [each.address for each in found] == [f"127.0.0.{last}:{port}" for last in (11, 12, 13)]
        assert {(each.product, each.kind, each.tls) for each in found} == {(kind, kind, TlsFiles("/ca.pem", override_authority="scalar"))}

    def test_who_it_is(self, release: Release) -> None:
        pod = release.server.core.read_namespaced_pod(release.pods[0], release.namespace)
        (serving,) = (each for each in pod.status.container_statuses if each.name == "node")
        assert discover(release.product())[0].identity == Identity(release.pods[0], pod.metadata.uid, serving.container_id, 0)

    def test_only_the_release_and_the_kind(self, release: Release) -> None:
        """Ledger and Auditor may be one release."""
        both = Release(release.server, "scalardl-ledger", ("127.0.0.21",), namespace=release.namespace)
        Release(release.server, "scalardl-auditor", ("127.0.0.31",), name="audit", namespace=release.namespace)
        spec = {"selector": {"app": "stranger"}, "ports": [{"name": "scalardl-admin", "port": 1}]}
        release.server.core.create_namespaced_service(release.namespace, {"metadata": {"name": "stranger"}, "spec": spec})
        assert addresses(both) == ["127.0.0.21:50053"]
        assert addresses(release) == ["127.0.0.11:60053", "127.0.0.12:60053"]

    def test_a_port_of_ones_own_and_a_selector(self, release: Release) -> None:
        """With scalar.db.cluster.node.admin.port set, the chart's port is not the admin port."""
        assert addresses(release, port=60099) == ["127.0.0.11:60099", "127.0.0.12:60099"]
        assert addresses(release, kind="application", selector="app.kubernetes.io/app in (scalardb-cluster)", port=7)[0] == "127.0.0.11:7"

    def test_the_pods_port_not_the_services(self, release: Release) -> None:
        ports = [{"name": "scalardb-cluster", "port": 443, "targetPort": 60999}]
        for service in ("headless", "endpoint"):
            change = [{"op": "replace", "path": "/spec/ports", "value": ports}]
            release.server.core.patch_namespaced_service(f"bank-scalardb-cluster-{service}", release.namespace, change)
        assert addresses(release) == ["127.0.0.11:60999", "127.0.0.12:60999"]

    def test_ipv6(self, kubernetes_server: Kubernetes) -> None:
        made = Release(kubernetes_server, ips=("fd00::1", "fd00::2"))
        made.grant()
        assert addresses(made) == ["[fd00::1]:60053", "[fd00::2]:60053"]


class TestChanges:
    """What two lookups around a window must, and must not, take for a change."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda release: release.restart(release.pods[0]),
            lambda release: release.restart(release.pods[0], times=0),  # a kubelet that forgot the count: the id tells
            lambda release: release.replace(release.pods[1]),
            lambda release: release.add_pod("127.0.0.13"),
            lambda release: release.remove(release.pods[0]),
        ],
        ids=["restart", "another container", "replacement", "added", "removed"],
    )
    def test_seen(self, release: Release, change: Callable[[Release], object]) -> None:
        before = discover(release.product())
        change(release)
        count = len(release.server.core.list_namespaced_pod(release.namespace).items)
        release.scale(count)
        release.settle()
        assert discover(release.product()) != before

    def test_a_higher_count_with_the_same_id(self, release: Release) -> None:
        before = discover(release.product())
        pod = release.server.core.read_namespaced_pod(release.pods[0], release.namespace)
        same = [release._status(each.name, 3, each.container_id) for each in pod.status.container_statuses]
        release.set_status(release.pods[0], containerStatuses=same)
        assert discover(release.product()) != before

    def test_not_seen(self, release: Release) -> None:
        before = discover(release.product())
        assert discover(release.product()) == before
        release.server.core.patch_namespaced_pod(
            release.pods[0], release.namespace, {"metadata": {"annotations": {"a": "b"}, "labels": {"c": "d"}}}
        )
        release.restart(release.pods[1], container="proxy")  # a sidecar does not serve the admin port
        release.settle(conditions=[{"type": "Progressing", "status": "True"}])
        assert discover(release.product()) == before


class TestNotReady:
    @pytest.mark.parametrize(
        ("status", "said"),
        [
            ({"ready": "False"}, "is not ready"),
            ({"phase": "Pending"}, "is Pending"),
            ({"phase": "Unknown"}, "is Unknown"),
            ({"phase": "Failed", "reason": "Evicted"}, r"is over \(Failed: Evicted\)"),
            ({"phase": "Succeeded"}, r"is over \(Succeeded\)"),
            ({}, "has no IP address"),
        ],
    )
    def test_one_pod(self, release: Release, status: dict[str, Any], said: str) -> None:
        name = release.add_pod(**{"podIP": "" if not status else "127.0.0.13"} | status)
        release.scale(3)
        release.settle()
        with pytest.raises(ProductNotReadyError, match=f"scalardb-cluster: pod {release.namespace}/{name} {said}") as caught:
            discover(release.product())
        assert caught.value.fix
        assert caught.value.retryable

    def test_without_conditions(self, release: Release) -> None:
        release.server.core.patch_namespaced_pod_status(release.pods[0], release.namespace, {"status": {"conditions": None}})
        with pytest.raises(ProductNotReadyError, match=f"{release.pods[0]} is not ready"):
            discover(release.product())

    def test_terminating(self, release: Release) -> None:
        release.terminate(release.pods[1])
        with pytest.raises(ProductNotReadyError, match=f"{release.pods[1]} is terminating"):
            discover(release.product())

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            ({"updatedReplicas": 1}, "is being rolled out: 1 of 2 pods are of its newest version"),
            ({"updatedReplicas": None}, "is being rolled out: 0 of 2"),
            ({"replicas": 3}, "it has 3 pods and wants 2"),
            ({"observedGeneration": 0}, "its controller has not acted yet"),
        ],
    )
    def test_a_rollout(self, release: Release, status: dict[str, Any], said: str) -> None:
        release.settle(**status)
        with pytest.raises(
            ProductNotReadyError, match=f"Deployment/{release.workload} in namespace {release.namespace} .*{said}"
        ) as caught:
            discover(release.product())
        assert f"rollout status deployment/{release.workload}" in caught.value.fix

    def test_a_change_that_no_controller_has_seen(self, release: Release) -> None:
        release.server.apps.patch_namespaced_deployment(
            release.workload, release.namespace, {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}
        )
        with pytest.raises(ProductNotReadyError, match="has not acted yet"):
            discover(release.product())

    def test_more_pods_than_wanted_and_fewer(self, release: Release) -> None:
        surplus = release.add_pod("127.0.0.13")
        with pytest.raises(ProductNotReadyError, match="wants 2 pods, and 3 are there"):
            discover(release.product())
        for pod in (surplus, release.pods[0]):
            release.remove(pod)
        with pytest.raises(ProductNotReadyError, match="wants 2 pods, and 1 are there"):
            discover(release.product())

    def test_a_replica_set_that_is_gone(self, release: Release) -> None:
        release.server.apps.delete_namespaced_replica_set(f"{release.workload}-7d9f", release.namespace, propagation_policy="Background")
        with pytest.raises(ProductNotReadyError, match=r"ReplicaSet/.* is gone"):
            discover(release.product())

    def test_a_stateful_set(self, release: Release) -> None:
        """Not of Scalar's charts, but a selector may find one."""
        labels = {"app": "own"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "node", "image": "i"}]}}
        spec = {"serviceName": "own", "selector": {"matchLabels": labels}, "template": template, "replicas": 1}
        made = release.server.apps.create_namespaced_stateful_set(release.namespace, {"metadata": {"name": "own"}, "spec": spec})
        release.labels, release._reference = labels, release._refer("StatefulSet", made)
        release.add_pod("127.0.0.41")
        own = {"kind": "application", "selector": "app=own", "port": 7}
        for updated in (0, 1):
            status = {"observedGeneration": made.metadata.generation, "replicas": 1, "updatedReplicas": updated}
            release.server.apps.patch_namespaced_stateful_set_status("own", release.namespace, {"status": status})
            if not updated:
                with pytest.raises(ProductNotReadyError, match=r"StatefulSet/own .* 0 of 1 pods"):
                    discover(release.product(**own))
        assert addresses(release, **own) == ["127.0.0.41:7"]

    def test_a_replica_set_of_its_own(self, release: Release) -> None:
        apps, name = release.server.apps, f"{release.workload}-7d9f"
        apps.patch_namespaced_replica_set(name, release.namespace, {"metadata": {"ownerReferences": None}})
        release.settle(updatedReplicas=0)  # of a Deployment that it no longer belongs to
        seen = {"observedGeneration": apps.read_namespaced_replica_set(name, release.namespace).metadata.generation}
        apps.patch_namespaced_replica_set_status(name, release.namespace, {"status": {"replicas": 3, **seen}})
        with pytest.raises(ProductNotReadyError, match=f"ReplicaSet/{name} .* it has 3 pods and wants 2"):
            discover(release.product())
        apps.patch_namespaced_replica_set_status(name, release.namespace, {"status": {"replicas": 2, **seen}})
        assert len(discover(release.product())) == 2

    def test_owners_that_we_do_not_know_are_not_asked(self, release: Release) -> None:
        release.labels = {"app": "own"}
        release._reference = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "own", "uid": "1", "controller": True}
        release.add_pod("127.0.0.41")
        assert addresses(release, kind="application", selector="app=own", port=7) == ["127.0.0.41:7"]

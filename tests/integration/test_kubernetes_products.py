"""Products on Kubernetes around a restore in place, on a real API server: seen to be stopped, scaled down and up again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from midtime import products
from midtime.errors import DiscoveryAccessError, ProductRunningError
from midtime.kubernetes import scaling
from midtime.model.topology import Topology
from midtime.model.topology.commands import KubernetesScale
from midtime.products import start_all, stop_all
from tests.stack.kubernetes import ADMIN, Kubernetes
from tests.stack.kubernetes_release import Release
from tests.unit.builders import topology
from tests.unit.processes import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1300)]


@pytest.fixture(autouse=True)
def connections(kubernetes_server: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_K8S", kubernetes_server.conn())
    monkeypatch.setenv("AIRFLOW_CONN_K8S_ADMIN", kubernetes_server.conn(ADMIN))
    monkeypatch.setattr(products, "POLL_SECONDS", 0.05)


@pytest.fixture
def release(kubernetes_server: Kubernetes) -> Release:
    made = Release(kubernetes_server)
    made.grant()
    made.grant("role-scale.yaml")
    return made


def on_kubernetes(made: Release, *, stop: Any = None, start: Any = None, conn_id: str = "k8s", release: str = "", **where: Any) -> Topology:
    endpoints = {"kubernetes": {"conn_id": conn_id, "namespace": made.namespace, "release": release or made.name, **where}}
    return topology(products=[{"kind": made.kind, "endpoints": endpoints, "stop": stop, "start": start}])


def scaled(made: Release, timeout: str = "20s", conn_id: str = "k8s", **changes: Any) -> dict[str, Any]:
    scale = {"conn_id": conn_id, "namespace": made.namespace, "workloads": [f"deployment/{made.workload}"]}
    return {"timeout": timeout, "kubernetes": scale | changes}


def scale_of(action: dict[str, Any]) -> KubernetesScale:
    return KubernetesScale.model_validate(action["kubernetes"])


def replicas(made: Release) -> tuple[int, str | None]:
    deployment = made.server.apps.read_namespaced_deployment(made.workload, made.namespace)
    return deployment.spec.replicas, (deployment.metadata.annotations or {}).get(scaling.BEFORE)


@contextmanager
def controller(made: Release) -> Iterator[list[str]]:
    """Does what the controllers and kubelets would: as many pods as wanted. Its list tells what it has done."""
    done: list[str] = []
    end = threading.Event()

    def act() -> None:
        while not end.wait(0.02):
            wanted = replicas(made)[0]
            while len(made.pods) > wanted:
                made.remove(name := made.pods.pop())
                done.append(f"removed {name}")
            while len(made.pods) < wanted:
                made.pods.append(made.add_pod(f"127.0.0.{50 + len(made.pods)}"))
                done.append("added")
            made.settle()

    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield done
    finally:
        end.set()
        thread.join()


class TestSeen:
    def test_pods_count_as_running_whether_or_not_they_answer(self, release: Release) -> None:
        with pytest.raises(ProductRunningError, match=f"still has pod/{release.pods[0]}, has pod/{release.pods[1]}") as caught:
            stop_all(on_kubernetes(release))
        assert "nothing was replaced" in caught.value.fix

    def test_so_does_one_that_is_leaving(self, release: Release) -> None:
        release.scale(0)
        release.remove(release.pods[0])
        release.terminate(release.pods[1])
        with pytest.raises(ProductRunningError, match=f"still has pod/{release.pods[1]}$|{release.pods[1]} "):
            stop_all(on_kubernetes(release))

    def test_and_a_workload_that_would_make_new_ones(self, release: Release) -> None:
        for pod in release.pods:
            release.remove(pod)
        with pytest.raises(ProductRunningError, match=f"still has deployment/{release.workload}"):
            stop_all(on_kubernetes(release))

    def test_stopped_by_hand(self, release: Release) -> None:
        """What has ended for good, such as an evicted pod, is no reason to wait."""
        release.scale(0)
        release.remove(release.pods[0])
        release.set_status(release.pods[1], phase="Failed", reason="Evicted")
        stop_all(on_kubernetes(release))
        release.remove(release.pods[1])
        stop_all(on_kubernetes(release))

    def test_nothing_of_that_name_proves_nothing(self, release: Release) -> None:
        with pytest.raises(ProductRunningError, match="whether product scalardb-cluster runs cannot be seen"):
            stop_all(on_kubernetes(release, release="typo"))

    def test_a_process_that_outlives_its_pod(self, release: Release) -> None:
        """A forced deletion takes the pod out of the API at once; the container may go on writing."""
        with socket.create_server(("127.0.0.11", 0)) as listening:
            port = listening.getsockname()[1]
            release.scale(0)
            command = {"command": ["touch", "/dev/null"], "timeout": "1s"}
            made = on_kubernetes(release, stop=command, start="true", port=port)
            remove = threading.Timer(0.3, lambda: [release.remove(pod) for pod in release.pods])
            remove.start()
            with pytest.raises(ProductRunningError, match=f"still answers at 127.0.0.11:{port}$|127.0.0.11:{port} "):
                stop_all(made)
            remove.join()

    def test_not_without_the_role(self, kubernetes_server: Kubernetes) -> None:
        with pytest.raises(DiscoveryAccessError, match="does not let us list pods"):
            stop_all(on_kubernetes(Release(kubernetes_server)))


class TestScaled:
    def test_down_and_up_to_what_there_was(self, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
        made = on_kubernetes(release, stop=scaled(release), start=scaled(release))
        with controller(release) as done:
            stop_all(made)
            assert len(done) == 2
            assert replicas(release) == (0, "2")
            stop_all(made)
            assert replicas(release) == (0, "2"), "stopping twice forgets how many there were"
            monkeypatch.setattr(products, "answering", lambda addresses: iter(addresses))  # nothing runs in these pods
            start_all(made)
            assert replicas(release) == (2, None)
            assert done[2:] == ["added", "added"]
            start_all(made)
            assert len(done) == 4

    def test_waits_for_the_pods(self, release: Release) -> None:
        with pytest.raises(ProductRunningError, match=f"still has pod/{release.pods[0]}"):
            stop_all(on_kubernetes(release, stop=scaled(release, "200ms"), start=scaled(release)))
        assert replicas(release) == (0, "2")

    def test_to_a_number(self, release: Release) -> None:
        stop, start = (scale_of(scaled(release, **changes)) for changes in ({}, {"replicas": 5}))
        scaling.stop("product bank", stop)
        scaling.start("product bank", start)
        assert replicas(release) == (5, None)

    def test_what_nobody_noted_is_not_guessed(self, release: Release) -> None:
        scale = scale_of(scaled(release))
        scaling.start("product bank", scale)
        assert replicas(release) == (2, None), "it was not stopped by us"
        release.scale(0)
        with pytest.raises(ProductRunningError, match=r"has no replicas, and no annotation midtime.io/replicas"):
            scaling.start("product bank", scale)

    def test_against_somebody_else_who_writes(self, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
        """A scale between our look and our change is neither lost nor noted wrongly."""
        scale = scale_of(scaled(release))
        rivals = iter([3, 4])

        def body(wanted: int, before: str | None) -> dict[str, Any]:
            if rival := next(rivals, None):
                release.scale(rival)
            return made(wanted, before)

        made = scaling._body
        monkeypatch.setattr(scaling, "_body", body)
        scaling.stop("product bank", scale)
        assert replicas(release) == (0, "4")

    def test_needs_its_own_role(self, kubernetes_server: Kubernetes) -> None:
        made = Release(kubernetes_server)
        made.grant()
        with pytest.raises(DiscoveryAccessError, match="does not let us patch deployments") as caught:
            stop_all(on_kubernetes(made, stop=scaled(made), start=scaled(made)))
        assert "role-scale.yaml" in caught.value.fix
        assert replicas(made) == (2, None)

    def test_that_role_reaches_the_named_workload_only(self, release: Release) -> None:
        other = Release(release.server, "scalardl-ledger", ("127.0.0.21",), name="other", namespace=release.namespace)
        with pytest.raises(DiscoveryAccessError, match="does not let us patch deployments"):
            stop_all(on_kubernetes(other, stop=scaled(other), start=scaled(other)))

    def test_a_workload_that_is_not_there(self, release: Release) -> None:
        typo = scaled(release, conn_id="k8s_admin", workloads=["statefulset/typo"])
        with pytest.raises(DiscoveryAccessError, match="there is no statefulset/typo in namespace"):
            stop_all(on_kubernetes(release, stop=typo, start=typo))

    def test_found_by_a_list_and_scaled(self, release: Release) -> None:
        """How a product is found and how it is stopped are two things."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = f"127.0.0.1:{listening.getsockname()[1]}"
            body = {"kind": release.kind, "endpoints": {"static": [address]}, "stop": scaled(release), "start": scaled(release)}
            thread = threading.Thread(target=lambda: (until(lambda: replicas(release)[0] == 0, "scaled down"), listening.close()))
            thread.start()
            stop_all(topology(products=[body]))
            thread.join()
        assert replicas(release) == (0, "2")

"""Commands in pods, as far as a real API server goes without a kubelet: who may, and what it says. The rest: test_nodes.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from midtime.errors import DiscoveryAccessError, DiscoveryError
from midtime.kubernetes.api import Api, connect
from midtime.kubernetes.execution import execute
from tests.stack.kubernetes import Kubernetes
from tests.stack.kubernetes_release import Release

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1300)]


@pytest.fixture
def release(kubernetes_server: Kubernetes) -> Release:
    return Release(kubernetes_server)


@pytest.fixture
def api(kubernetes_server: Kubernetes, release: Release, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    monkeypatch.setenv("AIRFLOW_CONN_K8S", kubernetes_server.conn())
    with connect("k8s", release.namespace, "store ring") as opened:
        yield opened


@pytest.fixture
def pod(kubernetes_server: Kubernetes, release: Release) -> str:
    spec = {"containers": [{"name": "cassandra", "image": "cassandra:5.0"}]}
    kubernetes_server.core.create_namespaced_pod(release.namespace, {"metadata": {"name": "cassandra-0"}, "spec": spec})
    return "cassandra-0"


def test_without_its_role_nobody_may(api: Api, pod: str) -> None:
    with pytest.raises(
        DiscoveryAccessError, match=r"store ring: .* does not let us run commands in pod .*cannot get .*pods/exec"
    ) as caught:
        execute(api, pod, "cassandra", ["true"])
    assert "role-exec.yaml" in caught.value.fix
    assert Path("include/kubernetes/role-exec.yaml").exists()


def test_with_its_role_the_server_asks_for_the_pods_node(api: Api, pod: str, release: Release) -> None:
    """That it has none is all that is wrong with what we ask."""
    release.grant("role-exec.yaml")
    assert pod in [each.metadata.name for each in api.list("pods")]
    with pytest.raises(DiscoveryError, match=r"failed to run a command in pod .*: 400 pod cassandra-0 does not have a host assigned"):
        execute(api, pod, "cassandra", ["true"])
    with pytest.raises(DiscoveryError, match=r"has no pod .*/cassandra-1 any more"):
        execute(api, "cassandra-1", "cassandra", ["true"])

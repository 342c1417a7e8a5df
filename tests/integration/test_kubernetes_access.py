"""What a Kubernetes API server refuses, and what the Role that Midtime ships gives: no less than is needed, and no more."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from midtime.errors import DiscoveryAccessError, DiscoveryError
from midtime.kubernetes import api
from midtime.scalar.discovery import discover
from tests.stack import kubernetes
from tests.stack.kubernetes import ADMIN, Kubernetes
from tests.stack.kubernetes_release import Release
from tests.stack.processes import StackError

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1300)]
GROUPS = {
    "": [
        "pods",
        "pods/exec",
        "pods/log",
        "pods/status",
        "services",
        "secrets",
        "configmaps",
        "serviceaccounts",
        "namespaces",
        "events",
        "endpoints",
    ],
    "apps": ["deployments", "deployments/scale", "statefulsets", "statefulsets/scale", "replicasets", "daemonsets"],
    "rbac.authorization.k8s.io": ["roles", "rolebindings"],
}


@pytest.fixture(autouse=True)
def connections(kubernetes_server: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_K8S", kubernetes_server.conn())
    monkeypatch.setenv("AIRFLOW_CONN_K8S_ADMIN", kubernetes_server.conn(ADMIN))


@pytest.fixture
def release(kubernetes_server: Kubernetes) -> Release:
    made = Release(kubernetes_server)
    made.grant()
    return made


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """Is connected to, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def connections_to(listening: socket.socket) -> int:
    """So many came since the last question."""
    listening.setblocking(False)
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listening.accept()[0].close()
            count += 1
    return count


class TestAccess:
    def test_nothing_of_that_name(self, release: Release) -> None:
        with pytest.raises(
            DiscoveryAccessError, match=f"no pod in namespace {release.namespace} has the labels app.kubernetes.io/instance=typo"
        ):
            discover(release.product(release="typo"))
        with pytest.raises(DiscoveryAccessError, match="no pod in namespace nowhere"):
            discover(release.product(namespace="nowhere", conn_id="k8s_admin"))
        with pytest.raises(DiscoveryAccessError, match="in namespace nowhere"):
            discover(release.product(namespace="nowhere"))

    def test_no_port_of_that_name(self, release: Release) -> None:
        with pytest.raises(DiscoveryAccessError, match=r"no Service .* has a port named scalardl-admin") as caught:
            discover(release.product(kind="scalardl-ledger", selector="app.kubernetes.io/app=scalardb-cluster"))
        assert "`port`" in caught.value.fix
        ports = [{"name": "scalardb-cluster", "port": 60053, "targetPort": 1}]
        spec = {"ports": ports, "selector": release.labels}
        release.server.core.create_namespaced_service(release.namespace, {"metadata": {"name": "second"}, "spec": spec})
        with pytest.raises(DiscoveryAccessError, match="different ports of the pods: 1, 60053"):
            discover(release.product())

    def test_the_shipped_role_is_needed(self, kubernetes_server: Kubernetes) -> None:
        made = Release(kubernetes_server)
        with pytest.raises(
            DiscoveryAccessError, match=f'does not let us list pods in namespace {made.namespace}: .*"app" cannot list'
        ) as caught:
            discover(made.product())
        assert api.ROLE in caught.value.fix
        assert not caught.value.retryable
        made.grant()
        assert len(discover(made.product())) == 2

    def test_it_gives_nothing_more(self, release: Release) -> None:
        from kubernetes.client import AuthorizationV1Api

        reviews = AuthorizationV1Api(release.server.core.api_client)
        allowed = set()
        resources = [(group, resource) for group, names in GROUPS.items() for resource in names]
        for group, resource in resources:
            for verb in ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"):
                attributes = {"namespace": release.namespace, "group": group, "resource": resource, "verb": verb}
                answer = reviews.create_subject_access_review({"spec": {"user": "app", "resourceAttributes": attributes}})
                if answer.status.allowed:
                    allowed.add(f"{verb} {resource}")
        assert allowed == {
            "list pods", "list services", "get replicasets",
            "get deployments", "list deployments", "get statefulsets", "list statefulsets",
        }  # fmt: skip
        attributes = {"namespace": "default", "resource": "pods", "verb": "list"}
        assert not reviews.create_subject_access_review({"spec": {"user": "app", "resourceAttributes": attributes}}).status.allowed

    def test_a_token_that_nobody_knows(self, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_K8S", release.server.conn("stale"))
        with pytest.raises(DiscoveryAccessError, match=r"does not know us \(401\)") as caught:
            discover(release.product())
        assert "stale" not in str(caught.value)

    def test_a_selector_that_is_none(self, release: Release) -> None:
        with pytest.raises(DiscoveryAccessError, match=r"failed to list pods .*400"):
            discover(release.product(selector="a in ("))

    def test_two_clusters_at_once(self, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
        """The client library's configuration is global: one connection's token must not serve the other."""
        from kubernetes import config

        monkeypatch.setenv("AIRFLOW_CONN_OTHER", release.server.conn("stale"))
        load = config.load_kube_config
        monkeypatch.setattr(config, "load_kube_config", lambda **given: (load(**given), time.sleep(0.02)))
        answers: list[str] = []

        def look(conn_id: str) -> None:
            for _ in range(5):
                try:
                    discover(release.product(conn_id=conn_id))
                    answers.append(f"{conn_id} in")
                except DiscoveryAccessError:
                    answers.append(f"{conn_id} out")

        threads = [threading.Thread(target=look, args=(conn_id,)) for conn_id in ("k8s", "other", "k8s", "other")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(answers) == {"k8s in", "other out"}


class TestUnreachable:
    def test_nobody_there(self, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            monkeypatch.setenv("AIRFLOW_CONN_K8S", release.server.conn(server=f"https://127.0.0.1:{taken.getsockname()[1]}"))
            with pytest.raises(DiscoveryError, match="of connection 'k8s' does not answer") as caught:
                discover(release.product())
        assert caught.value.retryable

    def test_one_that_says_nothing(self, release: Release, monkeypatch: pytest.MonkeyPatch, silent_server: socket.socket) -> None:
        monkeypatch.setattr(api, "TIMEOUT", (0.3, 0.3))
        monkeypatch.setenv("AIRFLOW_CONN_K8S", release.server.conn(server=f"https://127.0.0.1:{silent_server.getsockname()[1]}"))
        with pytest.raises(DiscoveryError, match="does not answer") as caught:
            discover(release.product())
        assert caught.value.retryable
        assert connections_to(silent_server) == 1, "the time-out was waited for more than once"

    def test_one_that_we_do_not_trust(self, release: Release, monkeypatch: pytest.MonkeyPatch) -> None:
        import certifi

        (stranger, *_) = Path(certifi.where()).read_bytes().split(b"-----END CERTIFICATE-----")
        monkeypatch.setenv("AIRFLOW_CONN_K8S", release.server.conn(ca=stranger + b"-----END CERTIFICATE-----"))
        with pytest.raises(DiscoveryAccessError, match="certificate that we do not trust"):
            discover(release.product())

    @pytest.mark.parametrize("connection", [None, '{"conn_type": "kubernetes", "extra": {"kube_config": "{\\"secret-of-ours: ["}}'])
    def test_a_connection_that_is_none(self, release: Release, monkeypatch: pytest.MonkeyPatch, connection: str | None) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_K8S")
        if connection:
            monkeypatch.setenv("AIRFLOW_CONN_K8S", connection)
        with pytest.raises(DiscoveryAccessError, match="the Airflow connection 'k8s' cannot be used") as caught:
            discover(release.product())
        assert "secret-of-ours" not in str(caught.value)


class TestServer:
    def test_it_is_what_go_mod_pins(self, kubernetes_server: Kubernetes) -> None:
        from kubernetes.client import VersionApi

        assert VersionApi(kubernetes_server.core.api_client).get_code().git_version == f"v{kubernetes.VERSION}"
        assert f"k8s.io/kubernetes v{kubernetes.VERSION} " in (kubernetes.SOURCE / "go.mod").read_text()

    def test_without_go(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
        with pytest.raises(StackError, match="`make install` brings"):
            kubernetes._build(tmp_path)

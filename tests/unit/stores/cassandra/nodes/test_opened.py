"""Which node is reached how, and what names it for ever."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from midtime.errors import DiscoveryAccessError, DiscoveryError, MidtimeError, StoreAccessError, StoreUnreachableError
from midtime.model.topology.cassandra import Access, CassandraNode
from midtime.stores.cassandra.nodes.kubernetes import PodNode
from midtime.stores.cassandra.nodes.local import LocalNode
from midtime.stores.cassandra.nodes.opened import open_nodes
from midtime.stores.cassandra.nodes.ssh import SshNode

PODS = Access.model_validate({"kubernetes": {"namespace": "databases", "selector": "app=cassandra"}})


def test_local_nodes_of_one_address_have_labels_of_their_own() -> None:
    nodes = (CassandraNode(host="a"), CassandraNode(host="b", jmx_port=1), CassandraNode(host="b", jmx_port=2))
    opened = open_nodes(Access.model_validate("local"), nodes)
    assert [(type(node), node.label, node.host, said) for node, said in opened] == [
        (LocalNode, label, said.host, said) for label, said in zip(["a", "b-1", "b-2"], nodes, strict=True)
    ]


def test_ssh() -> None:
    ((node, _),) = open_nodes(Access.model_validate({"ssh": {"conn_id": "mine", "sudo": True}}), (CassandraNode(host="a"),))
    assert isinstance(node, SshNode)
    assert (node.label, node.host, node.access.sudo, node.connection.conn_id) == ("a", "a", True, "mine")


def pod(name: str, *, phase: str = "Running", ip: str | None = "10.0.0.1", deleted: Any = None, container: str = "cassandra") -> Any:
    return SimpleNamespace(
        metadata=SimpleNamespace(name=name, deletion_timestamp=deleted),
        spec=SimpleNamespace(containers=[SimpleNamespace(name="sidecar"), SimpleNamespace(name=container)]),
        status=SimpleNamespace(phase=phase, pod_ip=ip),
    )


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    pods: list[Any] = []

    @contextmanager
    def connect(conn_id: str, namespace: str, subject: str) -> Any:
        assert (conn_id, namespace, subject) == ("kubernetes_default", "databases", "store ring")

        def found(resource: str, selector: str) -> list[Any]:
            assert (resource, selector) == ("pods", "app=cassandra")
            if pods and isinstance(pods[0], Exception):
                raise pods[0]
            return pods

        yield SimpleNamespace(list=found)

    monkeypatch.setattr("midtime.kubernetes.api.connect", connect)
    return pods


def test_pods_are_named_by_their_names_and_those_that_are_over_are_none(listed: list[Any]) -> None:
    listed += [pod("c-1", ip="10.0.0.2"), pod("c-0"), pod("evicted", phase="Failed", ip=None), pod("job", phase="Succeeded")]
    opened = open_nodes(PODS, (), "store ring")
    assert [(type(node), node.label, node.host, said) for node, said in opened] == [
        (PodNode, "c-0", "10.0.0.1", None),
        (PodNode, "c-1", "10.0.0.2", None),
    ]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"phase": "Pending"}, StoreUnreachableError, "pod databases/c-1 is Pending, not Running"),
        ({"ip": None}, StoreUnreachableError, "not Running"),
        ({"deleted": "now"}, StoreUnreachableError, "is being deleted"),
        ({"container": "other"}, StoreAccessError, "has no container 'cassandra'"),
    ],
)
def test_a_pod_that_is_not_up_makes_no_cluster(listed: list[Any], changes: dict[str, Any], error: type[Exception], said: str) -> None:
    listed += [pod("c-0"), pod("c-1", **changes)]
    with pytest.raises(error, match=said):
        open_nodes(PODS, (), "store ring")


def test_those_that_are_up_where_the_others_may_be_down(listed: list[Any]) -> None:
    listed += [pod("c-0"), pod("c-1", phase="Pending"), pod("c-2", deleted="now")]
    down: list[MidtimeError] = []
    assert [node.label for node, _ in open_nodes(PODS, (), "store ring", down)] == ["c-0"]
    assert [error.message.partition("/")[2] for error in down] == ["c-1 is Pending, not Running", "c-2 is being deleted"]


def test_no_pod(listed: list[Any]) -> None:
    with pytest.raises(StoreAccessError, match="store ring: no pod in namespace databases has the labels app=cassandra"):
        open_nodes(PODS, (), "store ring")


@pytest.mark.parametrize(
    ("error", "kind"), [(DiscoveryError("x", fix="y"), StoreUnreachableError), (DiscoveryAccessError("x", fix="y"), StoreAccessError)]
)
def test_whoever_cannot_look_says_so_as_a_store(listed: list[Any], error: Exception, kind: type[Exception]) -> None:
    listed.append(error)
    with pytest.raises(kind, match="x — y") as caught:
        open_nodes(PODS, (), "store ring")
    assert type(caught.value) is kind

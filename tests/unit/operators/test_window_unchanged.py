"""Pods that change in mid-window: seen when they are looked up again after it, whatever CheckPaused said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from midtime.catalog.pause_leases import PauseLeases
from midtime.errors import WindowVoidError
from midtime.scalar.discovery import pods
from midtime.scalar.double import Double
from tests.unit.builders import topology as build
from tests.unit.operators.tasks import ArmableStore, Hub, preflight_done
from tests.unit.operators.test_window import armable, run_all  # noqa: F401 - a fixture
from tests.unit.pause_examples import given_back

HOSTS = ("127.0.0.1", "127.0.0.2")
Change = Callable[["Cluster"], None]


def pod(number: int, ip: str) -> SimpleNamespace:
    container = SimpleNamespace(name="node", container_id=f"containerd://{number}", restart_count=0)
    ready = SimpleNamespace(type="Ready", status="True", reason=None)
    return SimpleNamespace(
        metadata=SimpleNamespace(
            name=f"bank-{number}", uid=f"uid-{number}", labels={"v": "1"}, deletion_timestamp=None, owner_references=[]
        ),
        status=SimpleNamespace(phase="Running", reason=None, pod_ip=ip, conditions=[ready], container_statuses=[container]),
        spec=SimpleNamespace(containers=[SimpleNamespace(name="node", ports=[])]),
    )


class Cluster:
    """A namespace with a pod at each double; ``change`` happens to it as soon as one of them is unpaused."""

    def __init__(self, doubles: list[Double]) -> None:
        self.doubles = doubles
        self.pods = [pod(number, each.host) for number, each in enumerate(doubles)]
        self.change: Change | None = None
        self.namespace, self.subject = "scalar", "scalardb-cluster"

    def list(self, resource: str, selector: str | None = None) -> list[Any]:
        assert (resource, selector) == ("pods", "app=bank")
        if self.change and self.doubles[0].calls("unpause"):
            self.change(self)
            self.change = None
        return list(self.pods)


@pytest.fixture
def doubles() -> Iterator[list[Double]]:
    with ExitStack() as stack:
        first = stack.enter_context(Double(host=HOSTS[0]))
        yield [first, *(stack.enter_context(Double(host=host, port=first.ports[0])) for host in HOSTS[1:])]


@pytest.fixture
def cluster(doubles: list[Double], monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(doubles)

    @contextmanager
    def connect(*_: object) -> Iterator[Cluster]:
        yield made

    monkeypatch.setattr(pods, "connect", connect)
    return made


@pytest.fixture
def hub(cluster: Cluster, tmp_path: Path) -> Hub:
    where = {"namespace": "scalar", "selector": "app=bank", "port": cluster.doubles[0].ports[0]}
    made = Hub(
        build(
            "accounts",
            "points",
            destination=f"file://{tmp_path}/points",
            products=[{"kind": "scalardb-cluster", "endpoints": {"kubernetes": where}}],
            pause={"drain": "1s", "deadline": "4s", "arm": "5s"},
        )
    )
    preflight_done(made.topology, made)
    return made


def added(cluster: Cluster) -> None:
    cluster.pods.append(pod(9, "127.0.0.9"))


def removed(cluster: Cluster) -> None:
    del cluster.pods[1]


def restarted(cluster: Cluster) -> None:
    cluster.pods[1].status.container_statuses[0].restart_count += 1


def replaced(cluster: Cluster) -> None:
    cluster.pods[1].metadata.uid = "another"


def exchanged(cluster: Cluster) -> None:
    cluster.pods[1].status.container_statuses[0].container_id = "containerd://another"


def moved(cluster: Cluster) -> None:
    cluster.pods[1].status.pod_ip = "127.0.0.9"


@pytest.mark.fault(
    "an endpoint is restarted, added or removed in mid-window (Kubernetes)", "the window is void, by name; nothing is copied"
)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (added, ["127.0.0.9:{port} was added"]),
        (removed, ["127.0.0.2:{port} is gone"]),
        (restarted, ["127.0.0.2:{port} was restarted or replaced"]),
        (replaced, ["127.0.0.2:{port} was restarted or replaced"]),
        (exchanged, ["127.0.0.2:{port} was restarted or replaced"]),
        (moved, ["127.0.0.2:{port} is gone", "127.0.0.9:{port} was added"]),
    ],
)
def test_a_changed_pod_voids_the_window(hub: Hub, cluster: Cluster, change: Change, said: list[str]) -> None:
    cluster.change = change
    run_all(hub)
    with pytest.raises(WindowVoidError) as caught:
        raise hub.errors["pause"]
    port = cluster.doubles[0].ports[0]
    assert caught.value.message == f"in mid-window {', '.join(said).format(port=port)}"
    assert ArmableStore.copied == []
    assert all("in mid-window" in str(hub.errors[task]) for task in ("dump_accounts", "dump_points"))
    assert not any(each.paused for each in cluster.doubles)
    assert given_back(PauseLeases(hub.topology.destination), [each.address for each in cluster.doubles])


def relabelled(cluster: Cluster) -> None:
    cluster.pods[1].metadata.labels["v"] = "2"


def reordered(cluster: Cluster) -> None:
    cluster.pods.reverse()


@pytest.mark.parametrize("change", [relabelled, reordered])
def test_what_changes_no_process_does_not(hub: Hub, cluster: Cluster, change: Change) -> None:
    cluster.change = change
    run_all(hub)
    assert hub.errors == {}
    assert cluster.change is None
    assert sorted(ArmableStore.copied) == ["accounts", "points"]

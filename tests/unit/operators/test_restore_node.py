"""One lost node: any restore point will do, the products are stopped meanwhile, and what dies on the way is ended as for a whole restore."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from midtime import products
from midtime.catalog import Catalog, given_up, objects
from midtime.errors import CatalogError, ManifestError, RequestError, RestoreFailedError, RestorePointNotFoundError, StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.operators.plan import PlanNodeOperator
from midtime.operators.release import ReleaseRestoreOperator
from midtime.operators.restore import PlaceOperator, RestoreOperator
from midtime.restoring import Plan
from midtime.sweeping import sweep
from tests.unit.builders import days_later, part
from tests.unit.operators.tasks import RUN
from tests.unit.snapshot_store import RING, Snapshotted, ring

ROWS = (part("rows", engine="cassandra", method="snapshot", tables=()),)
WHOLE, TORN = days_later(0, stores=ROWS), days_later(1, stores=ROWS, whole=False)
NODE = RING[1]


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> type[Snapshotted]:
    """What is done to the node and to the products is written into one book."""
    installed = Snapshotted.install(monkeypatch)
    book = installed.asked

    def serving(_: Topology) -> Iterator[str]:
        yield "it serves"

    monkeypatch.setattr(products, "find_all", lambda _: {})
    monkeypatch.setattr(products, "stop_all", lambda *_, again: book.append("stop again" if again else "stop"))
    monkeypatch.setattr(products, "start_all", lambda _: book.append("start"))
    monkeypatch.setattr(products, "require_serving", serving)
    return installed


@pytest.fixture
def topology(catalog: Catalog) -> Topology:
    catalog.publish(WHOLE)
    catalog.publish(TORN)
    return ring(catalog.destination)


def context(**conf: Any) -> Any:
    run = SimpleNamespace(**vars(RUN), conf=conf)
    return {"params": {"node": NODE, "store": "rows"}, "dag_run": run, "run_id": "r", "dag": SimpleNamespace(dag_id="bank__restore_node")}


def plan(topology: Topology, **conf: Any) -> dict[str, Any]:
    return PlanNodeOperator(task_id="plan", topology=topology).work(context(**conf))


def place(topology: Topology, made: dict[str, Any]) -> None:
    RestoreOperator(task_id="restore", topology=topology, store="rows", plan=made).work(context())
    PlaceOperator(task_id="place", topology=topology, plan=made).work(context())


def release(topology: Topology) -> None:
    ReleaseRestoreOperator(task_id="release", topology=topology, kind="restore_node").work(context())


def test_from_the_plan_to_the_end(topology: Topology) -> None:
    made = plan(topology)
    assert made["restore_point"] == TORN.id  # the newest of any kind
    assert f"node {NODE}, replacing what is there" in made["summary"]
    assert Plan.from_dict(made).replaces  # a person is asked
    place(topology, made)
    release(topology)
    assert Snapshotted.asked == [f"restore {NODE}", "stop", f"place {NODE}", "start", f"discard {NODE}"]


def test_the_restore_point_stays_meanwhile(topology: Topology, catalog: Catalog) -> None:
    plan(topology, restore_point=WHOLE.id)
    assert WHOLE.id in catalog.reserved()
    release(topology)
    assert catalog.reserved() == {}


def test_what_fails_is_put_back(topology: Topology) -> None:
    Snapshotted.failures = {f"place {NODE}": StoreUnreachableError("the repair failed", fix="see its log")}
    with pytest.raises(StoreUnreachableError, match=r"the repair failed; everything is as it was, and the products run on it"):
        place(topology, plan(topology))
    assert Snapshotted.asked == [f"restore {NODE}", "stop", f"place {NODE}", f"back {NODE}", "start"]


def test_what_dies_is_ended_by_the_sweeper(topology: Topology, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(topology)

    class Dies(BaseException):
        pass

    def dies(*_: Any) -> None:
        raise Dies

    with monkeypatch.context() as patch:
        patch.setattr(Snapshotted, "place", dies)
        patch.setattr(Snapshotted, "put_back", dies)
        with pytest.raises(Dies):
            place(topology, made)
    lease = catalog.leases.current(made["lease"])
    assert lease
    catalog.leases.renew(lease, timedelta(minutes=-16))
    Snapshotted.asked.clear()
    assert list(sweep(topology))
    assert Snapshotted.asked == [f"back {NODE}", "start", f"discard {NODE}"]


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ({"node": ""}, "node"),
        ({"node": None}, "node"),
        ({"store": "accounts"}, "has no nodes"),
        ({"approve": False}, "never done without approval"),
        ({"nod": "10.0.0.1"}, "nod"),
    ],
)
def test_a_request_that_makes_no_sense(topology: Topology, conf: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        plan(topology, **conf)


def test_a_restore_point_that_is_not_there(topology: Topology, catalog: Catalog) -> None:
    with pytest.raises(RestorePointNotFoundError):
        plan(topology, restore_point=days_later(5).id)
    catalog.invalidate(WHOLE.id, "torn")
    with pytest.raises(ManifestError, match="invalid"):
        plan(topology, restore_point=WHOLE.id)


class TestGivenUp:
    """Since a restore in place, which went back behind the newest restore point."""

    @pytest.fixture(autouse=True)
    def replaced(self, topology: Topology, catalog: Catalog) -> None:
        given_up.note(catalog, "restore-abcdef", ["rows"], WHOLE)
        given_up.note(catalog, "restore-abcdef", ["rows"], TORN)  # said again by a retry: the first time counts

    def test_it_is_passed_over(self, topology: Topology) -> None:
        assert plan(topology)["restore_point"] == WHOLE.id

    def test_it_is_refused(self, topology: Topology, catalog: Catalog) -> None:
        with pytest.raises(ManifestError, match="of a time that store rows has given up"):
            plan(topology, restore_point=TORN.id)
        assert catalog.leases.names() == []
        assert catalog.resolve(TORN.id, whole=False) == TORN  # to whom it is of use otherwise

    def test_what_is_taken_since_is_good(self, topology: Topology, catalog: Catalog) -> None:
        since = days_later((utc_now() - WHOLE.midtime).days + 1, stores=ROWS)
        catalog.publish(since)
        assert plan(topology)["restore_point"] == since.id

    def test_a_note_that_nobody_can_read(self, topology: Topology, catalog: Catalog) -> None:
        objects.replace(catalog.root / ".given_up" / "restore-abcdef.json", b"{")
        with pytest.raises(CatalogError, match="unreadable"):
            plan(topology)


def test_given_up_while_the_plan_waited_for_its_approval(topology: Topology, catalog: Catalog) -> None:
    made = plan(topology)
    given_up.note(catalog, "restore-abcdef", ["rows"], WHOLE)
    with pytest.raises(ManifestError, match="given up"):
        place(topology, made)
    assert Snapshotted.asked == [f"restore {NODE}"]


def test_nothing_is_reserved_when_the_ring_says_no(topology: Topology, catalog: Catalog) -> None:
    Snapshotted.failures = {"rows": RestoreFailedError("two nodes are down", fix="restore the whole cluster")}
    with pytest.raises(RestoreFailedError, match="two nodes are down"):
        plan(topology)
    assert catalog.leases.names() == []

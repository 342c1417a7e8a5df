"""What a restore or a drill is asked for, and what it plans: read strictly, told plainly, sent as XCom without loss."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.catalog import Catalog, objects
from midtime.catalog.bases import look_at_artifacts
from midtime.catalog.restore_points import EXPIRED, MANIFEST
from midtime.errors import ArtifactError, LeaseHeldError, ManifestError, RequestError, RestorePointNotFoundError
from midtime.model.restore_point import Artifact
from midtime.model.topology import Topology
from midtime.restoring import Plan, RestoreRequest, make_plan, reserve
from midtime.stores.base import Target
from tests.unit.builders import MIDTIME, instants, names, part, point, sha256, texts, topology
from tests.unit.fakes import FakeStore

TWO = topology("accounts", "points", drill={"targets": {"accounts": "drill_db"}})
BOTH = point(stores=(part("accounts"), part("points")))

targets = st.builds(Target, store=names, conn_id=texts, working=texts, final=texts, aside=st.none() | texts)
plans = st.builds(
    Plan,
    kind=st.sampled_from(["restore", "drill"]),
    restore_point=texts,
    midtime=instants,
    started_at=instants,
    in_place=st.booleans(),
    targets=st.lists(targets, max_size=3).map(tuple),
    lease=texts,
)


@pytest.fixture(autouse=True)
def fake_store(monkeypatch: pytest.MonkeyPatch) -> type[FakeStore]:
    return FakeStore.install(monkeypatch)


class TestRequest:
    def test_defaults(self) -> None:
        assert RestoreRequest.parse({}, TWO) == RestoreRequest(restore_point="latest", targets={}, in_place=False, approve=True)

    def test_everything(self) -> None:
        conf = {"restore_point": BOTH.id, "targets": {"points": "other_db"}, "in_place": True, "approve": True}
        assert RestoreRequest.parse(conf, TWO).model_dump() == conf

    @pytest.mark.parametrize("key", ["inplace", "In_place", "restorepoint", "target", "", "version"])
    def test_unknown_keys(self, key: str) -> None:
        with pytest.raises(RequestError, match="the run's parameters are wrong") as caught:
            RestoreRequest.parse({key: True}, TWO)
        assert key in caught.value.message
        assert caught.value.fix == "allowed are restore_point, targets, in_place, approve"
        assert not caught.value.retryable

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            *(("in_place", value) for value in ("maybe", "true", "yes", 1, 0, None, [], {}, 1.0)),
            *(("approve", value) for value in ("no", 0, None, "false")),
            *(("restore_point", value) for value in (None, 5, [], {}, True)),
            *(
                ("targets", value)
                for value in (None, "accounts", [], ["accounts"], {"accounts": None}, {"accounts": {"to": "x"}}, {"accounts": 5})
            ),
        ],
    )
    def test_wrong_types_are_refused_and_not_guessed(self, key: str, value: Any) -> None:
        with pytest.raises(RequestError, match=key):
            RestoreRequest.parse({key: value}, TWO)

    def test_every_mistake_at_once(self) -> None:
        with pytest.raises(RequestError) as caught:
            RestoreRequest.parse({"in_place": "x", "restore_point": 5, "wrong": 1, "targets": {"accounts": 7}}, TWO)
        assert all(key in caught.value.message for key in ("in_place", "restore_point", "wrong", "targets.accounts"))

    def test_unknown_stores(self) -> None:
        with pytest.raises(RequestError, match="unknown stores: acounts, x") as caught:
            RestoreRequest.parse({"targets": {"x": "a", "acounts": "a", "points": "b"}}, TWO)
        assert "accounts, points" in caught.value.fix

    def test_in_place_is_never_unattended(self) -> None:
        with pytest.raises(RequestError, match="never done without approval"):
            RestoreRequest.parse({"in_place": True, "approve": False}, TWO)
        assert not RestoreRequest.parse({"approve": False}, TWO).approve

    @given(
        st.dictionaries(
            st.sampled_from(["restore_point", "targets", "in_place", "approve"]) | texts,
            st.recursive(
                st.none() | st.booleans() | st.integers() | texts,
                lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
            ),
            max_size=4,
        )
    )
    def test_whatever_comes_is_right_or_refused(self, conf: dict[str, Any]) -> None:
        try:
            request = RestoreRequest.parse(conf, TWO)
        except RequestError:
            return
        assert request.model_dump(include=conf.keys()) == conf, "taken as it was said"
        assert not (request.in_place and not request.approve)


class TestPlan:
    @given(plans)
    def test_there_and_back_through_json(self, plan: Plan) -> None:
        assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan

    def plan(self, conf: dict[str, Any] | None = None, *, kind: str = "restore", topology: Topology = TWO) -> Plan:
        return make_plan(topology, RestoreRequest.parse(conf or {}, topology), BOTH, kind=kind, run="dag/run")

    def test_beside(self) -> None:
        plan = self.plan({"targets": {"points": "points_copy"}})
        assert (plan.kind, plan.restore_point, plan.midtime, plan.in_place) == ("restore", BOTH.id, BOTH.midtime, False)
        assert [target.store for target in plan.targets] == ["accounts", "points"], "all of the restore point, or none"
        assert plan.target("points").final == "points_copy"
        assert plan.target("accounts").final.startswith("accounts_restored_")
        assert not plan.replaces
        assert plan.lease.startswith("restore-")

    def test_in_place_without_products_says_that_nothing_is_stopped(self) -> None:
        plan = Plan("restore", "20261121T020007Z-acba25", MIDTIME, MIDTIME, True, (Target("a", "c", "tmp", "live", "before"),), "restore-1")
        assert "nothing is stopped" in plan.summary()
        assert "sessions are cut off" in plan.summary()

    def test_in_place(self) -> None:
        plan = self.plan({"in_place": True})
        assert plan.replaces
        assert [target.final for target in plan.targets] == ["accounts", "points"]
        assert "Live databases are replaced" in plan.summary()
        assert "Stop by hand before you approve: scalardb-cluster" in plan.summary()
        assert all(f"`{target.aside}`" in plan.summary() for target in plan.targets)

    def test_a_drill_goes_to_the_topology_s_targets(self) -> None:
        plan = self.plan(kind="drill")
        assert [target.conn_id for target in plan.targets] == ["drill_db", "own"]
        assert all(target.final == target.working for target in plan.targets)
        assert plan.lease.startswith("drill-")

    def test_the_run_s_targets_outweigh_the_topology_s(self) -> None:
        assert self.plan({"targets": {"accounts": "by_hand"}}, kind="drill").target("accounts").conn_id == "by_hand"

    def test_a_restore_does_not_use_the_drill_s_targets(self) -> None:
        assert self.plan().target("accounts").conn_id == "own"

    def test_a_drill_replaces_nothing_whatever_is_asked(self) -> None:
        assert not self.plan({"in_place": True}, kind="drill").replaces

    def test_a_store_that_the_topology_has_no_more(self) -> None:
        with pytest.raises(RequestError, match="holds stores that bank has no more: points"):
            self.plan(topology=topology("accounts"))

    def test_the_same_run_plans_the_same_names(self) -> None:
        one, other = self.plan(), self.plan()
        assert (one.targets, one.lease) == (other.targets, other.lease)
        assert make_plan(TWO, RestoreRequest(), BOTH, kind="restore", run="another").targets != one.targets

    @pytest.mark.parametrize(
        ("age", "said"),
        [
            (timedelta(0), "0 min old"),
            (timedelta(minutes=59, seconds=59), "59 min old"),
            (timedelta(hours=1), "1 h 0 min old"),
            (timedelta(hours=23, minutes=59), "23 h 59 min old"),
            (timedelta(days=2, hours=3, minutes=4), "2 d 3 h old"),
        ],
    )
    def test_summary(self, age: timedelta, said: str) -> None:
        target = Target("accounts", "db", "w", "f")
        summary = Plan("restore", "ID", MIDTIME, MIDTIME + age, False, (target,), "l").summary()
        assert f"Restore point **ID**, midtime 2026-11-21T02:00:07.250000Z, {said}." in summary
        assert "| accounts | db | `f` |" in summary
        assert "Products" not in summary

    @pytest.mark.parametrize(
        ("answer", "said"), [("bank, a new file", "Nothing is there now"), ("bank, replacing x", "Live databases are replaced")]
    )
    def test_summary_of_what_the_target_said(self, answer: str, said: str) -> None:
        """Who restores what was lost must not be told of a kept copy that will not be."""
        target = Target("accounts", "", "w", "f", "f_before")
        plan = Plan("restore", "ID", MIDTIME, MIDTIME, True, (target,), "l", will_be={"accounts": answer})
        assert f"| accounts | - | {answer} |" in plan.summary()
        assert said in plan.summary()
        assert "f_before" not in plan.summary()
        assert Plan.from_dict(plan.to_dict()) == plan


class TestReserve:
    @pytest.fixture(autouse=True)
    def published(self, catalog: Catalog) -> None:
        catalog.publish(BOTH)

    def test_the_lease_tells_the_sweeper_everything(self, catalog: Catalog) -> None:
        plan = make_plan(TWO, RestoreRequest(), BOTH, kind="drill", run="r")
        reserve(catalog, plan, "drill/r")
        lease = catalog.leases.current(plan.lease)
        assert lease
        assert (lease.holder, lease.details["kind"], lease.details["restore_point"]) == ("drill/r", "drill", BOTH.id)
        assert tuple(map(Target.from_dict, lease.details["targets"])) == plan.targets

    def test_one_run_at_a_time_under_one_name(self, catalog: Catalog) -> None:
        plan = make_plan(TWO, RestoreRequest(), BOTH, kind="drill", run="r")
        reserve(catalog, plan, "a")
        reserve(catalog, plan, "a")
        with pytest.raises(LeaseHeldError):
            reserve(catalog, plan, "b")

    @pytest.mark.parametrize("fate", ["expired", "removed", "invalid", "unreadable"])
    def test_one_that_went_meanwhile_is_refused_and_set_free(self, catalog: Catalog, fate: str) -> None:
        plan = make_plan(TWO, RestoreRequest(), BOTH, kind="restore", run="r")
        manifest = catalog.folder(BOTH.id) / MANIFEST
        {
            "expired": lambda: catalog.mark(BOTH.id, EXPIRED, "old"),
            "removed": lambda: objects.remove_tree(manifest),
            "invalid": lambda: catalog.invalidate(BOTH.id, "torn"),
            "unreadable": lambda: objects.replace(manifest, b""),
        }[fate]()
        with pytest.raises(RestorePointNotFoundError if fate in ("expired", "removed") else ManifestError):
            reserve(catalog, plan, "restore/r")
        lease = catalog.leases.current(plan.lease)
        assert lease
        assert lease.released

    def test_artifacts_are_looked_at(self, catalog: Catalog, tmp_path: Path) -> None:
        held = point(stores=(part(artifacts=(Artifact(path="accounts/x", size=2, sha256=sha256(b"ab")),)),))
        with pytest.raises(ArtifactError, match="missing"):
            look_at_artifacts(catalog, held)
        objects.create(catalog.folder(held.id) / "accounts" / "x", b"ab")
        look_at_artifacts(catalog, held)
        objects.replace(catalog.folder(held.id) / "accounts" / "x", b"a")
        with pytest.raises(ArtifactError, match="has 1 bytes"):
            look_at_artifacts(catalog, held)

"""What a drill plans by what started it, and what its report says however it ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, AirflowTaskTimeout

from midtime.catalog import Catalog, drill_reports, objects
from midtime.errors import StoreUnreachableError
from midtime.model.instants import utc_now
from midtime.model.restore_point import Artifact, DrillReport, RestorePoint
from midtime.operators.plan import PlanDrillOperator
from midtime.operators.verify import ReportDrillOperator
from midtime.restoring import ATTEMPT, Attempt, Plan
from tests.unit.builders import MIDTIME, days_later, drill_report, part, sha256, topology
from tests.unit.fakes import FakeStore


class Run:
    """One run of the drill: its context, and the XComs that its tasks leave."""

    def __init__(self, kind: DagRunType = DagRunType.MANUAL, at: datetime | None = None, **conf: Any) -> None:
        self.xcoms: dict[tuple[str, str], Any] = {}
        run = SimpleNamespace(run_type=kind, logical_date=at, start_date=utc_now(), run_after=utc_now(), conf=conf)
        self.context: Any = {
            "params": {"restore_point": "latest", "targets": {}},
            "dag_run": run,
            "dag": SimpleNamespace(dag_id="bank__drill"),
            "run_id": "some run",
            "ti": self,
            "task": "plan",
        }

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms["plan", key] = value

    def xcom_pull(self, *, task_ids: str, key: str = "return_value") -> Any:
        return self.xcoms.get((task_ids, key))

    @classmethod
    def backfilled(cls, at: datetime, **conf: Any) -> Run:
        return cls(DagRunType.BACKFILL, at, **conf)

    def announced(self, *points: RestorePoint) -> Run:
        self.context["triggering_asset_events"] = {"asset": [SimpleNamespace(extra={"restore_point": each.id}) for each in points]}
        return self


@pytest.fixture(autouse=True)
def fake_store(monkeypatch: pytest.MonkeyPatch) -> type[FakeStore]:
    return FakeStore.install(monkeypatch)


@pytest.fixture
def points(catalog: Catalog) -> list[RestorePoint]:
    made = [days_later(day) for day in range(0, 10, 2)]
    for each in made:
        objects.create(catalog.folder(each.id) / "manifest.json", each.seal())
    return made


def plan(run: Run, destination: str) -> Plan:
    made = PlanDrillOperator(task_id="plan", topology=topology(destination=destination)).execute(run.context)
    run.xcoms["plan", "return_value"] = made
    return Plan.from_dict(made)


def report(run: Run, destination: str) -> DrillReport:
    """As the task does; a drill that was not good fails after its report is written."""
    operator = ReportDrillOperator(
        task_id="report", topology=topology(destination=destination), plan=None, verify_task="verify", restore_tasks=["restore_accounts"]
    )
    operator.plan = run.xcoms.get(("plan", "return_value"))
    with pytest.raises(AirflowFailException, match="drill of"):
        operator.execute(run.context)
    (found,) = [each.report for each in drill_reports.every(operator.catalog) if each.report]
    return found


class TestChoice:
    def test_the_newest(self, points: list[RestorePoint], destination: str) -> None:
        found = plan(Run(), destination)
        assert (found.restore_point, found.as_of) == (points[-1].id, None)

    def test_the_announced(self, points: list[RestorePoint], destination: str) -> None:
        assert plan(Run(DagRunType.ASSET_TRIGGERED).announced(points[0], points[2], points[1]), destination).restore_point == points[2].id

    @pytest.mark.parametrize("kind", [DagRunType.SCHEDULED, DagRunType.MANUAL, DagRunType.ASSET_TRIGGERED])
    def test_only_a_backfill_looks_back(self, points: list[RestorePoint], destination: str, kind: DagRunType) -> None:
        """A scheduled run has a date as well, and means now."""
        found = plan(Run(kind, MIDTIME + timedelta(days=3)), destination)
        assert (found.restore_point, found.as_of) == (points[-1].id, None)

    def test_a_backfill_takes_what_was_newest_then(self, points: list[RestorePoint], destination: str) -> None:
        at = MIDTIME + timedelta(days=3)
        found = plan(Run.backfilled(at), destination)
        assert (found.restore_point, found.as_of, found.age) == (points[1].id, at, timedelta(days=1))
        assert Plan.from_dict(found.to_dict()) == found
        assert "1 d 0 h old on 2026-11-24T02:00:07.250000Z" in found.summary()

    def test_a_backfill_of_one_restore_point(self, points: list[RestorePoint], destination: str) -> None:
        """It may say something of dates at which it existed, of no other."""
        named = points[1].id
        at = MIDTIME + timedelta(days=3)
        assert plan(Run.backfilled(at, restore_point=named), destination).as_of == at
        found = plan(Run.backfilled(MIDTIME, restore_point=named), destination)
        assert (found.restore_point, found.as_of) == (named, None)

    def test_a_date_without_one_is_skipped_and_says_why(self, points: list[RestorePoint], destination: str) -> None:
        run = Run.backfilled(MIDTIME - timedelta(days=1))
        with pytest.raises(AirflowSkipException, match="had no restorable restore point at"):
            plan(run, destination)
        assert "had no restorable restore point at" in run.xcoms["plan", "skipped"]
        assert ("plan", ATTEMPT) not in run.xcoms

    def test_now_without_one_is_no_reason_to_skip(self, destination: str) -> None:
        with pytest.raises(AirflowFailException, match="has no restorable restore point"):
            plan(Run(DagRunType.SCHEDULED), destination)

    def test_the_clock_starts_before_the_artifacts_are_looked_at(
        self, points: list[RestorePoint], destination: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked: list[datetime] = []
        monkeypatch.setattr("midtime.operators.plan.look_at_artifacts", lambda *_: looked.append(utc_now()))
        assert plan(Run(), destination).started_at <= looked[0]


class TestReport:
    def test_of_a_backfilled_drill(self, points: list[RestorePoint], destination: str) -> None:
        at = MIDTIME + timedelta(days=3)
        run = Run.backfilled(at)
        plan(run, destination)
        found = report(run, destination)
        assert (found.as_of, found.rpo_seconds, found.stands_for) == (at, 86400.0, at)

    def test_when_nothing_was_restored(self, points: list[RestorePoint], destination: str) -> None:
        run = Run()
        plan(run, destination)
        found = report(run, destination)
        assert (found.good, found.bytes, found.verdict["summary"]) == (
            False,
            0,
            "not restored: accounts; the log of the restoring task says why",
        )
        assert found.rto_seconds >= 0

    def test_when_it_could_not_be_verified(self, points: list[RestorePoint], destination: str) -> None:
        run = Run()
        plan(run, destination)
        run.xcoms["restore_accounts", "return_value"] = {"store": "accounts", "seconds": 2.5, "bytes": 10}
        found = report(run, destination)
        assert (found.good, found.bytes, found.store_seconds) == (False, 10, {"accounts": 2.5})
        assert found.verdict["summary"] == "restored, but not verified; the log of verify says why"

    @pytest.mark.parametrize("error", [StoreUnreachableError("no answer"), AirflowTaskTimeout("too long"), ZeroDivisionError("a bug")])
    def test_when_it_could_not_be_planned(
        self, points: list[RestorePoint], destination: str, monkeypatch: pytest.MonkeyPatch, error: BaseException
    ) -> None:
        def fail(*_: Any) -> None:
            raise error

        monkeypatch.setattr("midtime.operators.plan.restore_checks", fail)
        run = Run.backfilled(MIDTIME + timedelta(days=3))
        with pytest.raises(type(error)):
            plan(run, destination)
        found = report(run, destination)
        assert (found.restore_point, found.good, found.rpo_seconds) == (points[1].id, False, 86400.0)
        assert found.verdict["summary"] == f"not restored: {error}"
        assert found.as_of == MIDTIME + timedelta(days=3)

    def test_when_an_artifact_is_gone(self, catalog: Catalog, destination: str) -> None:
        gone = Artifact(path="accounts/x", size=3, sha256=sha256(b"abc"))
        point = days_later(0, stores=(part(artifacts=(gone,)),))
        objects.create(catalog.folder(point.id) / "manifest.json", point.seal())
        run = Run()
        with pytest.raises(AirflowFailException):
            plan(run, destination)
        assert "is missing" in report(run, destination).verdict["summary"]

    def test_when_the_named_one_cannot_be_believed(self, points: list[RestorePoint], catalog: Catalog, destination: str) -> None:
        catalog.invalidate(points[0].id, "its disk was lost")
        run = Run(restore_point=points[0].id)
        with pytest.raises(AirflowFailException):
            plan(run, destination)
        found = report(run, destination)
        assert (found.restore_point, found.good) == (points[0].id, False)
        assert "its disk was lost" in found.verdict["summary"]

    @pytest.mark.parametrize("conf", [{"restore_point": days_later(77).id}, {"restorepoint": "x"}])
    def test_a_misspelling_leaves_none(self, points: list[RestorePoint], catalog: Catalog, destination: str, conf: dict[str, str]) -> None:
        """And no folder that looks like a backup in the making."""
        run = Run(**conf)
        with pytest.raises(AirflowFailException):
            plan(run, destination)
        operator = ReportDrillOperator(
            task_id="report", topology=topology(destination=destination), plan=None, verify_task="verify", restore_tasks=[]
        )
        with pytest.raises(AirflowFailException, match="no plan and no restore point"):
            operator.execute(run.context)
        assert drill_reports.every(catalog) == []
        assert len(catalog.folders()) == len(points)

    def test_a_good_one_is_returned(self, points: list[RestorePoint], catalog: Catalog, destination: str) -> None:
        run = Run()
        made = plan(run, destination)
        verdict = {"good": True, "summary": "good", "rows": 3, "finished_at": "2126-11-21T02:00:00Z"}
        run.xcoms["verify", "verification"] = verdict
        operator = ReportDrillOperator(
            task_id="report", topology=topology(destination=destination), plan=None, verify_task="verify", restore_tasks=[]
        )
        operator.plan = made.to_dict()
        body = operator.execute(run.context)
        assert (body["good"], body["rows"], body["finished_at"]) == (True, 3, "2126-11-21T02:00:00Z")
        assert drill_reports.of(catalog, made.restore_point) == [DrillReport.model_validate(body)]


def test_an_attempt_travels_as_xcom() -> None:
    attempt = Attempt(started_at=MIDTIME, as_of=MIDTIME, restore_point=days_later(0).id, midtime=MIDTIME)
    assert Attempt.from_dict(attempt.to_dict()) == attempt
    unread = Attempt(started_at=MIDTIME, restore_point=drill_report(days_later(0)).restore_point)
    assert Attempt.from_dict(unread.to_dict()).age == timedelta(milliseconds=250)  # all that an id tells of the midtime

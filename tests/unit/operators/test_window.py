"""The tasks of a window and how they meet: all together, and when one of them fails, hangs, comes late or belongs to an earlier try."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from midtime import stores
from midtime.catalog import Catalog
from midtime.dag_parts import restore_points
from midtime.errors import ArmingError, CopyError, WindowVoidError
from midtime.model.instants import from_rfc3339
from midtime.model.topology import Topology
from midtime.model.window import Window
from midtime.operators.base import TaskKilledError
from midtime.operators.midtime import MidtimeOperator
from midtime.operators.publish import PublishOperator
from midtime.operators.unpause import ScalarUnpauseOperator
from midtime.scalar.double import Double
from tests.unit.builders import topology as build
from tests.unit.operators.tasks import ArmableStore, Hub, dump_task, pause_task, preflight_done, wait_until


@pytest.fixture(autouse=True)
def armable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(stores.ENGINES, ("postgresql", "dump"), f"{ArmableStore.__module__}:{ArmableStore.__name__}")
    ArmableStore.reset()


@pytest.fixture
def double() -> Iterator[Double]:
    with Double(count=2) as made:
        yield made


def bank(double: Double, folder: Path, **pause: str) -> Topology:
    products = [{"kind": "scalardb-cluster", "endpoints": {"static": double.addresses}}]
    limits = {"drain": "1s", "deadline": "4s", "arm": "5s", **pause}
    return build("accounts", "points", destination=f"file://{folder}/points", products=products, pause=limits)


@pytest.fixture
def topology(double: Double, tmp_path: Path) -> Topology:
    return bank(double, tmp_path)


@pytest.fixture
def hub(topology: Topology) -> Hub:
    made = Hub(topology)
    preflight_done(topology, made)
    return made


def run_all(hub: Hub) -> None:
    hub.start(pause_task(hub.topology))
    hub.start(dump_task(hub.topology, "accounts"))
    hub.start(dump_task(hub.topology, "points", after=["dump_accounts"]))
    hub.join()


class TestTogether:
    def test_a_good_window(self, hub: Hub, double: Double) -> None:
        """Both captured inside it, the Coordinator's store first; copied after it; and the instant is its middle."""
        run_all(hub)
        assert hub.errors == {}
        evidence = hub.results["pause"]
        window = Window.from_dict(evidence["window"])
        assert not double.paused
        last_pause = max(call["at"] for call in double.calls("pause"))
        first_unpause = min(call["at"] for call in double.calls("unpause"))
        assert last_pause < ArmableStore.captured_at["accounts"] < ArmableStore.captured_at["points"] < first_unpause
        assert sorted(ArmableStore.copied) == ["accounts", "points"]
        midtime = MidtimeOperator(task_id="midtime", topology=hub.topology, captures=[], window=None)
        midtime.captures = [hub.results["dump_accounts"], hub.results["dump_points"]]
        midtime.window = evidence
        assert from_rfc3339(midtime.work(hub.context("midtime"))) == window.middle
        assert hub.xcoms["midtime", "midtime"] == evidence["choice"]["midtime"]
        assert {hub.results[task]["restore_point"] for task in ("dump_accounts", "dump_points")} == {
            hub.results["dump_points"]["restore_point"]
        }

    def test_a_capture_of_another_window_is_no_proof(self, hub: Hub) -> None:
        run_all(hub)
        midtime = MidtimeOperator(task_id="midtime", topology=hub.topology, captures=[], window=hub.results["pause"])
        midtime.captures = [hub.results["dump_accounts"], {**hub.results["dump_points"], "window": "another"}]
        with pytest.raises(WindowVoidError, match="points: not captured in window"):
            midtime.work(hub.context("midtime"))
        midtime.window = None
        with pytest.raises(WindowVoidError, match="no evidence"):
            midtime.work(hub.context("midtime"))

    def test_a_copy_of_another_capture_is_no_proof(self, hub: Hub) -> None:
        """Two tries of one dump lived at once: one reported, the other one copied."""
        run_all(hub)
        midtime = MidtimeOperator(task_id="midtime", topology=hub.topology, captures=[], window=hub.results["pause"])
        midtime.captures = [hub.results["dump_accounts"], {**hub.results["dump_points"], "capture": "another"}]
        with pytest.raises(WindowVoidError, match=r"points: not captured in window .*, or copied from another capture"):
            midtime.work(hub.context("midtime"))

    def test_publishing_asks_for_the_proof_again(self, hub: Hub) -> None:
        """Whatever came between: another instant, another window's evidence, none at all, or what another try has written."""
        run_all(hub)
        evidence, context = hub.results["pause"], hub.context("publish")
        good = {
            "captures": [hub.results["dump_accounts"], hub.results["dump_points"]],
            "midtime": evidence["choice"]["midtime"],
            "window": evidence,
        }
        context["outlet_events"] = defaultdict(SimpleNamespace)
        ArmableStore.copied.clear()

        def publish(**changes: Any) -> str:
            operator = PublishOperator(
                task_id="publish", topology=hub.topology, captures=[], midtime="", asset=restore_points(hub.topology)
            )
            for name, value in (good | changes).items():
                setattr(operator, name, value)
            return str(operator.work(context))

        for wrong in ({"window": None}, {"window": {**evidence, "id": "another"}}, {"midtime": "2026-11-21T00:00:00Z"}):
            with pytest.raises(WindowVoidError):
                publish(**wrong)
        catalog = Catalog(hub.topology.destination, hub.topology.name)
        point = hub.results["dump_points"]["restore_point"]
        part = catalog.parts(point, ["points"])[0]
        catalog.add_part(point, part.model_copy(update={"details": {"capture": "another"}}))
        with pytest.raises(WindowVoidError, match="points: another try"):
            publish()
        catalog.add_part(point, part)
        assert publish() == point

    def test_leases_are_given_back(self, hub: Hub) -> None:
        run_all(hub)
        again = Hub(hub.topology)
        run_all(again)
        assert again.errors == {}


class TestNothingIsPaused:
    def test_when_a_capture_does_not_get_ready(self, hub: Hub, double: Double, tmp_path: Path) -> None:
        hub.topology = bank(double, tmp_path, arm="1s")
        hub.start(pause_task(hub.topology))
        hub.start(dump_task(hub.topology, "accounts"))
        hub.states["dump_points"] = "queued"
        hub.join("pause")
        with pytest.raises(ArmingError, match=r"dump_points not ready after 1 s; nothing was paused.* 3 slots"):
            raise hub.errors["pause"]
        assert double.calls("pause") == []
        hub.join()
        assert "nothing was paused" in str(hub.errors["dump_accounts"])

    def test_when_a_capture_fails_before(self, hub: Hub, double: Double) -> None:
        hub.start(pause_task(hub.topology))
        hub.states |= {"dump_accounts": "failed", "dump_points": "running"}
        hub.join()
        with pytest.raises(ArmingError, match="dump_accounts failed before it was ready"):
            raise hub.errors["pause"]
        assert double.calls("pause") == []

    def test_when_a_capture_that_was_ready_is_not_any_more(self, hub: Hub, double: Double) -> None:
        """Its client has died while the other one was still getting ready."""
        hub.start(pause_task(hub.topology))
        hub.start(dump_task(hub.topology, "accounts"))
        hub.states["dump_points"] = "running"
        wait_until(lambda: ("dump_accounts", "armed") in hub.xcoms)
        ArmableStore.ended = {"accounts": CopyError("the client is gone", fix="")}
        hub.join()
        assert "the client is gone" in str(hub.errors["dump_accounts"])
        with pytest.raises(ArmingError, match="dump_accounts failed before it was ready; nothing was paused"):
            raise hub.errors["pause"]
        assert double.calls("pause") == []

    @pytest.mark.parametrize("state", ["running", "queued"])
    def test_for_what_was_said_to_an_earlier_window(self, hub: Hub, double: Double, tmp_path: Path, state: str) -> None:
        """Ready, says the XCom; but these dumps are copying since an hour, or are yet to come."""
        hub.topology = bank(double, tmp_path, arm="1s")
        hub.xcoms = {("dump_accounts", "armed"): {"window": "old"}, ("dump_points", "armed"): {"window": "old"}}
        hub.states = {"dump_accounts": state, "dump_points": state}
        hub.start(pause_task(hub.topology))
        hub.join()
        assert isinstance(hub.errors["pause"], ArmingError)
        assert double.calls("pause") == []

    def test_by_airflow_dags_test(self, hub: Hub, double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow.sdk.execution_time import task_runner

        class InProcessSupervisorComms:
            pass

        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", InProcessSupervisorComms(), raising=False)
        hub.start(pause_task(hub.topology))
        hub.start(dump_task(hub.topology, "accounts"))
        hub.join()
        for task in ("pause", "dump_accounts"):
            with pytest.raises(ArmingError, match="one task at a time"):
                raise hub.errors[task]
        assert double.calls("pause") == []


class TestVoid:
    def test_a_capture_that_fails_in_the_window_ends_it_at_once(self, hub: Hub, double: Double) -> None:
        ArmableStore.failing = {"points": CopyError("disk on fire", fix="see to it")}
        run_all(hub)
        with pytest.raises(WindowVoidError, match="dump_points could not capture: disk on fire"):
            raise hub.errors["pause"]
        assert not double.paused
        assert ArmableStore.copied == []
        assert "disk on fire" in str(hub.errors["dump_accounts"])
        paused = min(call["at"] for call in double.calls("unpause")) - min(call["at"] for call in double.calls("pause"))
        assert paused < 3  # not until the deadline of 4 s

    def test_a_capture_that_dies_in_the_window_ends_it(self, hub: Hub, double: Double) -> None:
        hub.play_armed("dump_points")
        hub.start(pause_task(hub.topology))
        hub.start(dump_task(hub.topology, "accounts"))
        wait_until(lambda: double.paused)
        hub.states["dump_points"] = "failed"
        hub.join("pause")
        with pytest.raises(WindowVoidError, match="dump_points ended without a capture"):
            raise hub.errors["pause"]
        assert not double.paused

    @pytest.mark.fault("The API server hangs in mid-window", "the window ends by its deadline; the run fails; no restore point")
    def test_an_api_server_that_hangs(self, hub: Hub, double: Double) -> None:
        hub.play_armed("dump_points")
        hub.start(pause_task(hub.topology))
        hub.start(dump_task(hub.topology, "accounts"))
        wait_until(lambda: double.paused)
        hub.answers.clear()
        wait_until(lambda: not double.paused)
        calls = double.calls()
        first = min(call["at"] for call in calls if call["rpc"] == "pause")
        assert max(call["at"] for call in calls if call["rpc"] == "unpause") - first < 5  # deadline and a second
        hub.answers.set()
        hub.join()
        assert "did not report within the deadline" in str(hub.errors["pause"])
        assert ArmableStore.copied == []

    def test_told_to_end(self, hub: Hub, double: Double) -> None:
        """What SIGTERM does: a person marked the task, or the worker shuts down."""
        hub.play_armed("dump_points")
        pause = pause_task(hub.topology)
        hub.start(pause)
        hub.start(dump_task(hub.topology, "accounts"))
        wait_until(lambda: double.paused)
        with pytest.raises(TaskKilledError):
            pause.on_kill()
        assert not double.paused
        hub.join()
        assert "told to end" in str(hub.errors["pause"])


class TestLateComers:
    @pytest.mark.parametrize("state", ["open", "closed", "void"])
    def test_a_window_of_an_earlier_try_is_none(self, hub: Hub, state: str) -> None:
        hub.xcoms["pause", "window"] = {"id": "old", "state": state, "seconds": 3, "why": "", "midtime": "2026-11-21T00:00:00Z"}
        hub.states["pause"] = "failed"
        hub.start(dump_task(hub.topology, "accounts"))
        hub.join()
        with pytest.raises(WindowVoidError, match="pause is over without a window that is good"):
            raise hub.errors["dump_accounts"]
        assert ArmableStore.captured_at == {}

    def test_a_host_that_dies_after_the_captures(self, hub: Hub) -> None:
        """Nobody accepted them, so nothing is copied."""
        hub.states["pause"] = "running"
        hub.start(dump_task(hub.topology, "accounts"))
        hub.xcoms["pause", "window"] = {"id": "w", "state": "arming"}
        wait_until(lambda: ("dump_accounts", "armed") in hub.xcoms)
        hub.xcoms["pause", "window"] = {"id": "w", "state": "open", "seconds": 2}
        wait_until(lambda: ("dump_accounts", "captured") in hub.xcoms)
        hub.states["pause"] = "failed"
        hub.join()
        assert isinstance(hub.errors["dump_accounts"], WindowVoidError)
        assert ArmableStore.copied == []


class TestPlain:
    def test_pause_work_unpause(self, hub: Hub, double: Double) -> None:
        hub.start(pause_task(hub.topology, captures=None))
        hub.join()
        assert hub.errors == {}
        assert double.paused
        unpause = ScalarUnpauseOperator(task_id="unpause", topology=hub.topology)
        unpause.window = hub.results["pause"]
        evidence: dict[str, Any] = unpause.work(hub.context("unpause"))
        assert not double.paused
        window = Window.from_dict(evidence["window"])
        midtime = MidtimeOperator(task_id="midtime", topology=hub.topology, captures=[], window=None)
        midtime.window = evidence
        assert from_rfc3339(midtime.work(hub.context("midtime"))) == window.middle

    def test_the_watchdog_ends_a_chain_that_takes_too_long(self, hub: Hub, double: Double, tmp_path: Path) -> None:
        hub.topology = bank(double, tmp_path, deadline="2s", drain="500ms")
        hub.start(pause_task(hub.topology, captures=None))
        hub.join()
        assert double.paused
        wait_until(lambda: not double.paused)
        unpause = ScalarUnpauseOperator(task_id="unpause", topology=hub.topology)
        unpause.window = hub.results["pause"]
        with pytest.raises(AirflowFailException, match="proves nothing"):  # trying again would not help
            unpause.work(hub.context("unpause"))

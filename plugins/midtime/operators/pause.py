"""The pause of a window: everything paused, watched and unpaused by one task."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from midtime.errors import RequestError, WindowVoidError
from midtime.model.instants import to_rfc3339
from midtime.operators.base import TopologyOperator, run_name
from midtime.operators.meeting import NEAR_SECONDS, Host, refuse_dags_test
from midtime.pausing import Pausing
from midtime.window_marks import marked_first, window_marks

if TYPE_CHECKING:
    from airflow.sdk import Context

    from midtime.scalar.guard import Guard
    from midtime.scalar.watchdog import Watchdog
    from midtime.window_marks import WindowMarks

KILL_SECONDS = 3.5
"""How long a task that is told to end waits for its guard; Airflow's SIGKILL follows 5 s after its SIGTERM."""


class ScalarPauseOperator(TopologyOperator):
    """
    Pause every product of the pause set, watch the pause, and unpause.

    *Armed* (``captures`` given): waits until all capturing tasks are ready, pauses, says so, and unpauses as soon as all of them have
    captured and the hold is over; at the deadline at the latest, also when this process or the API server is dead. Nothing is paused
    before everybody is ready. Never retried: a retry would be another window.

    Of managed stores, which nobody captures, it reads the clocks around the window and writes the fence rows. The window is held until an
    instant fits every clock.

    *Plain* (in a DAG of your own, see docs/plain-chain.md): ends right after pausing. A watchdog stays until the deadline. ``unpause``
    comes after *everything* that must be in the pause, as a teardown without setups, so that it runs whatever failed before it::

        pause >> work >> [unpause.as_teardown(on_failure_fail_dagrun=True), done]

    What the plain chain does not guarantee: that nobody lifted the pause meanwhile and put it back (it is looked at when it begins and
    when it ends, not in between), and an outage that does not grow with the executor's queue.

    :param topology: whose products are paused
    :param captures: ids of the capturing tasks; None for the plain chain
    :return: the evidence of the window; of the plain chain, its beginning
    """

    ui_color = "#fde7e9"
    time_limit = None

    def __init__(self, *, captures: Sequence[str] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 0)
        super().__init__(**kwargs)
        pause = self.topology.pause
        # Beyond every limit of its own; the guard and the watchdog do not depend on it.
        self.execution_timeout = self.execution_timeout or pause.arm + pause.deadline + timedelta(minutes=5)
        self.captures = captures
        self._guard: Guard | None = None

    def work(self, context: Context) -> dict[str, Any]:
        """Pause, watch, unpause."""
        pausing = Pausing(self.topology, run_name(context), context["ti"].try_number)
        if self.captures is None:
            self._require_no_clock()
            return self._plain(pausing)
        refuse_dags_test()
        host = Host(context, pausing.id, self.captures)
        try:
            evidence = self._armed(pausing, host)
        except BaseException as error:
            with suppress(Exception):  # they find out by themselves; only later
                host.void(str(error))
            raise
        host.close(evidence["choice"]["midtime"])
        return evidence

    def on_kill(self) -> NoReturn:
        """Unpause at once, then interrupt :meth:`work`."""
        if self._guard:
            self._guard.abort("the pausing task was told to end")
            until = time.monotonic() + KILL_SECONDS
            # No wait() in a signal's handler: the interrupted thread may be in the middle of one. A plain chain pauses on this very
            # thread: it undoes that when the error below comes up there.
            while self._guard.started and not self._guard.ended.is_set() and time.monotonic() < until:
                time.sleep(NEAR_SECONDS / 3)
        super().on_kill()

    def _armed(self, pausing: Pausing, host: Host) -> dict[str, Any]:
        with window_marks(self.topology) as marks, pausing.ready(marks.clocks.earliest_end) as (guard, watchdog):
            self.log.info("Ready to pause %s; waiting for %s", _listed(pausing), ", ".join(host.captures) or "nobody")
            pausing.require_free()
            marks.fences.prepare()
            host.wait_armed(self.topology.pause.arm.total_seconds())
            host.announce()
            guard.set_clock()
            marks.clocks.read_before()
            pausing.take_leases()
            try:
                pausing.confirm_leases()
                captured = self._meet(guard, host, marks)
            finally:
                self._end(pausing, guard, watchdog)
            if guard.error:
                raise guard.error
            marks.clocks.read_after()
            marks.fences.finish(pausing.id)
            pausing.require_unchanged()
            if guard.stuck:
                # The window is good all the same; the unpausing task raises the alarm.
                self.log.error("%s", guard.stuck)
            window = pausing.window(guard)
            choice = marks.clocks.choose(window)
            return {**pausing.evidence(guard, watchdog), "captures": captured, **marks.evidence(window), "choice": choice.to_dict()}

    def _meet(self, guard: Guard, host: Host, marks: WindowMarks) -> dict[str, Any]:
        """Everything that needs Airflow while the guard works; whatever hangs here, the guard does not."""
        self._guard = guard
        guard.begin()
        try:
            while not (guard.opened.wait(NEAR_SECONDS / 5) or guard.ended.is_set()):
                pass
            if guard.opened.is_set():
                marks.fences.begin(host.window, "before")
                host.open(guard.seconds_left)
                self.log.info("Paused, every endpoint was seen to be; unpaused in %.0f s at the latest", guard.seconds_left)
            captured: dict[str, Any] = {}
            while not guard.ended.wait(NEAR_SECONDS if guard.opened.is_set() else 0):
                captured = self._look(guard, host)
                self._mark(guard, host, marks, captured)
                if len(captured) == len(host.captures) and marks.ready:
                    guard.finish()
                    break
            guard.ended.wait()
            return captured
        except Exception as error:
            why = f"the pausing task lost touch with Airflow: {error}"
            guard.abort(why)
            raise WindowVoidError(why, fix="see whether Airflow's API server and metadata database are up; start a new run") from error
        except BaseException as error:
            guard.abort(f"the pausing task was told to end: {error}")
            raise

    def _mark(self, guard: Guard, host: Host, marks: WindowMarks, captured: dict[str, Any]) -> None:
        """See how far the managed stores are; captures of others wait for the instant of a Coordinator's store."""
        stores = [said["store"] for said in captured.values() if "error" not in said]
        if failure := marks.look(stores, guard.clock.at, time.monotonic()):
            guard.abort(str(failure))
        elif marked_first(self.topology) and marks.passed(guard.clock.at(time.monotonic())):
            host.marked()

    def _look(self, guard: Guard, host: Host) -> dict[str, Any]:
        captured = host.captured()
        for task, said in captured.items():
            if "error" in said:
                guard.abort(f"{task} could not capture: {said['error']}")
        if missing := host.gone([task for task in host.captures if task not in captured]):
            guard.abort(f"{', '.join(missing)} ended without a capture")
        return captured

    def _end(self, pausing: Pausing, guard: Guard, watchdog: Watchdog) -> None:
        """Wait for the guard, whatever happened, then give back the leases of what is open."""
        if guard.started:
            guard.ended.wait()
        watchdog.close()
        pausing.release_leases(guard)
        if guard.began and guard.over:
            outcome = guard.stuck or guard.error or "everything is unpaused"
            self.log.info("Paused for %.3f s: %s", guard.over - guard.began, outcome)

    def _require_no_clock(self) -> None:
        if managed := [store.name for store in self.topology.stores if not store.captured]:
            raise RequestError(
                f"{', '.join(managed)}: restored to an instant of its own clock, which a plain chain cannot compare with its window",
                fix="use the armed form (captures=[...]), as the backup DAG does",
            )

    def _plain(self, pausing: Pausing) -> dict[str, Any]:
        with pausing.ready() as (guard, _):
            pausing.take_leases()
            self._guard = guard
            try:
                pausing.confirm_leases()
                guard.pause_only()
            except BaseException:
                pausing.release_leases(guard)
                raise
            if guard.start is None:
                raise WindowVoidError("the window never opened", fix="start a new run")
            self.log.warning("Paused %s; the watchdog unpauses in %.0f s at the latest", _listed(pausing), guard.seconds_left)
            return {
                "id": pausing.id,
                "start": to_rfc3339(guard.clock.at(guard.start)),
                "deadline": to_rfc3339(guard.clock.at(guard.deadline)),
                "endpoints": [guard.evidence[each.address].to_dict(guard.began or guard.start) for each in pausing.endpoints],
            }


def _listed(pausing: Pausing) -> str:
    addresses = [each.address for each in pausing.endpoints]
    return ", ".join(addresses[:5]) + (f" and {len(addresses) - 5} more" if len(addresses) > 5 else "")

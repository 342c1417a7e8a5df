"""A process that pauses as ScalarPauseOperator does, without Airflow: guard, watchdog, and a place where it stands still.

``python -m tests.unit.scalar.pausing_task PLAN``: says on its standard output, one JSON object a line, what happened.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from midtime.errors import MidtimeError
from midtime.scalar.client import AdminClient, Reply
from midtime.scalar.endpoint import Endpoint
from midtime.scalar.guard import Guard
from midtime.scalar.keeper import Limits
from midtime.scalar.watchdog import Watchdog

PLAN: dict[str, Any] = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}


class HeldUp(AdminClient):
    """Never gets to its Pause, if the plan says so."""

    def begin_pause(self, *, drain: float, timeout: float) -> Reply[None]:
        if PLAN.get("stands") == "before pause":
            say(here=True)
            time.sleep(3600)
        return super().begin_pause(drain=drain, timeout=timeout)


class Stopping(Guard):
    """Stops its own process in a place that nobody else could hit."""

    witnesses = 0

    def _witness(self) -> None:
        super()._witness()
        self.witnesses += 1
        if self.witnesses == 2:  # the first one opens the window, the second ends it
            self._stop("after the last witness")

    def _sleep(self, hold_until: float) -> None:
        self._stop("between two looks")
        super()._sleep(hold_until)

    def _unpause(self) -> None:
        self._stop("before unpause")
        super()._unpause()

    def _stop(self, place: str) -> None:
        if PLAN.get("stops") == place:
            self.finish()  # it may come while the process stands still
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.2)  # another thread may take the signal, and this one go on for a moment


def say(**what: Any) -> None:
    """Tell the test."""
    print(json.dumps(what), flush=True)


def main() -> None:
    """Pause, wait to be told, unpause."""
    groups = [[Endpoint("ledger", "scalardl-ledger", address) for address in group] for group in PLAN["groups"]]
    watchdog = Watchdog([endpoint for group in groups for endpoint in group], journal=Path(PLAN["journal"]), patience=30)
    watchdog.start()
    clients = [[HeldUp(endpoint) for endpoint in group] for group in groups]
    for client in [client for group in clients for client in group]:
        client.connect(timeout=10)
    say(ready=True)
    sys.stdin.readline() if PLAN.get("waits") else None
    guard = Stopping(clients, Limits(PLAN["drain"], PLAN["hold"], PLAN["deadline"]), watchdog)
    if PLAN.get("plain"):
        _plain(guard)
        return
    if PLAN.get("stops") in ("after the last witness", "before unpause"):
        guard.finish()
    guard.begin()
    while not (guard.opened.wait(0.01) or guard.ended.is_set()):
        pass
    if guard.opened.is_set():
        say(opened=guard.began)
        sys.stdin.readline()
        guard.finish()
    guard.ended.wait()
    watchdog.close()
    say(ended={**_told(guard.error), "start": guard.start, "end": guard.end, "began": guard.began, "lost": watchdog.lost})


def _plain(guard: Guard) -> None:
    try:
        guard.pause_only()
    except MidtimeError as error:
        say(failed=_told(error))
        return
    say(paused=guard.deadline)


def _told(error: MidtimeError | None) -> dict[str, Any]:
    return {"error": type(error).__name__ if error else None, "message": str(error), "fix": error.fix if error else ""}


if __name__ == "__main__":
    main()

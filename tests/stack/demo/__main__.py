"""``python -m tests.stack.demo``: the demo from its beginning to the last process's end, whatever happens between."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from rich.markup import escape

from tests.stack.demo import DemoError, Stopped
from tests.stack.demo.state import guard_environment, only_one, state_directory
from tests.stack.demo.steps import Demo
from tests.stack.processes import StackError
from tests.stack.screen import Screen


def main() -> int:
    """0 when all went well, 1 when a step failed, 130 when it was interrupted."""

    def stop(*_: object) -> None:
        raise Stopped

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is born with SIGINT ignored
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    guard_environment()
    screen, state = Screen(), state_directory()
    try:
        with only_one(state):
            play(state, screen)
    except (KeyboardInterrupt, Stopped):
        screen.console.print("\nInterrupted; every process of the demo has ended.")
        return 130
    except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, a person has to be told where to look
        complain(screen, error, state)
        return 1
    return 0


def play(state: Path, screen: Screen) -> None:
    started = time.monotonic()
    screen.console.print(
        f"[bold]Midtime demo[/]: a bank on ScalarDB, backed up, drilled and restored by Airflow. State and logs: {state}", soft_wrap=True
    )
    demo = Demo(state, screen)
    try:
        demo.run()
        url = demo.airflow.url
        screen.console.print(f"Done in {time.monotonic() - started:.0f} s.")
        if os.environ.get("KEEP", "") not in ("", "0"):
            keep(demo, screen)
    finally:
        end(demo, screen)
    farewell(demo, screen, url)


def keep(demo: Demo, screen: Screen) -> None:
    """Everything stays up, and the transfers go on, until somebody has seen enough."""
    demo.bank.start(threads=4, think=0.05)
    screen.console.print(
        f"\n[bold]KEEP=1: all of it stays up until Ctrl-C.[/]\n"
        f"  Airflow         {demo.airflow.url}  login {demo.login}\n"
        f"  command line    (. {demo.state / 'env'}; midtime show latest --topology bank)\n"
        f"  topology file   {demo.topologies / 'bank.yaml'}",
        soft_wrap=True,
    )
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def farewell(demo: Demo, screen: Screen, url: str) -> None:
    screen.console.print(
        f"\nEvery process of the demo has ended, Airflow ({url}, login {demo.login}) too. To go on:\n"
        f"  the same, with the UI open until Ctrl-C    make demo KEEP=1\n"
        f"  read every artifact again                  (. {demo.state / 'env'}; midtime verify latest --topology bank)",
        soft_wrap=True,
    )


def end(demo: Demo, screen: Screen) -> None:
    """End all parts; a second Ctrl-C must not leave half of them."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with screen.console.status("ending every process …"):
        demo.stack.close()
    if left := demo.stack.processes.left():
        raise DemoError(f"processes {left} are left")


def complain(screen: Screen, error: Exception, state: Path) -> None:
    said = str(error) if isinstance(error, DemoError | StackError) else "".join(traceback.format_exception(error))
    screen.console.print(f"\n[bold red]✗ {escape(screen.step_name)} failed[/]", soft_wrap=True)
    screen.console.print(said, markup=False, soft_wrap=True)
    screen.console.print(f"Logs: {state}/*.log, and of Airflow's tasks {state}/airflow/logs", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())

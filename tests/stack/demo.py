"""``make demo``: a bank on ScalarDB over two databases, backed up, drilled and restored by Airflow, on this machine and in a few minutes.

Everything is real: PostgreSQL, two ScalarDB Servers with transfers that never stop, Airflow with its four processes, and the
commands and DAGs that an operator uses. State, logs and restore points are in ``.midtime/demo`` (below ``MIDTIME_STATE``
if that is set), which each run empties first. ``KEEP=1`` leaves everything running until Ctrl-C; ``MIDTIME_PORT`` moves the UI.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from tests.stack import cache
from tests.stack.airflow import REPOSITORY, LocalAirflow
from tests.stack.bank import START_BALANCE, Bank
from tests.stack.processes import StackError, poll
from tests.stack.scalardb import ScalarDB, over_databases
from tests.stack.screen import Screen
from tests.stack.stack import TWO_DATABASES, TWO_TABLES, Stack

ACCOUNTS = 50
TOTAL = ACCOUNTS * START_BALANCE * len(TWO_TABLES)
STORES = {"accounts": "bank_a", "savings": "bank_b"}
"""Store -> its database, which is also its namespace; the Coordinator is in the first."""
RESTORED = {store: f"{database}_restored" for store, database in STORES.items()}
#: tells a state directory of the demo, which may be removed, from anything else
MARK = ".midtime-demo"
DAGS = ("bank__backup", "bank__restore", "bank__drill", "midtime__sweep")


class DemoError(Exception):
    """A step did not do what it should."""


class Stopped(BaseException):
    """Somebody ended the demo: by SIGTERM, or by closing the terminal."""


@dataclass
class Run:
    """A DAG run that ended well, and between which instants of ``time.monotonic()`` it was."""

    dag_id: str
    run_id: str
    began: float
    ended: float


class Demo:
    """The parts and the steps, in the order of ``run``."""

    def __init__(self, state: Path, screen: Screen) -> None:
        self.state, self.screen = state, screen
        self.destination, self.topologies = state / "restore-points", state / "topologies"
        self.topologies.mkdir(parents=True)
        port = int(os.environ.get("MIDTIME_PORT", "8080"))
        self.stack = Stack(state, topologies_dir=self.topologies, accounts=ACCOUNTS, port=port)

    @property
    def airflow(self) -> LocalAirflow:
        return self.stack.airflow

    @property
    def bank(self) -> Bank:
        return self.stack.multi_bank

    def run(self) -> None:
        """What an operator would do by hand, one step after the other."""
        self.start_databases()
        self.start_airflow()
        self.start_bank()
        backup = self.back_up()
        point = self.airflow.xcom(backup.dag_id, backup.run_id, "publish")
        self.list_restore_points(point)
        self.wait_for_drill(point)
        restore = self.restore_beside(point)
        verified = self.airflow.xcom(restore.dag_id, restore.run_id, "verify")
        in_copy, live = self.count_the_money()
        self.summary(backup, point, verified, in_copy, live)

    def start_databases(self) -> None:
        with self.screen.step("PostgreSQL", "starting the server that will be backed up") as done:
            ((server,),) = self.stack.postgres.execute("SHOW server_version")
            done(f"{server.split()[0]} on 127.0.0.1:{self.stack.postgres.port}, databases [bold]bank_a[/] and [bold]bank_b[/]")
        with self.screen.step("ScalarDB Server", "fetching it, once, into the cache") as done:
            cache.scalardb_jars()
            self.screen.now("creating its tables, starting it and opening the accounts")
            self.stack.multi_bank  # noqa: B018
            self.stack.multi_scalardb_2  # noqa: B018
            done(
                f"{cache.SCALARDB_VERSION}, two of them over both databases; {ACCOUNTS} accounts of {START_BALANCE:,} in each: {TOTAL:,} in all"
            )

    def start_airflow(self) -> None:
        """Before the bank moves: on a small machine a busy bank makes Airflow's start slow."""
        with self.screen.step("Airflow", "starting api-server, scheduler, dag-processor and triggerer") as done:
            self.write_topology()
            for store, database in STORES.items():
                self.stack.connections[f"{store}_db"] = self.stack.postgres.conn_uri(database)
            for dag_id in DAGS:
                self.airflow.wait_dag(dag_id, timeout=120)
            self.write_environment()
            done(
                f"{version('apache-airflow')} at [link={self.airflow.url}]{self.airflow.url}[/link], login {self.login}; look in while this runs"
            )

    @property
    def login(self) -> str:
        return f"admin / {self.airflow.passwords['admin']}"

    def write_topology(self) -> None:
        """The one file that Midtime wants; the databases' addresses and passwords are in Airflow's connections."""
        servers = [self.stack.multi_scalardb.address, self.stack.multi_scalardb_2.address]
        topology = {
            "name": "bank",
            "description": "The demo's bank: two ScalarDB Servers over two PostgreSQL databases.",
            "destination": f"file://{self.destination}",
            "products": [{"kind": "scalardb-server", "endpoints": {"static": servers}}],
            "scalardb": {"coordinators": [{"store": "accounts"}]},
            "stores": [
                {"name": store, "engine": "postgresql", "conn_id": f"{store}_db", "namespaces": [database]}
                for store, database in STORES.items()
            ],
            "pause": {"drain": "5s", "deadline": "15s"},
            "schedule": "0 2 * * *",
            "drill": {"schedule": "0 5 * * 0", "after_backup": True},
            "checks": [
                {"name": "every account is there", "store": store, "sql": f"SELECT count(*) FROM {database}.acct", "expect": ACCOUNTS}
                for store, database in STORES.items()
            ],
        }
        (self.topologies / "bank.yaml").write_text(yaml.safe_dump(topology, sort_keys=False))

    def write_environment(self) -> None:
        """For people: ``. .midtime/demo/env`` and then ``midtime list``."""
        wanted = self.airflow.environment()
        lines = [f"export {name}='{wanted[name]}'" for name in ("AIRFLOW_HOME", "MIDTIME_TOPOLOGIES")]
        lines.append(f"export PATH='{Path(sys.executable).parent}:{self.stack.postgres.bin_dir}':\"$PATH\"")
        (self.state / "env").write_text("\n".join(lines) + "\n")

    def start_bank(self) -> None:
        with self.screen.step("Bank", "transfers begin") as done:
            began = time.monotonic()
            self.bank.start(threads=4, think=0.05)
            poll("transfers", lambda: self.bank.commits >= 100 or None, timeout=60)
            rate = self.bank.commits / (time.monotonic() - began)
            done(f"4 clients move money within and between the databases, {rate:.0f} transfers a second, from here on to the end")

    def back_up(self) -> Run:
        with self.screen.step("Check", "midtime check bank") as done:
            answers = json.loads(self.midtime("check", "bank", "--json"))["checks"]
            done(f"[italic]midtime check bank[/] asked {len(answers)} questions before anything is touched; all answers are good")
        with self.screen.step("Backup", "bank__backup, triggered through the API") as done:
            run = self.follow("bank__backup", self.airflow.trigger("bank__backup"))
            window = self.airflow.xcom(run.dag_id, run.run_id, "pause")
            done(
                f"both servers paused for {1000 * window['seconds_paused']:.0f} ms, both snapshots opened in it; read out while transfers went on"
            )
        return run

    def list_restore_points(self, point: str) -> None:
        with self.screen.step("List", "midtime list bank") as done:
            listed = self.midtime("list", "bank")
            if point not in listed:
                raise DemoError(f"`midtime list bank` does not show {point}:\n{listed}")
            done("[italic]midtime list bank[/]")
        for line in listed.rstrip().splitlines():
            self.screen.line(line.rstrip(), indent=4)

    def wait_for_drill(self, point: str) -> None:
        """Nobody starts it: the backup's asset event does."""
        with self.screen.step("Drill", "bank__drill, started by the backup's asset") as done:
            run_id = poll("a drill that the backup started", self._asset_run, timeout=60)
            run = self.follow("bank__drill", run_id)
            drilled = self.airflow.xcom(run.dag_id, run.run_id, "report")
            if drilled["restore_point"] != point:
                raise DemoError(f"the drill was of {drilled['restore_point']}, not of {point}")
            done("restored into throw-away databases, verified, timed and removed; the backup itself had started it")

    def _asset_run(self) -> str | None:
        runs = self.airflow.runs("bank__drill")
        return next((run["dag_run_id"] for run in runs if run["run_type"] == "asset_triggered"), None)

    def restore_beside(self, point: str) -> Run:
        with self.screen.step("Restore", f"bank__restore, beside the originals as {' and '.join(RESTORED.values())}") as done:
            conf = {"restore_point": point, "targets": RESTORED}
            run = self.follow("bank__restore", self.airflow.trigger("bank__restore", conf))
            done(f"verified, then put beside the originals as [bold]{'[/] and [bold]'.join(RESTORED.values())}[/]")
        return run

    def count_the_money(self) -> tuple[int, int]:
        """Let a second ScalarDB Server read the restored database, and the first the live one once the transfers have ended."""
        with self.screen.step("Count", "another ScalarDB Server reads the restored databases") as done:
            databases = dict(zip(TWO_DATABASES, RESTORED.values(), strict=True))
            with contextlib.closing(
                ScalarDB(self.stack.processes, over_databases(self.stack.postgres, databases), name="scalardb-restored").start()
            ) as second, contextlib.closing(Bank(second.address, ACCOUNTS, TWO_TABLES)) as customers:  # fmt: skip
                in_copy = customers.total()
            self.bank.stop()  # ScalarDB's snapshot isolation lets a reader see one half of a transfer that commits meanwhile
            live = self.bank.total()
            if {in_copy, live} != {TOTAL}:
                raise DemoError(f"money is missing: {in_copy:,} restored, {live:,} live, expected {TOTAL:,}")
            done(f"{in_copy:,} in the restored bank, {live:,} in the live one: not a coin is lost")
        return in_copy, live

    def summary(self, backup: Run, point: str, verified: dict[str, Any], in_copy: int, live: int) -> None:
        shown = json.loads(self.midtime("show", point, "--json"))
        stores, drill = shown["manifest"]["stores"], shown["drills"][-1]
        window = shown["manifest"]["evidence"]
        lasted = backup.ended - backup.began
        gap, usual = (1000 * self.bank.longest_gap(since, since + lasted) for since in (backup.began, backup.began - lasted))
        polls = sum(len(endpoint["polls"]) for endpoint in window["endpoints"])
        files, tables = (sum(len(store[key]) for store in stores) for key in ("artifacts", "tables"))
        rows = sum(store["rows"] for store in shown["stores"])
        lines = {
            "Restore point": f"[bold]{point}[/], state {shown['state']}",
            "Midtime": f"{shown['midtime']}: the middle of the pause, at which no transaction was half done in either database",
            "Pause": f"{1000 * window['seconds_paused']:.0f} ms; {len(window['endpoints'])} endpoints, {polls} polls as evidence in the manifest",
            "Outage": f"longest gap between two of the bank's commits {gap:.0f} ms during the backup, {usual:.0f} ms before it",
            "Size": f"{decimal(shown['bytes'])} in {files} files, each with its SHA-256 in the manifest",
            "Rows": f"{rows:,} in {tables} tables of {len(stores)} databases: accounts, Coordinator, ScalarDB's metadata",
            "RTO": f"{drill['rto_seconds']:.1f} s from the order to restore to a verified database, as drilled",
            "RPO": f"{drill['rpo_seconds']:.1f} s: age of the restore point when the drill began, what a loss just then would have cost",
            "Drill": escape(drill["verdict"]["summary"]),
            "Restore": escape(verified["summary"]),
            "The bank's sum": f"[bold]{in_copy:,}[/] restored, {live:,} live, {TOTAL:,} expected: exact",
        }
        table = Table.grid(padding=(0, 2, 0, 0))
        for label, text in lines.items():
            table.add_row(f"[bold]{label}[/]", text)
        self.screen.console.print("\n[bold underline]What happened[/]\n")
        self.screen.console.print(table)
        self.screen.console.print(f"\nArtifacts, manifest and drill report: {self.destination / 'bank' / point}", soft_wrap=True)

    def follow(self, dag_id: str, run_id: str, timeout: float = 300) -> Run:
        """Until the run is over, with a line for each task that ends; a failed run is an error with the logs of its tasks."""
        began, said = time.monotonic(), set[str]()

        def over() -> str | None:
            state = self.airflow.run_state(dag_id, run_id)
            self._tell(self.airflow.task_instances(dag_id, run_id), dag_id, said)
            return state if state in ("success", "failed") else None

        try:
            state = poll(f"run {run_id} of {dag_id}", over, timeout, every=0.25)
        except StackError as error:
            raise DemoError(f"{error}\n{self.airflow.failure_report(dag_id, run_id)}") from None
        if state == "failed":
            raise DemoError(self.airflow.failure_report(dag_id, run_id))
        return Run(dag_id, run_id, began, time.monotonic())

    def _tell(self, tasks: list[dict[str, Any]], dag_id: str, said: set[str]) -> None:
        for task in sorted(tasks, key=lambda task: task["end_date"] or "9"):
            if task["end_date"] and task["state"] in ("success", "skipped", "failed") and task["task_id"] not in said:
                said.add(task["task_id"])
                self.screen.line(f"{task['task_id']}: {task['state']}, {task['duration'] or 0:.1f} s", indent=4)
        running = [task["task_id"] for task in tasks if task["state"] == "running"]
        self.screen.now(f"{dag_id}, task {', '.join(running)}" if running else dag_id)

    def midtime(self, *arguments: str) -> str:
        """The command line, as a person would use it."""
        command = [str(Path(sys.executable).parent / "midtime"), *arguments]
        done = subprocess.run(command, env=self.airflow.environment(), capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise DemoError(f"midtime {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def state_directory() -> Path:
    return Path(os.environ.get("MIDTIME_STATE") or REPOSITORY / ".midtime").resolve() / "demo"


@contextlib.contextmanager
def only_one(state: Path) -> Iterator[None]:
    """One demo at a time in a state directory, and each begins with an empty one."""
    state.parent.mkdir(parents=True, exist_ok=True)
    with (state.parent / ".demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(f"another demo is running in {state}: end it first") from None
        if state.exists():
            if not (state / MARK).exists():
                raise DemoError(f"{state} was not made by the demo and is not touched: remove it, or set MIDTIME_STATE to another folder")
            shutil.rmtree(state)
        state.mkdir()
        (state / MARK).touch()
        yield


def guard_environment() -> None:
    """What a person has set for other Airflows and other networks must not reach into the demo's."""
    os.environ.pop("AIRFLOW_CONN_BANK_DB", None)
    local = "127.0.0.1,localhost"
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), local]))


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


if __name__ == "__main__":
    sys.exit(main())

"""The parts and the steps, in the order of ``Demo.run``."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import yaml

from tests.stack import cache, mariadb
from tests.stack.airflow import LocalAirflow
from tests.stack.bank import START_BALANCE, Bank
from tests.stack.demo import DemoError
from tests.stack.demo.control import Control, Round
from tests.stack.demo.operator import Operator, Run
from tests.stack.demo.summary import Sums, Told, tell
from tests.stack.mariadb import MariaDB
from tests.stack.processes import poll
from tests.stack.scalardb import Place
from tests.stack.screen import Screen
from tests.stack.stack import IN_MARIADB, IN_POSTGRES, MIXED_TABLES, Stack

ACCOUNTS = 50
TOTAL = ACCOUNTS * START_BALANCE * len(MIXED_TABLES)
#: ScalarDB's namespaces are MariaDB's databases, so a copy that ScalarDB is to read needs a server of its own; PostgreSQL has a name for it
RESTORED, SPARE = f"{IN_POSTGRES}_restored", "spare_mariadb"
DAGS = ("bank__backup", "bank__restore", "bank__drill", "midtime__sweep")


class Demo:
    """What an operator would do by hand, one step after the other."""

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
        return self.stack.mixed_bank

    @cached_property
    def operator(self) -> Operator:
        return Operator(self.airflow, self.screen)

    @cached_property
    def spare(self) -> MariaDB:
        """The empty server that MariaDB's part is restored to."""
        return MariaDB(self.stack.processes, "mariadb-spare").start()  # which the stack ends: its process is one of them

    def run(self) -> None:
        self.start_databases()
        self.start_airflow()
        self.start_bank()
        backup = self.back_up()
        point = str(self.operator.result(backup, "publish"))
        self.list_restore_points(point)
        self.wait_for_drill(point)
        restore = self.restore_beside(point)
        rounds = self.go_without_a_window()
        sums = self.count_the_money()
        shown = json.loads(self.operator.midtime("show", point, "--json"))
        tell(self.screen.console, Told(backup, shown, self.operator.result(restore, "verify"), sums, self.bank, rounds))
        where = self.destination / "bank" / point
        self.screen.console.print(f"\nArtifacts, manifest and drill report: {where}", soft_wrap=True)

    def start_databases(self) -> None:
        with self.screen.step("PostgreSQL", "starting the server that will be backed up") as done:
            ((server,),) = self.stack.postgres.execute("SHOW server_version")
            done(f"{server.split()[0]} on 127.0.0.1:{self.stack.postgres.port}, database [bold]{IN_POSTGRES}[/]")
        with self.screen.step("MariaDB", "fetching it, once, into the cache") as done:
            mariadb.base_dir()
            self.screen.now("starting the server that will be backed up, and an empty one to restore to")
            live, spare = self.stack.mixed_mariadb, self.spare
            done(f"{mariadb.VERSION} on 127.0.0.1:{live.port}, database [bold]{IN_MARIADB}[/]; an empty one to restore to on {spare.port}")
        with self.screen.step("ScalarDB Server", "fetching it, once, into the cache") as done:
            cache.scalardb_jars()
            self.screen.now("creating its tables, starting it and opening the accounts")
            self.stack.mixed_bank  # noqa: B018
            self.stack.mixed_scalardb_2  # noqa: B018
            done(
                f"{cache.SCALARDB_VERSION}, two of them over both databases, the Coordinator in PostgreSQL; "
                f"{ACCOUNTS} accounts of {START_BALANCE:,} in each: {TOTAL:,} in all"
            )

    def start_airflow(self) -> None:
        """Before the bank moves: on a small machine a busy bank makes Airflow's start slow."""
        with self.screen.step("Airflow", "starting api-server, scheduler, dag-processor and triggerer") as done:
            self.write_topology()
            for namespace, place in self.stack.mixed_places.items():
                self.stack.connections[f"{namespace}_db"] = place.conn_uri
            self.stack.connections[SPARE] = self.spare.conn_uri()
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
        places = self.stack.mixed_places
        servers = [self.stack.mixed_scalardb.address, self.stack.mixed_scalardb_2.address]
        topology = {
            "name": "bank",
            "description": "The demo's bank: two ScalarDB Servers over PostgreSQL and MariaDB.",
            "destination": f"file://{self.destination}",
            "products": [{"kind": "scalardb-server", "endpoints": {"static": servers}}],
            "scalardb": {"coordinators": [{"store": IN_POSTGRES}]},
            "stores": [place.store(namespace) for namespace, place in places.items()],
            "schedule": "0 2 * * *",
            "drill": {"schedule": "0 5 * * 0", "after_backup": True},
            "checks": [
                {"name": "every account is there", "store": name, "sql": f"SELECT count(*) FROM {name}.acct", "expect": ACCOUNTS}
                for name in places
            ],
        }
        (self.topologies / "bank.yaml").write_text(yaml.safe_dump(topology, sort_keys=False))

    def write_environment(self) -> None:
        """For people: ``. .midtime/demo/env`` and then ``midtime list``."""
        wanted = self.airflow.environment()
        lines = [f"export {name}='{wanted[name]}'" for name in ("AIRFLOW_HOME", "MIDTIME_TOPOLOGIES")]
        tools = [Path(sys.executable).parent, self.stack.postgres.bin_dir, self.spare.bin_dir]
        lines.append(f"export PATH='{':'.join(map(str, tools))}':\"$PATH\"")
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
            answers = json.loads(self.operator.midtime("check", "bank", "--json"))["checks"]
            done(f"[italic]midtime check bank[/] asked {len(answers)} questions before anything is touched; all answers are good")
        with self.screen.step("Backup", "bank__backup, triggered through the API") as done:
            run = self.operator.run("bank__backup")
            paused = 1000 * self.operator.result(run, "pause")["seconds_paused"]
            done(f"both servers paused for {paused:.0f} ms, both snapshots opened in it; read out while transfers went on")
        return run

    def list_restore_points(self, point: str) -> None:
        with self.screen.step("List", "midtime list bank") as done:
            listed = self.operator.midtime("list", "bank")
            if point not in listed:
                raise DemoError(f"`midtime list bank` does not show {point}:\n{listed}")
            done("[italic]midtime list bank[/]")
        for line in listed.rstrip().splitlines():
            self.screen.line(line.rstrip(), indent=4)

    def wait_for_drill(self, point: str) -> None:
        """Nobody starts it: the backup's asset event does."""
        with self.screen.step("Drill", "bank__drill, started by the backup's asset") as done:
            run_id = poll("a drill that the backup started", self._asset_run, timeout=60)
            drilled = self.operator.result(self.operator.follow("bank__drill", run_id), "report")
            if drilled["restore_point"] != point:
                raise DemoError(f"the drill was of {drilled['restore_point']}, not of {point}")
            done("restored into throw-away databases, verified, timed and removed; the backup itself had started it")

    def _asset_run(self) -> str | None:
        runs = self.airflow.runs("bank__drill")
        return next((run["dag_run_id"] for run in runs if run["run_type"] == "asset_triggered"), None)

    def restore_beside(self, point: str) -> Run:
        with self.screen.step("Restore", "bank__restore, beside the originals") as done:
            run = self.operator.run("bank__restore", {"restore_point": point, "targets": {IN_POSTGRES: RESTORED, IN_MARIADB: SPARE}})
            done(f"verified, then put beside the originals: PostgreSQL's database [bold]{RESTORED}[/], and the empty MariaDB")
        return run

    def go_without_a_window(self) -> list[Round]:
        """What the pause is good for."""
        with self.screen.step("No window", "the same captures, and nobody is paused") as done:
            control, rounds = Control(self.stack, self.state / "control", self.airflow.home), list[Round]()
            with control.sets() as sets:
                for first in (True, False):
                    for found in control.rounds(sets, self.bank, coordinator_first=first):
                        rounds.append(found)
                        self.screen.line(found.line, indent=4)
            torn = sum(found.torn for found in rounds)
            done(f"{torn} of {len(rounds)} sets are torn, and verification says so of each whose sum is wrong")
        return rounds

    def count_the_money(self) -> Sums:
        """Let another ScalarDB Server read the restored databases, and the first the live ones once the transfers have ended."""
        with self.screen.step("Count", "another ScalarDB Server reads the restored databases") as done:
            places = {IN_POSTGRES: Place(self.stack.postgres, RESTORED), IN_MARIADB: Place(self.spare)}
            third = self.stack.scalardb_over(places, "scalardb-restored", tables=False)
            with contextlib.closing(Bank(third.address, ACCOUNTS, MIXED_TABLES)) as customers:
                in_copy = customers.total()
            third.stop()
            self.bank.stop()  # ScalarDB's snapshot isolation lets a reader see one half of a transfer that commits meanwhile
            sums = Sums(in_copy, self.bank.total(), TOTAL)
            if {sums.restored, sums.live} != {TOTAL}:
                raise DemoError(f"money is missing: {sums.restored:,} restored, {sums.live:,} live, expected {TOTAL:,}")
            done(f"{sums.restored:,} in the restored bank, {sums.live:,} in the live one: not a coin is lost")
        return sums

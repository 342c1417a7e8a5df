"""A bank over a PostgreSQL and a MariaDB, of a few rows or of many bytes, under a real ScalarDB Server and a real Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from tests.stack.airflow import REPOSITORY
from tests.stack.processes import poll
from tests.stack.stack import IN_MARIADB, IN_POSTGRES, Stack

ACCOUNTS = 5
"""Of each database: ten rows in all."""
SLOTS = 8
_HOG = """
import time
from airflow.sdk import DAG, task

with DAG("hog", schedule=None):
    for number in range(24):
        @task(task_id=f"hog_{number}")
        def hog():
            time.sleep(8)
        hog()
"""
_BYTES = 550
"""Of one entry, as either database keeps it."""
_TABLE = "CREATE TABLE {namespace}.history (id int PRIMARY KEY, entry varchar(600) NOT NULL)"
_FILL = {  # as many bytes a row as ScalarDB's own records have with their image of before; made on the server, no compression finds more
    "postgresql": "INSERT INTO {namespace}.history SELECT id, {entry} FROM generate_series({first}, {last}) AS made(id)",
    "mysql": "USE {namespace}; INSERT INTO history SELECT seq, {entry} FROM seq_{first}_to_{last}",
}
_ENTRY = "concat({})"
_BATCH = 100_000


@dataclass(frozen=True)
class Seen:
    """One interruption; seconds."""

    outage: float
    """The time without a commit around the middle of the pause."""
    longest: float
    """The longest time without a commit of the whole backup."""
    drain: float = 0.0
    hold: float = 0.0
    captures: float = 0.0

    @property
    def beyond(self) -> float:
        """What neither the drain needed nor the longer of hold and captures."""
        return self.outage - self.drain - max(self.hold, self.captures)


class TwoDatabases:
    """Everything that is measured on, running; the bank is at rest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "topologies").mkdir()
        others = folder / "dags"
        others.mkdir()
        (others / "hog.py").write_text(_HOG)
        self.stack = Stack(folder, topologies_dir=folder / "topologies", accounts=ACCOUNTS, parallelism=SLOTS, settings=_bundles(others))

    def __enter__(self) -> TwoDatabases:
        try:
            self._start()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def _start(self) -> None:
        self.bank = self.stack.mixed_bank
        for namespace, place in self.stack.mixed_places.items():
            self.stack.connections[f"{namespace}_db"] = place.conn_uri
        self._topology("held", "2s")
        self._topology("short", "0s")
        self.airflow = self.stack.airflow
        for dag in ("held__backup", "short__backup", "hog"):
            self.airflow.wait_dag(dag, timeout=120)

    def _topology(self, name: str, hold: str) -> None:
        keys = {
            "name": name,
            "destination": f"file://{self.folder}/points",
            "products": [{"kind": "scalardb-server", "endpoints": {"static": [self.stack.mixed_scalardb.address]}}],
            "scalardb": {"coordinators": [{"store": IN_POSTGRES}]},
            "stores": [{**place.store(namespace), "compression": "none"} for namespace, place in self.stack.mixed_places.items()],
            "pause": {"hold": hold, "drain": "5s", "deadline": "20s"},
            "drill": {"after_backup": False},
        }
        assert self.stack.topologies_dir is not None
        (self.stack.topologies_dir / f"{name}.yaml").write_text(yaml.safe_dump(keys))

    def grow(self, gigabytes: float) -> None:
        """Either database gets a table of that size beside the accounts, in their namespace; no transaction ever touches it."""
        self.stack.mixed_mariadb.execute("SET GLOBAL innodb_buffer_pool_size = 1500 * 1024 * 1024")
        rows = int(gigabytes * 1e9 / _BYTES)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda namespace: self._fill(namespace, rows), self.stack.mixed_places))

    def _fill(self, namespace: str, rows: int) -> None:
        place = self.stack.mixed_places[namespace]
        number = "id::text" if place.engine == "postgresql" else "seq"
        entry = _ENTRY.format(", ".join(f"md5(concat({number}, '{part}'))" for part in range(16)))
        place.execute(_TABLE.format(namespace=namespace))
        for first in range(1, rows + 1, _BATCH):
            last = min(first + _BATCH - 1, rows)
            place.execute(_FILL[place.engine].format(namespace=namespace, entry=entry, first=first, last=last))
        if place.engine == "postgresql":
            place.execute("VACUUM (ANALYZE)")

    def sizes(self) -> str:
        """As the servers count."""
        ((in_postgres,),) = self.stack.postgres.execute("SELECT pg_database_size(current_database())", IN_POSTGRES)
        query = f"SELECT sum(data_length + index_length) FROM information_schema.tables WHERE table_schema = '{IN_MARIADB}'"
        ((in_mariadb,),) = self.stack.mixed_mariadb.execute(query)
        return f"PostgreSQL {in_postgres / 1e6:,.0f} MB, MariaDB {float(in_mariadb) / 1e6:,.0f} MB"

    def window(self, topology: str) -> Seen:
        """One backup by Airflow."""
        began = time.monotonic()
        run = self.airflow.trigger(f"{topology}__backup")
        state = self.airflow.wait_run(f"{topology}__backup", run, timeout=600)
        assert state == "success", self.airflow.failure_report(f"{topology}__backup", run)
        time.sleep(0.5)
        evidence: dict[str, Any] = self.airflow.xcom(f"{topology}__backup", run, "pause")
        pause = evidence["endpoints"][0]["pause"]
        drain, captures = (pause["answered_ms"] - pause["sent_ms"]) / 1000, sum(said["seconds"] for said in evidence["captures"].values())
        middle = datetime.fromisoformat(evidence["choice"]["midtime"]).timestamp() - time.time() + time.monotonic()
        return Seen(self._gap_around(middle), self.bank.longest_gap(began), drain, evidence["limits"]["hold"], captures)

    def command_line(self, hold: float) -> Seen:
        """``scalar-admin -c pause``, a sleep, ``scalar-admin -c unpause``. Its drain is not known: part of what is beyond."""
        longest = self._paused_by_hand(lambda: time.sleep(hold))
        return Seen(longest, longest, hold=hold)

    def practice(self) -> Seen:
        """What is done today: pause by the vendor's command line, both dumps at once, unpause when they are complete."""
        longest = self._paused_by_hand(self._dump_both)
        return Seen(longest, longest)

    def _paused_by_hand(self, work: Any) -> float:
        began = time.monotonic()
        self.stack.mixed_scalardb.admin("pause")
        try:
            work()
        finally:
            self.stack.mixed_scalardb.admin("unpause")
        time.sleep(0.5)
        return self.bank.longest_gap(began)

    def _dump_both(self) -> None:
        """Uncompressed, as Midtime does here."""
        with (self.folder / "pg.sql").open("wb") as one, (self.folder / "maria.sql").open("wb") as other:
            running = [self._pg_dump(one), self._mariadb_dump(other)]
            assert [process.wait(600) for process in running] == [0, 0]

    def _pg_dump(self, sink: Any) -> subprocess.Popen[bytes]:
        server = self.stack.postgres
        command = [server.bin_dir / "pg_dump", f"--host={server.host}", f"--port={server.port}", f"--username={server.user}", IN_POSTGRES]
        return subprocess.Popen(command, stdout=sink, env={**os.environ, "PGPASSWORD": server.password})

    def _mariadb_dump(self, sink: Any) -> subprocess.Popen[bytes]:
        server = self.stack.mixed_mariadb
        login = [f"--host={server.host}", f"--port={server.port}", f"--user={server.user}", "--disable-ssl-verify-server-cert"]
        command = [server.bin_dir / "mariadb-dump", "--no-defaults", *login, "--single-transaction", "--databases", IN_MARIADB, "scalardb"]
        return subprocess.Popen(command, stdout=sink, env={**os.environ, "MYSQL_PWD": server.password})

    @contextmanager
    def full_executor(self) -> Iterator[None]:
        """24 tasks of 8 s on 8 slots."""
        run = self.airflow.trigger("hog")
        poll("a full executor", lambda: [*self.airflow.task_states("hog", run).values()].count("running") >= SLOTS or None, 60)
        try:
            yield
        finally:
            self.airflow.wait_run("hog", run, timeout=120)

    def _gap_around(self, instant: float) -> float:
        return next(later - earlier for earlier, later in pairwise(sorted(self.bank.commit_times)) if earlier <= instant < later)


def _bundles(others: Path) -> dict[tuple[str, str], str]:
    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    folders = {"dags-folder": REPOSITORY / "dags", "other-dags": others}
    bundles = [{"name": name, "classpath": local, "kwargs": {"path": str(path)}} for name, path in folders.items()]
    return {("dag_processor", "dag_bundle_config_list"): json.dumps(bundles)}

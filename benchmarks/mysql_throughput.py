"""Throughput and memory of a backup of MariaDB against a bare ``mariadb-dump`` piped to the same compressor; see docs/benchmarks.md.

Run as ``python -m benchmarks.mysql_throughput``.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.stack.mariadb import MariaDB
from tests.stack.processes import Processes

from benchmarks.support import measuring
from benchmarks.support.measuring import Cost, median
from midtime.stores.mysql import tools
from midtime.stores.mysql.connections import Login

ROOT = Path(__file__).parents[1]
GOAL = 0.9
"""The peer's wall time over ours."""
MEMORY_BYTES = 20_000_000
"""Ten times the rows may cost the worker so much more."""
DISTURBED = 0.10
SETTINGS: dict[str, str | int] = {"innodb-buffer-pool-size": "2G", "innodb-log-file-size": "1G"}
_SCHEMA = """
CREATE DATABASE {name}; CREATE DATABASE {name}_coordinator; CREATE DATABASE {name}_scalardb;
CREATE TABLE {name}_scalardb.metadata (full_table_name varchar(128), column_name varchar(128), PRIMARY KEY (full_table_name, column_name));
CREATE TABLE {name}_coordinator.state (tx_id varchar(64) PRIMARY KEY, tx_state int, tx_created_at bigint);
CREATE TABLE {name}.acct (
    id int PRIMARY KEY, balance int, owner longtext,
    tx_id longtext, tx_state int, tx_version int, tx_prepared_at bigint, tx_committed_at bigint,
    before_balance int, before_owner longtext,
    before_tx_id longtext, before_tx_state int, before_tx_version int, before_tx_prepared_at bigint, before_tx_committed_at bigint);
"""
# Half of the accounts were transferred to or from since they were opened, so they have an image of before.
_ROWS = """
INSERT INTO {name}.acct SELECT seq, floor(rand() * 100000), concat('owner ', floor(rand() * 1000000)), uuid(), 3, 1 + seq % 2,
    1763700000000 + floor(rand() * 86400000), 1763700000004 + floor(rand() * 86400000), if(seq % 2, 1000, NULL),
    if(seq % 2, concat('owner ', seq), NULL), if(seq % 2, uuid(), NULL), if(seq % 2, 3, NULL), seq % 2,
    if(seq % 2, 1763600000000, NULL), if(seq % 2, 1763600000004, NULL) FROM {name}.seq_1_to_{rows};
INSERT INTO {name}_coordinator.state SELECT uuid(), 3, 1763700000000 + seq FROM {name}.seq_1_to_{tenth};
"""


class Bench:
    """A server with two sets of databases, one with a tenth of the rows."""

    def __init__(self, server: MariaDB, folder: Path, options: argparse.Namespace) -> None:
        self.server, self.folder, self.options = server, folder, options
        self.out = folder / "out"
        for name, rows in (("bank", options.rows), ("tenth", options.rows // 10)):
            server.execute(_SCHEMA.format(name=name))
            server.execute(_ROWS.format(name=name, rows=rows, tenth=max(rows // 10, 1)))

    def peer(self) -> dict[str, Any]:
        """The same client with the same options, and the same compressor in a process of its own."""
        login = Login(self.server.host, self.server.port, self.server.user, self.server.password, {})
        clients = tools.Clients(self.server.bin_dir / "mariadb-dump", self.server.bin_dir / "mariadb", "mariadb-dump", (11, 4))
        databases = ["bank", "bank_coordinator", "bank_scalardb"]
        dump = shlex.join(map(str, tools.dump_command(clients, login, databases)))
        pack = shlex.join([sys.executable, "-m", "benchmarks.support.pack", self.options.compression])
        command = f"set -o pipefail; {dump} | {pack} > {self.out}/peer.sql.gz"
        return self._measured("bare", lambda: measuring.run(["bash", "-c", command], tools.environment(login), cwd=ROOT))

    def ours(self, name: str) -> dict[str, Any]:
        """Capture and copy of the store."""
        store = {"engine": "mysql", "compression": self.options.compression, "namespaces": [name]}
        coordinators = [{"store": "accounts", "namespace": f"{name}_coordinator"}]
        scalardb = {"coordinators": coordinators, "metadata_namespace": f"{name}_scalardb"}
        env = {
            "PATH": f"{self.server.bin_dir}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_ACCOUNTS_DB": self.server.conn_uri(),
        }
        argv = measuring.copy_once(self.out, store, scalardb=scalardb)
        return self._measured(f"midtime, {name}", lambda: measuring.run(argv, env, cwd=ROOT))

    def _measured(self, way: str, work: Any) -> dict[str, Any]:
        measuring.wait_for_quiet(self.options.quiet)
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        server, machine = self._server_cpu(), measuring.machine_cpu()
        cost: Cost = work()
        server, machine = self._server_cpu() - server, measuring.machine_cpu() - machine
        said: dict[str, Any] = json.loads(cost.output.splitlines()[-1]) if cost.output else {}
        others = max(0.0, (machine - server - cost.cpu) / cost.wall / (os.cpu_count() or 1))
        found = {"way": way, "wall": said.get("wall", cost.wall), "cpu": said.get("cpu", cost.cpu), "server_cpu": server, "others": others}
        found |= {"peak": said.get("worker_peak", 0) + cost.tools_peak, "bytes": said.get("bytes", 0)}
        print(
            f"{way:16} {found['wall']:7.2f} s  client CPU {found['cpu']:6.2f} s  server CPU {server:6.2f} s  others {others:4.0%}",
            flush=True,
        )
        return found

    def _server_cpu(self) -> float:
        return measuring.process_cpu(self.server.pid)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000, help="accounts; the Coordinator gets a tenth more (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compression", default="gzip", help="of both sides (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where server and dumps go; default: the system's folder for temporary files")
    parser.add_argument("--quiet", type=float, default=0.0, metavar="S", help="before each run wait up to so long for a quiet machine")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--check", action="store_true", help="exit with 1 when the goal is missed")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="midtime-bench-", dir=options.folder))
    processes = Processes(folder)
    server = MariaDB(processes, settings=SETTINGS)
    try:
        rounds = _rounds(Bench(server.start(), folder, options), options.rounds)
    finally:
        server.close()
        processes.stop()
        shutil.rmtree(folder, ignore_errors=True)
    good = _report(rounds)
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=2) + "\n")
    return 1 if options.check and not good else 0


def _rounds(on: Bench, count: int) -> list[dict[str, dict[str, Any]]]:
    """Every way once a round; every second round backwards, so that none always comes after the same one."""
    ways = {"peer": on.peer, "ours": lambda: on.ours("bank"), "tenth": lambda: on.ours("tenth")}
    return [{name: ways[name]() for name in (list(ways) if number % 2 else list(reversed(ways)))} for number in range(count)]


def _report(rounds: list[dict[str, dict[str, Any]]]) -> bool:
    quiet = [each for each in rounds if max(each["peer"]["others"], each["ours"]["others"]) <= DISTURBED]
    pairs = quiet or rounds
    ratio = median([each["peer"]["wall"] / each["ours"]["wall"] for each in pairs])
    more = median([each["ours"]["peak"] - each["tenth"]["peak"] for each in rounds])
    said = f"{len(pairs)} {'undisturbed' if quiet else 'DISTURBED'} pairs"
    print(f"\n{'PASS' if ratio >= GOAL else 'FAIL'}  throughput, peer = 1: {ratio:.3f}, goal >= {GOAL} ({said})")
    print(f"{'PASS' if more <= MEMORY_BYTES else 'FAIL'}  peak memory, all rows against a tenth: {more / 1e6:+.1f} MB, goal < 20 MB")
    return ratio >= GOAL and more <= MEMORY_BYTES


if __name__ == "__main__":
    sys.exit(main())

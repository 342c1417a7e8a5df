"""Medusa, the usual tool for Cassandra's backups, in a virtualenv of its own: its requirements and Airflow's exclude each other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from datetime import datetime
from functools import partial
from pathlib import Path

from tests.stack import cache
from tests.stack.cassandra_node import CassandraNode

from benchmarks.support.ring import Ring

VERSION = "0.31.0"
_INI = """[cassandra]
config_file = {node.files.config}
nodetool_executable = {node.files.nodetool}
nodetool_port = {node.jmx_port}
nodetool_flags =
resolve_ip_addresses = False
use_sudo = False

[storage]
storage_provider = local
bucket_name = backups
base_path = {base}
fqdn = {node.host}
transfer_max_bandwidth = 100GB/s
"""
"""``concurrent_transfers`` and all else as it comes."""
_SAID = re.compile(r"^\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3})\] \w+: (.*)$", re.MULTILINE)
_STEPS = {
    "begun": "Starting backup preparations",
    "snapshot": "Creating snapshot",
    "transfer": "Listing already backed up files",
    "clear": "Cleaning up Cassandra snapshot",
    "index": "Updating backup index",
    "done": "Done with backup",
}
"""What it says when a step begins."""


class Medusa:
    """One of it for each node, as they run on the nodes; all three back up at once into one folder."""

    def __init__(self, ring: Ring, folder: Path) -> None:
        self.ring, self.folder, self.base = ring, folder, folder / "store"
        self._program = _virtualenv() / "bin" / "medusa"

    def backup(self, name: str) -> dict[str, float]:
        """One backup of the whole cluster by ``medusa backup``: its own snapshots, differential.

        :return: seconds: of all of it (``whole``), without the start of the programs (``work``), and of its steps on the slowest node
        """
        self.base.mkdir(parents=True, exist_ok=True)
        started, begun = time.monotonic(), time.time()
        running = [self._start(node, name) for node in self.ring.nodes]
        said = [process.communicate()[1] for process in running]
        whole = time.monotonic() - started
        if any(process.returncode for process in running) or not all(_STEPS["done"] in text for text in said):
            raise RuntimeError("medusa failed:\n" + "\n".join(text[-2000:] for text in said))
        steps = [_steps(text) for text in said]
        return {
            "whole": whole,
            "start": max(each["begun"] for each in steps) - begun,
            "work": max(each["done"] for each in steps) - min(each["begun"] for each in steps),
            "snapshot": max(each["transfer"] - each["snapshot"] for each in steps),
            "transfer": max(each["clear"] - each["transfer"] for each in steps),
            "clear": max(each["index"] - each["clear"] for each in steps),
        }

    def _start(self, node: CassandraNode, name: str) -> subprocess.Popen[str]:
        own = self.folder / node.host
        own.mkdir(parents=True, exist_ok=True)
        ini = own / "medusa.ini"
        ini.write_text(_INI.format(node=node, base=self.base))
        # It marks in TMPDIR that it runs, for it runs once on a machine.
        env = {**os.environ, "TMPDIR": str(own), "HOME": str(own)}
        command = [self._program, "-v", "--config-file", ini, "backup", "--backup-name", name, "--mode", "differential"]
        return subprocess.Popen([str(word) for word in command], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _steps(said: str) -> dict[str, float]:
    """When each step began."""
    lines = [(datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f").timestamp(), what) for at, what in _SAID.findall(said)]
    return {step: next(at for at, what in lines if what.startswith(words)) for step, words in _STEPS.items()}


def _virtualenv() -> Path:
    return cache.entry(f"medusa-{VERSION}-py{sys.version_info.major}.{sys.version_info.minor}", partial(_install, VERSION))


def _install(version: str, directory: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--relocatable", "--python", sys.executable, directory], check=True)
    python = directory / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, f"cassandra-medusa=={version}"], check=True)

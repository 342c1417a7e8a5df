"""Midtime's side: backups of the cluster, step by step as the tasks of a backup do them, each upload in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.support.ring import NAME, STORE, Ring
from benchmarks.support.upload_node import load
from midtime.catalog import Catalog
from midtime.model.instants import restore_point_id, utc_now
from midtime.model.restore_point import Origin, RestorePoint, StoreBackup
from midtime.model.topology import Topology
from midtime.stores.base import Shelf
from midtime.stores.cassandra.store import CassandraStore

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


class Midtime:
    """The store and its destination.

    :param folder: of the destination
    """

    def __init__(self, ring: Ring, folder: Path) -> None:
        self.ring, self.folder, self.base = ring, folder, folder / "store"
        self._body = ring.topology(self.base)
        self.topology = Topology.model_validate(self._body)
        self.store = CassandraStore(self.topology, STORE)
        load(folder / "probe")

    def capture(self) -> tuple[float, float]:
        """Seconds of a capture, and of the arming before it; no snapshot is left."""
        started = time.monotonic()
        with self.store.arm() as armed:
            arming = time.monotonic() - started
            capture = armed.fix()
        self.store.forget(capture.tag)
        return capture.seconds, arming

    def backup(self, name: str) -> dict[str, Any]:
        """One backup of the whole cluster, published.

        :return: seconds, as ``Medusa.backup`` has them, and what was sent
        """
        started = time.monotonic()
        workers = [self._worker(node.host) for node in self.ring.nodes]
        try:
            for worker in workers:
                _line(worker, "ready")
            begun = time.monotonic()
            done = self._backup(name, workers)
            ended = time.monotonic()
        finally:
            for worker in workers:
                worker.kill()
                worker.communicate()
        return {"start": begun - started, "work": ended - begun, "whole": ended - started, **done}

    def _backup(self, name: str, workers: list[subprocess.Popen[str]]) -> dict[str, Any]:
        begun, seconds = utc_now(), dict[str, float]()
        point = restore_point_id(begun, name)
        catalog = Catalog(self.topology.destination, NAME)
        shelf = Shelf(catalog.folder(point), STORE)
        with ExitStack() as resources:
            capture = _timed(seconds, "snapshot", lambda: resources.enter_context(self.store.capture()))
            _timed(seconds, "prove", lambda: self.store.prove(capture, shelf))
            done = _timed(seconds, "transfer", lambda: _upload(workers, point))
            part = _timed(seconds, "collect", lambda: self.store.collect(shelf, capture.midtime, 0))
        _timed(seconds, "publish", lambda: self._publish(catalog, point, begun, part))
        _timed(seconds, "clear", lambda: self.store.forget(capture.tag))
        sent = {key: sum(each[key] for each in done) for key in ("files", "bytes", "sent_files", "sent_bytes", "cpu")}
        return {**seconds, **sent, "peak": max(each["peak"] for each in done)}

    def _worker(self, label: str) -> subprocess.Popen[str]:
        argv = ["--topology", json.dumps(self._body), "--store", STORE, "--node", label, "--probe", str(self.folder / label)]
        command = [sys.executable, "-m", "benchmarks.support.upload_node", *argv]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def _publish(self, catalog: Catalog, point: str, begun: Any, part: StoreBackup) -> None:
        catalog.publish(
            RestorePoint(
                id=point, topology=NAME, topology_digest=self.topology.digest, midtime=part.midtime, started_at=begun,
                finished_at=utc_now(), stores=(part,), evidence={"id": "benchmark"},
                origin=Origin(midtime_version="0", dag_id="benchmark", run_id=point, host="worker"),
            )
        )  # fmt: skip


def _upload(workers: list[subprocess.Popen[str]], point: str) -> list[dict[str, Any]]:
    """Let them all go at once, until the last one is ready."""
    for worker in workers:
        assert worker.stdin
        worker.stdin.write(f"{point}\n")
        worker.stdin.flush()
    return [json.loads(_line(worker, "{")) for worker in workers]


def _line(worker: subprocess.Popen[str], begin: str) -> str:
    """The next line that begins so; Airflow says things, too."""
    assert worker.stdout
    for line in worker.stdout:
        if line.startswith(begin):
            return line
    raise RuntimeError("an upload has failed")


def _timed(seconds: dict[str, float], step: str, work: Callable[[], T]) -> T:
    started = time.monotonic()
    try:
        return work()
    finally:
        seconds[step] = time.monotonic() - started

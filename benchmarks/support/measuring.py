"""What a command cost: wall time, CPU time, memory, and how much of the machine somebody else used meanwhile."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Cost:
    """One command, with all that it started."""

    wall: float
    cpu: float
    """Of the command and its descendants."""
    tools_peak: int
    """Bytes: the peaks of its descendants, added up."""
    output: str


def run(argv: Sequence[str | Path], env: Mapping[str, str], *, cwd: Path) -> Cost:
    """Run a command to its end; its standard output should be small."""
    started = time.monotonic()
    process = subprocess.Popen([str(each) for each in argv], env={**os.environ, **env}, cwd=cwd, stdout=subprocess.PIPE, text=True)
    try:
        with _Watch(process.pid) as watch:
            assert process.stdout is not None
            output = process.stdout.read()
            _, status, used = os.wait4(process.pid, 0)
            wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    except BaseException:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    if process.returncode:
        raise RuntimeError(f"{argv[0]} ended with {process.returncode}: {output}")
    return Cost(wall, used.ru_utime + used.ru_stime, watch.peak, output)


def copy_once(folder: Path, store: Mapping[str, object], **topology: object) -> list[str | Path]:
    """The command that backs up once by the store of these keys, into this folder."""
    keys = ["--store", json.dumps(store), "--topology", json.dumps(topology)]
    return [sys.executable, "-m", "benchmarks.support.copy_once", "--folder", folder, *keys]


class _Watch:
    """Looks at a process's descendants ten times a second and remembers the high-water mark of each."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._peaks: dict[int, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    @property
    def peak(self) -> int:
        return sum(self._peaks.values())

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.1):
            for pid in descendants(self._root):
                if _program(pid) not in ("", _program(self._root)):  # else not yet the tool, but a fork that is about to become it
                    self._peaks[pid] = max(high_water(pid), self._peaks.get(pid, 0))


def high_water(pid: int | str) -> int:
    """Peak resident bytes; 0 for one that is gone. ``ru_maxrss`` will not do: a process inherits that of the one that started it."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def _program(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return ""


def descendants(root: int) -> list[int]:
    """Children, their children and so on."""
    found: list[int] = []
    for pid in _children(root):
        found += [pid, *descendants(pid)]
    return found


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for task in Path(f"/proc/{pid}/task").iterdir() for each in (task / "children").read_text().split()]
    except OSError:
        return []


def server_cpu(postmaster: int) -> float:
    """Seconds that a PostgreSQL server has used; its finished sessions count once it has buried them."""
    return _stat(postmaster, ended_too=True) + sum(_stat(pid) for pid in _children(postmaster))


def process_cpu(pid: int) -> float:
    """Seconds that one process has used."""
    return _stat(pid)


def _stat(pid: int, *, ended_too: bool = False) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11 : 15 if ended_too else 13])) / _TICK


def machine_cpu() -> float:
    """Seconds that all cores were busy since the machine started."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICK


def wait_for_quiet(patience: float, *, busy: float = 0.15, look: float = 3.0) -> None:
    """Wait until others use little of the machine, but not for ever."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before = machine_cpu()
        time.sleep(look)
        if machine_cpu() - before < busy * look * (os.cpu_count() or 1):
            return


def median(values: Sequence[float]) -> float:
    """Of nothing, not a number."""
    return statistics.median(values) if values else float("nan")

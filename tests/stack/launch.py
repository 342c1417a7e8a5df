"""The guard between an owner and one child: whatever the child started ends when the child, or the owner, ends.

Run as ``python -I -S launch.py MARKER STOP_SIGNAL GRACE USER -- command…`` (an empty user changes nothing), with a pipe as
standard input that the owner keeps open.
PR_SET_PDEATHSIG alone would not do: it is tied to the parent's *thread*, and it does not reach grandchildren such as
the workers of Airflow's LocalExecutor. Here the end of the pipe says that the owner is gone, however it died, and being
the "subreaper" of everything below makes orphans come back as children, so none can slip away by a double fork.
Only the standard library is imported: this program is started once for every child.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def is_marked(pid: int, marker: str) -> bool:
    """Whether the process was started with the environment entry ``marker``, and is not just a zombie."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return marker.encode() in environment.split(b"\0")


def marked(marker: str) -> list[int]:
    """Every other process that carries the marker."""
    return [pid for pid in _pids() if pid != os.getpid() and is_marked(pid, marker)]


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return 0
    state, parent = stat.rpartition(")")[2].split()[:2]
    return 0 if state in "ZX" else int(parent)


def ended(pid: int) -> bool:
    """Whether it is gone, or a zombie."""
    return _parent(pid) == 0


def descendants(root: int) -> list[int]:
    """Every living process below ``root``."""
    parents = {pid: _parent(pid) for pid in _pids()}
    found: list[int] = []
    generation = [root]
    while generation:
        generation = [pid for pid, parent in parents.items() if parent in generation]
        found += generation
    return found


def kill(pid: int, marker: str | None = None) -> None:
    """SIGKILL through a pidfd, so that a number used again meanwhile is not hit."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if marker is None or is_marked(pid, marker):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def kill_marked(marker: str, within: float = 5.0) -> list[int]:
    """Kill what carries the marker until nothing does; answers what is left, normally nothing."""
    end = time.monotonic() + within
    while (left := marked(marker)) and time.monotonic() < end:
        for pid in left:
            kill(pid, marker)
        time.sleep(0.02)
    return left


def _gone(marker: str, within: float, action: Callable[[int], None] = lambda _: None) -> bool:
    """Wait until nothing is left below this process, doing ``action`` to each that is, again and again.

    Both signs are needed: a descendant may have written over its environment, a marked one may have lost its parent.
    """
    end = time.monotonic() + within
    while left := descendants(os.getpid()) + marked(marker):
        if time.monotonic() > end:
            return False
        for pid in left:
            action(pid)
        _reap()
        time.sleep(0.02)
    return True


def _terminate(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _die_with_parent() -> None:
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _as_user(name: str) -> dict[str, Any]:
    """The arguments with which the child alone gives up root; the guard keeps it, to be able to end the child."""
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []} if name else {}


def _wait(child: subprocess.Popen[bytes], wake: int) -> bool:
    """Return when the child has ended (False), or is to be ended (True)."""
    owner = os.getppid()
    while child.poll() is None:
        ready, _, _ = select.select([0, wake], [], [], 0.2)
        # the parent is looked at too: a fork of the owner would keep the pipe open
        if (0 in ready and not os.read(0, 1)) or os.getppid() != owner:
            return True
        if wake in ready and signal.SIGTERM in os.read(wake, 64):
            return True
    return False


def _end(child: subprocess.Popen[bytes], marker: str, stop_signal: int, grace: float) -> None:
    """The stop signal to the child's group; then SIGTERM to all below, for Airflow's tasks have groups of their own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, stop_signal)
    if not _gone(marker, grace / 3):
        for pid in descendants(os.getpid()) + marked(marker):
            _terminate(pid)
        _gone(marker, grace * 2 / 3)


def main(argv: list[str]) -> int:
    """Start the command, say its process id on standard output, stay until nothing of it is left."""
    marker, stop_signal, grace, user, _, *command = argv
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake, wake_up = os.pipe()
    os.set_blocking(wake_up, False)
    signal.set_wakeup_fd(wake_up, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    # standard error is the child's log: nothing else may go to our standard output, where the owner reads the number
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True, preexec_fn=_die_with_parent, **_as_user(user)
    )
    os.write(1, f"{child.pid}\n".encode())
    os.close(1)
    if _wait(child, wake):
        _end(child, marker, int(stop_signal), float(grace))
        code = 0
    else:
        code = child.returncode
    _gone(marker, 5, kill)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

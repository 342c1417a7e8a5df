"""What is said of commands that end badly, and of files that change, the same for every access."""

from __future__ import annotations

import signal
import threading

from midtime.errors import CopyError, StoreUnreachableError, ToolError

KEPT = 2000
"""Bytes of a command's complaints that are kept, the last ones."""
_NOT_FOUND = 127


class LastWords:
    """The end of what a command wrote to its standard error. Thread-safe."""

    def __init__(self) -> None:
        self._kept, self._lock = b"", threading.Lock()

    def add(self, chunk: bytes) -> None:
        """It wrote something more."""
        with self._lock:
            self._kept = (self._kept + chunk[-KEPT:])[-KEPT:]

    def __str__(self) -> str:
        with self._lock:
            return self._kept.decode(errors="replace").strip()


def ended(name: str, label: str, code: int, words: LastWords) -> ToolError:
    """A command ended with an exit code that means no success; negative: by a signal."""
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    said = str(words)
    if code == _NOT_FOUND and not said:
        return missing(name, label, "not found")
    return ToolError(f"node {label}: {name} {how}{': ' + said if said else ' and said nothing'}", fix="see to what it says on the node")


def deaf(name: str, label: str) -> ToolError:
    """A command no longer reads what is sent to it; waiting for it tells why."""
    return ToolError(f"node {label}: {name} has ended, or reads no further", fix="see to what it says on the node")


def missing(name: str, label: str, why: str) -> ToolError:
    """A command cannot be started."""
    return ToolError(f"node {label}: {name} does not run: {why}", fix="install it there, or correct its path in the topology")


def silent(name: str, label: str, seconds: float) -> StoreUnreachableError:
    """A command neither took nor gave anything for too long."""
    return StoreUnreachableError(
        f"node {label}: {name} did nothing for {seconds:g} seconds, and was given up",
        fix="see what it waits for on the node, then try again",
    )


def still_running(name: str, label: str, seconds: float) -> StoreUnreachableError:
    """A command did not end in time."""
    return StoreUnreachableError(
        f"node {label}: {name} has not ended within {seconds:g} seconds, and was given up",
        fix="see what it waits for on the node, then try again",
    )


def changed(label: str, what: str) -> CopyError:
    """A file is no longer what it was when we began to read it."""
    return CopyError(f"node {label}: {what} changed or vanished while it was read", fix="see who writes there; then try again")

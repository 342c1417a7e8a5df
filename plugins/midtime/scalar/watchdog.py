"""The watchdog as the pausing task sees it: a small process that unpauses when the task dies, or at the deadline.

The program itself is :mod:`midtime.scalar.watchdog_process`. They share a pipe: its end of file is the task's death, of whatever signal.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from midtime.errors import ArmingError
from midtime.scalar import journals
from midtime.scalar.endpoint import Endpoint

READY_SECONDS = 20.0
SEND_SECONDS = 1.0
"""How long the task waits for a watchdog that does not read: one that stands still must not keep gates closed."""
_PROGRAM = "import json, sys; setup = json.loads(sys.stdin.buffer.raw.readline()); sys.path[:] = setup['path']\n" + (
    "from midtime.scalar.watchdog_process import main; main(setup)"
)
_KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Watchdog:
    """
    A watchdog process.

    :param endpoints: everything that may be paused
    :param journal: file in which it writes down what it did, one JSON object a line
    :param patience: seconds after the deadline for which it tries to reach an endpoint that does not answer
    """

    def __init__(self, endpoints: Sequence[Endpoint], *, journal: Path, patience: float = 600.0) -> None:
        self.journal = journal
        self.lost = False
        """Whether it was found dead."""
        self._setup = {
            "path": sys.path,
            "endpoints": [endpoint.to_dict() for endpoint in endpoints],
            "journal": str(journal),
            "patience": patience,
        }
        self._pipe: int | None = None
        self._unsent = b""

    def start(self) -> None:
        """Start it and wait until it listens. Before the first RPC, and before anything is paused.

        :raises ArmingError: it does not start, or there is no safe place for its journal
        """
        journals.make_folder(self.journal.parent)
        reading, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            starter = subprocess.Popen(
                [sys.executable, "-u", "-c", _PROGRAM],
                stdin=reading,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: value for name, value in os.environ.items() if name in _KEPT},
            )
        finally:
            os.close(reading)
        try:
            self._send(self._setup, READY_SECONDS)
            said = _first_line(starter, READY_SECONDS)
            if said != b"ready\n":
                raise ArmingError(
                    "the watchdog does not start; nothing was paused", fix=f"run {sys.executable} on the worker and import grpc"
                )
        except BaseException:
            self.close()
            starter.kill()
            raise
        finally:
            starter.stdout.close() if starter.stdout else None
            starter.wait()

    def about_to_pause(self, settled: dict[str, float], deadline: float) -> None:
        """See :class:`~midtime.scalar.keeper.Keeper`.

        :raises ArmingError: it is dead; nothing may be paused
        """
        self._send({"pausing": settled, "deadline": deadline}, SEND_SECONDS)
        if self.lost or self._unsent:
            raise ArmingError(
                "the watchdog is gone or stands still; these endpoints were not paused",
                fix="see who kills or stops processes on the worker; start a new run",
            )

    def answered(self, addresses: Iterable[str]) -> None:
        """See :class:`~midtime.scalar.keeper.Keeper`."""
        self._send({"answered": list(addresses)})

    def not_ours(self, addresses: Iterable[str]) -> None:
        """See :class:`~midtime.scalar.keeper.Keeper`."""
        self._send({"not_ours": list(addresses)})

    def stay(self) -> None:
        """See :class:`~midtime.scalar.keeper.Keeper`."""
        self._send({"stay": True})

    def close(self) -> None:
        """Let go of the pipe: it ends, after unpausing what is still ours, if anything."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def unpaused(self) -> set[str]:
        """See :class:`~midtime.scalar.keeper.Keeper`."""
        return journals.opened(self.journal)

    def _send(self, message: dict[str, Any], seconds: float = 0.0) -> None:
        """Write as much as the pipe takes within ``seconds``; the rest goes out before the next message, in order."""
        if self._pipe is None:
            return
        pipe = select.poll()  # not select(): a worker may have more than 1,024 files open
        pipe.register(self._pipe, select.POLLOUT)
        self._unsent += json.dumps(message).encode() + b"\n"
        until = time.monotonic() + seconds
        try:
            while self._unsent and pipe.poll(1000 * max(0.0, until - time.monotonic())):
                self._unsent = self._unsent[os.write(self._pipe, self._unsent) :]
        except BrokenPipeError:
            self.lost = True


def _first_line(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """What it says, or nothing when it does not say it in time."""
    assert process.stdout is not None  # noqa: S101 - for the type checker
    said = select.poll()
    said.register(process.stdout, select.POLLIN)
    return process.stdout.readline() if said.poll(1000 * seconds) else b""

"""A data directory of ours and the server on it: who runs it, how it is started, found again, and stopped.

A server is only ever taken for ours by its working directory, which PostgreSQL sets to its data directory: a process id alone may be
somebody else's by now.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from midtime.errors import RestoreFailedError, StoreAccessError
from midtime.stores.postgresql_pitr.programs import ServerPrograms

LOG = "server.log"
DATA = "data"
START_SECONDS = 600
STOP_SECONDS = 60
# Runs before the server, in its process: gives up root, asks the kernel to kill it when we die (if it is on a leash), and changes nothing else.
# Python's own user=... would fork, which gRPC's threads do not survive. The leash comes last: changing the user undoes it.
_AS_OWNER = """
import ctypes, os, sys
uid, gid, parent = map(int, sys.argv[1:4])
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(gid), os.setuid(uid)
os.umask(0o077)
if parent:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != parent:
        sys.exit("whoever started it is gone")
try:
    os.execv(sys.argv[4], sys.argv[4:])
except OSError as error:
    sys.exit(f"error: {sys.argv[4]} does not run: {error.strerror}")
"""


@dataclass(frozen=True, slots=True)
class Owner:
    """The system user that a restored server runs as: PostgreSQL refuses to run as root."""

    uid: int
    gid: int

    def give(self, path: Path) -> None:
        """Hand a folder and all in it over."""
        if os.geteuid() == 0:
            for each in (path, *path.rglob("*")):
                os.chown(each, self.uid, self.gid, follow_symlinks=False)


def owner_of(folder: Path) -> Owner:
    """Ourselves; when we are root, whoever the folder belongs to.

    :raises StoreAccessError: it is not there, not for us to write, or root's
    """
    try:
        said = folder.stat()
    except OSError as error:
        raise StoreAccessError(f"data_dir {folder} cannot be used on this worker: {error.strerror}", fix="create it") from error
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise StoreAccessError(f"data_dir {folder} is no folder that the worker's user may write to", fix="let it, or choose another")
    if os.geteuid() != 0:
        return Owner(os.geteuid(), os.getegid())
    if said.st_uid == 0:
        raise StoreAccessError(
            f"data_dir {folder} belongs to root, and PostgreSQL refuses to run as root",
            fix="chown it to the user that the restored server shall run as",
        )
    return Owner(said.st_uid, said.st_gid)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A folder of ours: the data directory, the server's log and socket, and what the restore needs beside them.

    :param folder: ``<data_dir>/<name>``
    """

    folder: Path
    owner: Owner
    programs: ServerPrograms

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.folder / DATA

    @property
    def log(self) -> Path:
        """What the server writes to its standard error."""
        return self.folder / LOG

    @property
    def ready(self) -> bool:
        """Whether it takes connections; while it recovers it takes none."""
        with suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return len(lines) > 7 and lines[7].strip() == "ready" and server_in(self.data) is not None
        return False

    @contextmanager
    def on_leash(self) -> Iterator[subprocess.Popen[bytes]]:
        """The server while the block lasts; it dies with us, also when we are killed. At the end it is shut down in order."""
        self.log.touch(mode=0o600)
        self.owner.give(self.log)
        with self.log.open("ab") as log, subprocess.Popen(
            self._as_owner([self.programs.postgres, "-D", self.data], leash=True),
            env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
        ) as process:  # fmt: skip
            try:
                yield process
                process.send_signal(signal.SIGINT)
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired as error:
                raise RestoreFailedError(f"the server in {self.data} does not stop", fix=f"see {self.log}") from error
            finally:
                if process.poll() is None:
                    kill_all_in(self.data)

    def start(self) -> None:
        """Start the server for good: it outlives us.

        :raises RestoreFailedError: it does not come up
        """
        argv: list[str | Path] = [self.programs.pg_ctl, "start", "-w", f"-t{START_SECONDS}", "-D", self.data, "-l", self.log]
        said = subprocess.run(
            self._as_owner([*argv, "-p", self.programs.postgres]),
            env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", check=False,
        )  # fmt: skip
        if said.returncode or not self._comes_up():
            raise RestoreFailedError(
                f"the server in {self.data} does not start: {said.stdout.strip()[-500:]}\n{self.last_words()}", fix=f"see {self.log}"
            )

    def _comes_up(self) -> bool:
        """Wait on: after a crash ``pg_ctl`` takes a server that still recovers for one that is up, when hot standby is off."""
        end = time.monotonic() + START_SECONDS
        while not self.ready and server_in(self.data) and time.monotonic() < end:
            time.sleep(0.05)
        return self.ready

    def stop(self) -> None:
        """Shut the server down in order; one that does not run is as good.

        :raises RestoreFailedError: it does not end
        """
        if (server := server_in(self.data)) is None:
            return
        server.send_signal(signal.SIGINT)
        try:
            server.wait(STOP_SECONDS)
        except psutil.TimeoutExpired as error:
            raise RestoreFailedError(f"the server in {self.data} does not stop", fix=f"see {self.log}; stop it, then run again") from error

    def run(self, argv: Sequence[str | Path], failed: Callable[[str], Exception]) -> None:
        """Run another program as the owner, to its end."""
        said = subprocess.run(
            self._as_owner(argv, leash=True),
            env=_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/", check=False,
        )  # fmt: skip
        if said.returncode:
            raise failed(said.stdout.strip()[-1000:])

    def last_words(self) -> str:
        """What the log says of an end: its last fatal lines, or its last lines."""
        with suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()
            fatal = [line for line in lines if any(mark in line for mark in (" FATAL: ", " PANIC: ", "error: "))]
            return "\n".join((fatal or lines)[-5:])
        return ""

    def _as_owner(self, argv: Sequence[str | Path], *, leash: bool = False) -> list[str]:
        before = [self.owner.uid, self.owner.gid, os.getpid() if leash else 0]
        return [sys.executable, "-I", "-S", "-c", _AS_OWNER, *map(str, before), *map(str, argv)]


def server_in(data: Path) -> psutil.Process | None:
    """The server that runs on a data directory, if one does."""
    with suppress(OSError, ValueError, IndexError, psutil.Error):
        process = psutil.Process(int((data / "postmaster.pid").read_text().splitlines()[0]))
        if process.cwd() == str(data.resolve()) and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def processes_in(data: Path) -> list[psutil.Process]:
    """Everything that works in a data directory: the server, its children, and what they run."""
    found, wanted = [], str(data.resolve())
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd().removesuffix(" (deleted)") == wanted and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def kill_all_in(data: Path) -> None:
    """End everything that works in a data directory that nobody needs any more; idempotent.

    :raises RestoreFailedError: something does not end
    """
    if server := server_in(data):
        with suppress(psutil.Error):
            server.send_signal(signal.SIGQUIT)  # lets go of its shared memory, which SIGKILL would leave behind
            server.wait(10)
    end = time.monotonic() + 10
    while left := processes_in(data):
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        if time.monotonic() > end:
            raise RestoreFailedError(f"processes {[each.pid for each in left]} in {data} do not end", fix="end them, then run again")
        time.sleep(0.05)


def _environment() -> dict[str, str]:
    # Nothing of ours: the worker's environment may hold secrets, and the server runs as somebody else.
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}

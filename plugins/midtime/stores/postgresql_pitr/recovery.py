"""A base backup made into a server that stands at a named restore point."""

from __future__ import annotations

import os
import shutil
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from midtime.catalog.bases import Base
from midtime.errors import ArtifactError, MidtimeError, RestoreFailedError, StagingSpaceError
from midtime.stores import compression
from midtime.stores.base import Say
from midtime.stores.postgresql_pitr.base_backup import FILE
from midtime.stores.postgresql_pitr.cluster import Cluster
from midtime.stores.postgresql_pitr.config import Doors, Goal, write_config
from midtime.stores.postgresql_pitr.spool import Spool

SPOOL = "wal"
SAY_EVERY = 15.0
"""Seconds."""
_NEVER_REACHED = "recovery ended before configured recovery target was reached"
_WRONG_USE = "use another restore point"


def unpack(cluster: Cluster, base: Base, fetched: Path, say: Say) -> None:
    """Make the data directory of a fetched base, and compare it with the base's own manifest where the program for it is packaged.

    :raises ArtifactError: it is no base backup, or not as its manifest says
    :raises StagingSpaceError: the disk is full
    """
    method = str(base.details["compression"])
    cluster.data.mkdir(mode=0o700)
    packed = fetched / (FILE + compression.suffix(method))
    try:
        with tarfile.open(
            fileobj=cast(IO[bytes], _Unpacked(compression.decompressed(packed, method))), mode="r|", bufsize=1 << 20
        ) as archive:
            for member in archive:
                _extract(archive, member, cluster.data)
    except tarfile.TarError as error:
        raise ArtifactError(f"base {base.id} cannot be unpacked: {error}", fix=_WRONG_USE) from error
    except OSError as error:
        raise StagingSpaceError(f"cannot unpack base {base.id} to {cluster.data}: {error}", fix="make room there") from error
    packed.unlink()
    cluster.data.chmod(0o700)
    cluster.owner.give(cluster.folder)
    if verifier := cluster.programs.verifier:
        cluster.run([verifier, "--no-parse-wal", "--quiet", cluster.data], lambda said: _altered(base, said))
    say(f"base {base.id} unpacked" + (", as its manifest says" if cluster.programs.verifier else ""))


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Files and folders, and only below this one. Python's own filters came with 3.11.4; Debian 12 has 3.11.2."""
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts or not (member.isfile() or member.isdir()):
        raise ArtifactError(f"the base holds {member.name!r}, which is no file of a data directory", fix=_WRONG_USE)
    path = folder.joinpath(*parts)
    if member.isdir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif content := archive.extractfile(member):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with content, open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as target:
            shutil.copyfileobj(content, target, 1 << 20)


def _altered(base: Base, said: str) -> MidtimeError:
    return ArtifactError(f"base {base.id} is not as its manifest says: {said}", fix=_WRONG_USE)


def recover(cluster: Cluster, doors: Doors, base: Base, goal: Goal, spool: Spool | None, say: Say) -> None:
    """Replay WAL up to the named point, and no further; the server is promoted there, and shut down.

    The server is on a leash: when this process is killed, it dies too.

    :param spool: where the segments come from; None where the user's own command fetches them
    :raises RestoreFailedError: the point was not reached
    """
    write_config(cluster.data, doors, base.details["settings"], goal)
    (cluster.data / "recovery.signal").touch()
    cluster.owner.give(cluster.data)
    with _serving(spool), cluster.on_leash() as process:
        asked, said_at = -1, time.monotonic()
        while not cluster.ready:
            if process.poll() is not None:
                raise _failed(cluster, goal, spool)
            if spool and spool.reached != asked and time.monotonic() - said_at > SAY_EVERY:
                asked, said_at = spool.reached, time.monotonic()
                say(f"replaying segment {asked + 1}")
            time.sleep(0.05)
    if f'recovery stopping at restore point "{goal.point}"' not in cluster.log.read_text(errors="replace"):
        raise RestoreFailedError(f"the server in {cluster.data} does not say that it stopped at {goal.point}", fix=f"see {cluster.log}")
    say(f"recovered up to restore point {goal.point}")


def _failed(cluster: Cluster, goal: Goal, spool: Spool | None) -> MidtimeError:
    if spool and spool.error:
        return spool.error
    words = cluster.last_words()
    if _NEVER_REACHED in words:
        return RestoreFailedError(f"the WAL that was found ends before restore point {goal.point}:\n{words}", fix=_WRONG_USE)
    return RestoreFailedError(f"the recovery to restore point {goal.point} ended:\n{words}", fix=f"see {cluster.log} if it is still there")


@contextmanager
def _serving(spool: Spool | None) -> Iterator[None]:
    if spool is None:
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=spool.serve, args=(stop,), name="wal", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class _Unpacked:
    """Chunks as a file to read from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        while not self._rest:
            if (chunk := next(self._chunks, None)) is None:
                return b""
            self._rest = chunk
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

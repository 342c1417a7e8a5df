"""Journals of watchdogs: what each did, on the worker, for whoever comes after it.

They lie in a folder that everybody may write beside, such as ``/tmp``: what is not ours is not believed, and never waited for.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from midtime.errors import ArmingError

UNPAUSED = "unpaused"
FOUND_OPEN = "found open"
"""Somebody else opened it, or it was never closed."""
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A FIFO that lies there in a file's place keeps nobody waiting."""


def make_folder(folder: Path) -> None:
    """Make the folder for journals, or find that it is there and only for us.

    :raises ArmingError: it cannot be made, or is somebody else's
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _ours(folder):
            raise _refusal(folder, "it is not a folder that only we can write to", "remove it, and find out who made it;")
        folder.chmod(0o700)
    except OSError as error:
        raise _refusal(folder, error.strerror or str(error), "") from None


def write(journal: Path, said: dict[str, Any]) -> None:
    """Add a line.

    :raises OSError: the disk is full, or what lies there is no file of ours
    """
    number = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _SAFELY, 0o600)
    with open(number, "a") as file:
        _require_ours(number)
        file.write(json.dumps(said) + "\n")


def read(journal: Path) -> Iterator[dict[str, Any]]:
    """Its lines, as far as they are whole; none if it is not there, or not ours."""
    with suppress(OSError):
        if not _ours(journal.parent):
            return
        number = os.open(journal, os.O_RDONLY | _SAFELY)
        with open(number, errors="replace") as file:
            _require_ours(number)
            for line in file:
                with suppress(ValueError):  # being written, or cut by a full disk
                    if isinstance(said := json.loads(line), dict):
                        yield said


def opened(journal: Path) -> set[str]:
    """Addresses that this watchdog has opened or found open: whoever pauses them since is somebody else."""
    return {str(said.get("endpoint")) for said in read(journal) if said.get("did") in (UNPAUSED, FOUND_OPEN)}


def forget(folder: Path, *, before: float) -> None:
    """Remove journals that nobody has written to since.

    :param before: ``time.time()``
    """
    with suppress(OSError):
        for journal in folder.glob("watchdog-*.jsonl") if _ours(folder) else ():
            if journal.lstat().st_mtime < before:
                journal.unlink()


def _ours(folder: Path) -> bool:
    """Whether it is a folder, no link, and nobody else can write to it."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022


def _require_ours(number: int) -> None:
    found = os.fstat(number)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError("no file of ours")


def _refusal(folder: Path, why: str, fix: str) -> ArmingError:
    return ArmingError(
        f"the watchdog has no place for its journal in {folder}: {why}; nothing was paused",
        fix=f"{fix} give the worker's user a writable folder of its own there (mode 0700), or set TMPDIR to another one".strip(),
    )

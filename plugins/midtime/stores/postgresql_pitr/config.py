"""The configuration of a restored server: ours from the first line to the last. The original's files stay beside it, as ``*.original``.

Nothing of the original's must come to life in a copy: it archives nothing, replicates nothing, loads no library (a scheduler, for one), and
talks to nobody. While it is verified it has no network address at all: whoever verifies comes through a socket in a folder that only the
server's user can enter, and is known by the system user that he is. No password is needed, which may have been another one at that time.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from midtime.errors import StoreAccessError

FILES = ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf")
"""Of these the second is the original's alone; the server reads it after ours, so ours is empty."""
ORIGINAL = ".original"
HOST = "127.0.0.1"
LONGEST_SOCKET = 107
"""Bytes of a socket's path that the kernel takes."""
_ALWAYS = {
    "unix_socket_permissions": "0700",
    "ssl": "off",
    "archive_mode": "off",
    "hot_standby": "off",
    "primary_conninfo": "",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "lc_messages": "C",
    "logging_collector": "off",
    "log_destination": "stderr",
    "max_wal_size": "4GB",
}


@dataclass(frozen=True, slots=True)
class Doors:
    """Who may come in, and where."""

    folder: Path
    """Of the socket."""
    port: int
    login: str
    """The database user that the verification is."""
    open: bool = False
    """On the loopback address, for everybody who has a password."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a recovery ends."""

    point: str
    restore_command: str


def write_config(data: Path, doors: Doors, settings: Mapping[str, str], goal: Goal | None = None) -> None:
    """Put our files in place of those that are there; the first time, those are kept.

    :param settings: the original's that matter, by name
    :param goal: for a server that is to recover
    """
    for name in FILES:
        path, kept = data / name, data / f"{name}{ORIGINAL}"
        if path.exists() and not kept.exists():
            path.rename(kept)
    contents = [_settings(doors, settings, goal), "", _hba(doors), _ident(doors)]
    for name, content in zip(FILES, contents, strict=True):
        draft = data / f"{name}.new"
        draft.write_text(content)
        draft.chmod(0o600)
        draft.replace(data / name)


def _settings(doors: Doors, settings: Mapping[str, str], goal: Goal | None) -> str:
    said = {**settings, **_ALWAYS}
    said |= {"listen_addresses": HOST if doors.open else "", "port": str(doors.port), "unix_socket_directories": str(doors.folder)}
    if goal:
        said |= {"restore_command": goal.restore_command, "recovery_target_name": goal.point, "recovery_target_action": "promote"}
        said |= {"recovery_target_timeline": "current"}
    head = "# Written by Midtime for a restored server; the original's files lie beside this one.\n"
    return head + "".join(f"{name} = {_quoted(value)}\n" for name, value in said.items())


def _hba(doors: Doors) -> str:
    lines = [f"local all {_name(doors.login)} peer map=midtime"]
    lines += [f"host all all {HOST}/32 md5  # which takes SCRAM passwords, too"] if doors.open else []
    return "\n".join(lines) + "\n"


def _ident(doors: Doors) -> str:
    return f"midtime {_name(worker_user())} {_name(doors.login)}\n"


def worker_user() -> str:
    """The system user that we are.

    :raises StoreAccessError: it has no name, and then no server can know us by it
    """
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise StoreAccessError(f"the worker's user {os.geteuid()} has no name on this machine", fix="add it to /etc/passwd") from None


def require_plain(text: str, what: str) -> str:
    """Refuse what would not survive PostgreSQL's configuration files, or a shell.

    :raises StoreAccessError: it would not
    """
    if any(letter in text for letter in "\"'\\$`%\n\r") or not text.isprintable():
        raise StoreAccessError(f"{what} {text!r} has letters that a configuration file cannot hold", fix="choose another")
    return text


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _name(name: str) -> str:
    return f'"{require_plain(name, "the user")}"'  # quoted, "all" is a name like any other

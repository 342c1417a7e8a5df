"""``pg_dump`` and ``pg_restore``: found, compared with the server, run, and their result checked for completeness."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from midtime.errors import CopyError, MidtimeError, RestoreFailedError, StagingSpaceError, ToolError
from midtime.stores.base import Say
from midtime.stores.processes import candidates, run_tool, version_of

COMPRESSIONS = ("zstd", "lz4", "gzip", "6", "none", "0")
"""Best first: what ``auto`` tries. Before version 16 ``pg_dump`` knows levels only."""
LOCK_WAIT_MS = 10_000
"""A DDL statement that waits for our snapshot's locks, and pg_dump that waits for it, would wait for ever: PostgreSQL cannot see that circle."""
FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_NO_ROOM = re.compile(r"No space left on device|File too large|Disk quota exceeded")
_TABLE_BEGUN = re.compile(r'dumping contents of table "(.+)"$')
_SUPERUSERS = re.compile(r"\d+; \d+ \d+ (COMMENT - EXTENSION|EVENT TRIGGER|COMMENT - EVENT TRIGGER|PUBLICATION|COMMENT - PUBLICATION) ")
"""A service creates extensions in its own name; event triggers and publications of all tables are a superuser's."""
_TOC_ENTRY = re.compile(r"^(?P<id>\d+); \d+ \d+ (?P<rest>.+)$")


@dataclass(frozen=True, slots=True)
class Clients:
    """One folder's client tools."""

    pg_dump: Path
    pg_restore: Path
    version: tuple[int, ...]

    @property
    def version_text(self) -> str:
        """As ``18.6``."""
        return ".".join(map(str, self.version))


def find_clients(server: int, *, folder: str | None = None) -> Clients:
    """The first client tools that are new enough.

    :param server: the server's version as libpq numbers it, e.g. 180006
    :param folder: the topology's ``client_path``
    :raises ToolError: there are none, or all are older than the server: such a ``pg_dump`` would refuse, or miss what it does not know
    """
    major = server // 10000
    older: list[str] = []
    for pg_dump in candidates("pg_dump", folder=folder, patterns=FOLDERS):
        pg_restore = pg_dump.with_name("pg_restore")
        try:
            version = version_of(pg_dump)
        except ToolError as error:
            older.append(error.message)  # a broken installation hides no good one
            continue
        if not pg_restore.exists():
            older.append(f"{pg_dump} has no pg_restore beside it")
        elif version[0] < major:
            older.append(f"{pg_dump} is version {version[0]}")
        else:
            return Clients(pg_dump, pg_restore, version)
    if older:
        raise ToolError(f"the server is PostgreSQL {major}, but " + ", ".join(older), fix=_install(major))
    raise ToolError(f"there is no pg_dump in {folder or 'PATH'}", fix=_install(major))


def _install(major: int) -> str:
    return f"install postgresql-client-{major} on the worker (packages.txt), or name its folder in client_path"


def choose_compression(clients: Clients, wanted: str) -> str:
    """A ``--compress`` value that these tools can write *and* read.

    :param wanted: the topology's ``compression``: ``auto``, or a method with an optional level
    :raises ToolError: this build lacks it
    """
    if wanted != "auto":
        if not _supports(clients.pg_dump, wanted):
            raise ToolError(f"{clients.pg_dump} cannot compress with {wanted}", fix="set compression: auto, or install a build that can")
        return wanted
    return next((method for method in COMPRESSIONS if _supports(clients.pg_dump, method)), COMPRESSIONS[-1])


def _supports(pg_dump: Path, compression: str) -> bool:
    # Checked before it connects or writes, so a folder that cannot exist makes a probe without effect.
    argv: list[str | Path] = [pg_dump, "-Fd", f"--compress={compression}", "-f", "/dev/null/midtime", "-d", "host=/dev/null"]
    shown = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False, env={**os.environ, "LC_ALL": "C"}).stderr
    return not re.search(r"compression|invalid value|out of range", shown)


@dataclass(frozen=True, slots=True)
class DumpRequest:
    """What to dump, from which snapshot, how."""

    snapshot: str
    jobs: int
    compression: str
    tables: int


def dump(clients: Clients, request: DumpRequest, folder: Path, *, env: Mapping[str, str], say: Say) -> None:
    """Write a directory-format dump of the whole database as of an exported snapshot.

    :param folder: must not exist
    :raises CopyError: ``pg_dump`` failed
    :raises StagingSpaceError: the disk is full
    """
    argv: list[str | Path] = [clients.pg_dump, "--format=directory", f"--jobs={request.jobs}", f"--snapshot={request.snapshot}"]
    argv += [f"--compress={request.compression}", "--no-password", "--verbose", f"--lock-wait-timeout={LOCK_WAIT_MS}", f"--file={folder}"]

    begun = 0

    def on_line(line: str) -> None:
        nonlocal begun
        if match := _TABLE_BEGUN.search(line):
            begun += 1
            say(f"dumping table {begun} of {request.tables}: {match[1]}")

    run_tool(argv, env=env, failed=_dump_failed, on_line=on_line)


def _dump_failed(tail: str) -> MidtimeError:
    shown = _without_chatter(tail)
    if _NO_ROOM.search(tail):
        return StagingSpaceError(
            f"the staging disk filled up during pg_dump:\n{shown}", fix="make room, or set MIDTIME_STAGING to a larger disk"
        )
    return CopyError(f"pg_dump failed:\n{shown}", fix="read its last lines above; the next run starts afresh")


def restore(clients: Clients, folder: Path, *, jobs: int, owners: bool, env: Mapping[str, str]) -> str:
    """Read a directory-format dump into the (empty) database that ``env`` names.

    :param owners: keep owners and privileges; their roles must exist, and the login must be a member of the owners
    :return: what the server says of that which a superuser only may create, where it let us not; it is no data
    :raises RestoreFailedError: any other statement failed
    """
    argv: list[str | Path] = [clients.pg_restore, "--no-password", f"--dbname={env['PGDATABASE']}"]
    argv += [] if owners else ["--no-owner", "--no-privileges"]
    lists = _split(clients, folder)
    run_tool([*argv, "--exit-on-error", f"--jobs={jobs}", *lists[:1], folder], env=env, failed=_restore_failed)
    if not lists:
        return ""
    try:  # some services let their administrator do it: nobody but they knows
        run_tool([*argv, *lists[1:], folder], env=env, failed=_restore_failed)
    except RestoreFailedError as error:
        return error.message
    return ""


def _split(clients: Clients, folder: Path) -> tuple[str, ...]:
    """Options for two calls: for what everybody may create, then for what perhaps only a superuser may; none if there is nothing of that."""
    listed = _listed(clients, folder).splitlines(keepends=True)
    special = [line for line in listed if _SUPERUSERS.match(line)]
    if not special:
        return ()
    lists = {"everybody.list": [line for line in listed if not _SUPERUSERS.match(line)], "superuser.list": special}
    for name, lines in lists.items():
        (folder / name).write_text("".join(lines), errors="surrogateescape")
    return tuple(f"--use-list={folder / name}" for name in lists)


def _restore_failed(tail: str) -> MidtimeError:
    return RestoreFailedError(f"pg_restore failed:\n{_without_chatter(tail)}", fix="read its last lines above; nothing was put in place")


def _without_chatter(tail: str) -> str:
    lines = tail.splitlines()
    telling = [line for line in lines if re.search(r"error|fatal|detail|hint|warning|killed by|exit code", line, re.IGNORECASE)]
    return "\n".join(telling or lines)


def _listed(clients: Clients, folder: Path) -> str:
    argv: list[str | Path] = [clients.pg_restore, "-l", folder]
    listed = subprocess.run(argv, capture_output=True, text=True, errors="surrogateescape", check=False, env={**os.environ, "LC_ALL": "C"})
    if listed.returncode:
        raise CopyError(f"pg_restore cannot list the dump: {listed.stderr.strip()}", fix="run the backup again")
    return listed.stdout


def check_complete(clients: Clients, folder: Path, tables: Sequence[tuple[str, str]]) -> None:
    """Prove that a dump holds the data of every table of the snapshot: ``pg_dump``'s exit code alone has lied before.

    :param tables: (schema, name) of every table that the snapshot shows
    :raises CopyError: the table of contents is unreadable, or a table or its file is missing
    """
    entries = [(_plain(match["rest"]), match["id"]) for line in _listed(clients, folder).splitlines() if (match := _TOC_ENTRY.match(line))]
    files = {path.name.partition(".")[0] for path in folder.iterdir()}
    missing = [f"{schema}.{name}" for schema, name in tables if _data_id(entries, schema, name) not in files]
    if missing:
        raise CopyError(f"the dump lacks the data of {', '.join(missing[:10])} ({len(missing)} tables)", fix="run the backup again")
    # Names are ambiguous in the listing: a table must not pass for another.
    held = sum(rest.startswith("TABLE DATA ") and number in files for rest, number in entries)
    if held < len(tables):
        raise CopyError(f"the dump holds the data of {held} tables, the snapshot shows {len(tables)}", fix="run the backup again")


def _data_id(entries: Sequence[tuple[str, str]], schema: str, name: str) -> str | None:
    # The line ends with the owner, which may hold blanks like the names before it.
    prefix = _plain(f"TABLE DATA {schema} {name} ")
    return next((number for rest, number in entries if rest.startswith(prefix)), None)


def _plain(text: str) -> str:
    """As the listing has it: line breaks are blanks there, and other letters than ASCII's stand in the database's encoding."""
    return re.sub(r"[^\x20-\x7e]+", "?", re.sub(r"[\r\n]", " ", text))

"""``mariadb-dump``, ``mysqldump`` and their clients: found, compared with the server, and told what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from midtime.errors import CopyError, MidtimeError, RestoreFailedError, ToolError
from midtime.stores.mysql.connections import Login
from midtime.stores.processes import candidates, version_line

_FOLDERS = ("/usr/local/mysql*/bin", "/usr/local/mariadb*/bin", "/opt/homebrew/opt/mysql*/bin", "/opt/homebrew/opt/mariadb*/bin")
_NAMES = {"mariadb-dump": ("mariadb-dump", "mysqldump"), "mysqldump": ("mysqldump",)}
"""Files in which a client may be. MariaDB's packages call theirs ``mysqldump`` as well."""
_CLIENTS = {"mariadb-dump": ("mariadb", "mysql"), "mysqldump": ("mysql",)}
_VERSIONS = (r"(\d+(?:\.\d+)+)-MariaDB", r"Distrib (\d+(?:\.\d+)+)", r"Ver (\d+(?:\.\d+)+)")
"""Best first: what stands behind ``Ver`` was the client's own version once, and told nothing."""
_DUMP = (
    "--single-transaction",
    "--skip-lock-tables",
    "--quick",
    "--complete-insert",  # the names of a row's columns stand before it
    "--extended-insert",
    "--hex-blob",  # bytes that are no text survive every client's character set
    "--default-character-set=utf8mb4",
    "--no-tablespaces",  # would need the privilege PROCESS
    "--skip-triggers",
    "--skip-add-locks",
    "--skip-add-drop-table",
    "--skip-disable-keys",
    "--max-allowed-packet=1G",
)
"""Views, triggers, routines and events are not left to the dump client: two families write them in too many ways (ADR 9)."""
_MARIADB_CLIENT = ("--loose-skip-print-query-on-error", "--loose-sandbox")
"""A statement that fails has somebody's rows in it, which belong into no log; and nothing in a dump runs a program or reads a file."""
SILENCE = 600
"""Seconds without a byte after which a dump client is taken to wait for somebody's lock, its snapshot open all the time."""
_SOURCE_DATA = (8, 0, 26)
"""The first of Oracle's clients that calls a master a source."""
_ORACLE = ("--column-statistics=0", "--set-gtid-purged=OFF")


@dataclass(frozen=True, slots=True)
class Clients:
    """One folder's client tools."""

    dump: Path
    client: Path
    family: str
    """``mariadb-dump`` or ``mysqldump``: who made it, whatever the file is called."""
    version: tuple[int, ...]

    @property
    def version_text(self) -> str:
        """As ``mariadb-dump 11.4.5``."""
        return f"{self.family} {'.'.join(map(str, self.version))}"


def find_clients(*, mariadb: bool, server: tuple[int, int], wanted: str = "auto", folder: str | None = None) -> Clients:
    """The first client tools of the wanted family that are new enough.

    :param mariadb: the server's family; ``auto`` follows it
    :param server: the server's major and minor version
    :param wanted: the topology's ``client``: ``auto``, ``mysqldump`` (Oracle's) or ``mariadb-dump``
    :param folder: the topology's ``client_path``
    :raises ToolError: there are none, or all are older than the server
    """
    family = wanted if wanted != "auto" else "mariadb-dump" if mariadb else "mysqldump"
    same = (family == "mariadb-dump") == mariadb
    passed: list[str] = []
    for path in (path for name in _NAMES[family] for path in candidates(name, folder=folder, patterns=_FOLDERS)):
        try:
            clients = _clients(path, family)
        except ToolError as error:
            passed.append(error.message)  # a broken installation hides no good one
            continue
        if same and clients.version[:2] < server:
            passed.append(f"{path} is {clients.version_text}")
        else:
            return clients
    what = f"the server is {'MariaDB' if mariadb else 'MySQL'} {'.'.join(map(str, server))}, and "
    found = ", ".join(dict.fromkeys(passed)) or f"there is no {family} in {folder or 'PATH'}"
    package = "mariadb-client" if family == "mariadb-dump" else "mysql-client"
    raise ToolError(what + found, fix=f"install a {package} as new as the server on the worker, or name its folder in client_path")


def _clients(dump: Path, family: str) -> Clients:
    shown = version_line(dump)
    if ("mariadb" in shown.lower()) != (family == "mariadb-dump"):
        raise ToolError(f"{dump} is not {family}", fix="")
    match = next((found for each in _VERSIONS if (found := re.search(each, shown))), None)
    if match is None:
        raise ToolError(f"{dump} --version printed {shown.strip()!r}, no version", fix="")
    client = next((path for name in _CLIENTS[family] if (path := dump.with_name(name)).exists()), None)
    if client is None:
        raise ToolError(f"{dump} has no {_CLIENTS[family][0]} beside it", fix="")
    return Clients(dump, client, family, tuple(int(part) for part in match[1].split(".")))


def dump_command(
    clients: Clients, login: Login, databases: Sequence[str], *, views: Iterable[str] = (), positioned: bool = False
) -> list[str | Path]:
    """A dump of the tables of all databases in one transaction.

    :param views: ``database.view``, each of them left out
    :param positioned: whether the dump says, in a comment, where its snapshot is in the binary log
    """
    family = _ORACLE if clients.family == "mysqldump" else ()
    said = [_position_option(clients)] if positioned else []
    left_out = [f"--ignore-table={view}" for view in views]
    return [clients.dump, *_connection(clients, login), *_DUMP, *family, *said, *left_out, "--databases", "--", *databases]


def _position_option(clients: Clients) -> str:
    return "--source-data=2" if clients.family == "mysqldump" and clients.version >= _SOURCE_DATA else "--master-data=2"


def compares_names(clients: Clients, login: Login) -> bool:
    """Whether the client compares the name in the server's certificate with the host that it is told: it must be told the real one then."""
    return {"--ssl-verify-server-cert", "--ssl-mode=VERIFY_IDENTITY"}.intersection(_tls(clients, login.extra)) != set()


def restore_command(clients: Clients, login: Login) -> list[str | Path]:
    """A client that executes what it reads and stops at the first error."""
    options = ("--batch", "--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--skip-reconnect")
    family = _MARIADB_CLIENT if clients.family == "mariadb-dump" else ()
    return [clients.client, *_connection(clients, login), *options, *family]


def environment(login: Login) -> dict[str, str]:
    """Where the password goes: not into arguments, not into a file that a killed task would leave."""
    return {"MYSQL_PWD": login.password}


def _connection(clients: Clients, login: Login) -> list[str]:
    # First: nobody's my.cnf changes what a backup is. TCP, because the driver knows no other way: both must meet the same server.
    where = [f"--user={login.user}", f"--host={login.host}", f"--port={login.port}", "--protocol=TCP"]
    return ["--no-defaults", *where, *_tls(clients, login.extra)]


def _tls(clients: Clients, extra: dict[str, object]) -> list[str]:
    """What the driver does with these extras: encrypted where the server can, verified where an authority is named."""
    mariadb = clients.family == "mariadb-dump"
    if extra.get("ssl_disabled"):
        return ["--skip-ssl" if mariadb else "--ssl-mode=DISABLED"]
    files = [f"--ssl-{part}={extra[f'ssl_{part}']}" for part in ("ca", "cert", "key") if extra.get(f"ssl_{part}")]
    identity, chain = bool(extra.get("ssl_verify_identity")), bool(extra.get("ssl_verify_cert"))
    if mariadb:  # whose clients compare the host's name whenever they verify
        return [*files, "--ssl-verify-server-cert" if identity or chain else "--skip-ssl-verify-server-cert"]
    mode = "VERIFY_IDENTITY" if identity else "VERIFY_CA" if chain else "PREFERRED"
    return [*files, f"--ssl-mode={mode}"]


def dump_failed(tail: str) -> MidtimeError:
    """The error of a dump client that ended badly."""
    return CopyError(f"the dump client failed:\n{tail}", fix="read its last lines above; the next run starts afresh")


def restore_failed(tail: str) -> MidtimeError:
    """The error of a client that could not execute a dump."""
    return RestoreFailedError(f"the client failed:\n{tail}", fix="read its last lines above; nothing was put in place")

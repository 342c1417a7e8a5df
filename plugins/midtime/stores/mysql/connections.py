"""Connections to MySQL and MariaDB: an Airflow connection, always opened with the driver that comes with the provider.

Not by the provider's hook, which passes no timeout: a server that accepts and never answers would hold a task for ever.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import mysql.connector
from mysql.connector import Error

from midtime.errors import StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError
from midtime.stores.dbapi import DbapiSession
from midtime.stores.naming import airflow_connection

if TYPE_CHECKING:
    from airflow.sdk import Connection

CONNECT_SECONDS = 10
LOCK_WAIT_SECONDS = 60
"""How long a statement of ours waits for somebody's DDL or transaction; the server's default is a day or a year."""
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
_PATIENCE = 7 * 24 * 3600
"""Seconds that the server waits for us: a session that has described the tables is idle while they are dumped."""
_MODES = {"DISABLED": "ssl_disabled", "VERIFY_CA": "ssl_verify_cert", "VERIFY_IDENTITY": "ssl_verify_identity"}
"""What mysqlclient calls ``ssl_mode``, in the driver's words."""
_SWITCHES = ("ssl_disabled", "ssl_verify_cert", "ssl_verify_identity")
_ACCESS = {1044, 1045, 1049, 1142, 1143, 1227, 1370, 1410, 1419, 1698, 3118, 3159}
"""Access denied in its many forms, unknown database, TLS required."""
_GONE = {1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2005, 2006, 2013, 2055, 3024}
"""Shutting down, aborted, cannot connect, lost connection, no answer in time."""
_BUSY = {1040, 1205, 1213, 1969}
"""Too many connections, lock wait, deadlock."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a client tool needs to open the same connection."""

    host: str
    port: int
    user: str
    password: str
    extra: dict[str, Any]
    """The Airflow connection's extras in the driver's words: ``ssl_ca``, ``ssl_verify_identity`` ..."""


class Session(DbapiSession):
    """A connection in autocommit, without a current database."""

    def __init__(self, connection: Any, login: Login) -> None:
        super().__init__(connection)
        self.login = login

    def cursor(self, *, streaming: bool = False) -> Any:
        """Buffered or not as the connection has it, unless rows are streamed."""
        return self.connection.cursor(buffered=False) if streaming else self.connection.cursor()

    @cached_property
    def version_text(self) -> str:
        """As the server says it: ``11.4.5-MariaDB-log``, ``8.0.36``."""
        return str(self.value("SELECT VERSION()"))

    @cached_property
    def encrypted(self) -> bool:
        """Whether this session is; asked of the server."""
        return bool(self.rows("SHOW SESSION STATUS LIKE 'Ssl_cipher'")[0][1])

    @property
    def mariadb(self) -> bool:
        """MariaDB, or MySQL."""
        return "mariadb" in self.version_text.lower()

    @property
    def version(self) -> tuple[int, int]:
        """Major and minor."""
        # A replication-safe prefix that MariaDB once put before its own version.
        major, minor = self.version_text.removeprefix("5.5.5-").split("-")[0].split(".")[:2]
        return int(major), int(minor)

    @property
    def family(self) -> str:
        """For people."""
        return "MariaDB" if self.mariadb else "MySQL"

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.login.host}:{self.login.port}"


@contextmanager
def connect(conn_id: str, *, pure: bool = False, host: tuple[str, int | None] | None = None) -> Iterator[Session]:
    """A session. Whatever the driver raises inside the block comes out as one of our errors.

    :param conn_id: Airflow connection of type ``mysql``; its schema is not entered: it may be what was lost
    :param host: another server that takes the same login, with the same TLS: its address, and its port if that is another one
    :param pure: by the driver's implementation in Python, which speaks all of the protocol; for statements either does
    :raises StoreAccessError: no such connection, or the server refuses us
    :raises StoreUnreachableError: the server does not answer (any more)
    """
    session = _open(conn_id, pure=pure, host=host)
    try:
        with session_errors(session, conn_id):
            prepare(session)
            yield session
    finally:
        with suppress(Error, OSError):
            session.connection.close()


@contextmanager
def session_errors(session: Session, conn_id: str) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except Error as error:
        raise store_error(f"{session.where} (connection {conn_id!r})", conn_id, error) from error


def _open(conn_id: str, *, pure: bool, host: tuple[str, int | None] | None) -> Session:
    from airflow.providers.mysql.hooks.mysql import MySqlHook

    connection = airflow_connection(conn_id)
    if connection is None:
        raise StoreAccessError(
            f"there is no Airflow connection {conn_id!r}", fix=f"airflow connections add {conn_id} --conn-type mysql ..."
        )
    changed = _for_the_driver(connection)
    if host:
        changed.host, changed.port = host[0], host[1] or changed.port
    if changed.extra_dejson.get("iam"):
        changed.password, changed.port = MySqlHook(mysql_conn_id=conn_id, connection=changed).get_iam_token(changed)
    login = _login(changed)
    tls = {key: value for key, value in login.extra.items() if key.startswith("ssl_")}
    try:
        driver: Any = mysql.connector.connect(
            host=login.host,
            port=login.port,
            user=login.user,
            password=login.password,
            autocommit=True,
            connection_timeout=CONNECT_SECONDS,
            **({"use_pure": True} if pure else {}),
            **tls,
        )
    except Error as error:
        raise store_error(f"{login.host}:{login.port} (connection {conn_id!r})", conn_id, error) from error
    _keep_driver_alive(driver)
    return Session(driver, login)


def _keep_driver_alive(driver: Any) -> None:
    """The driver has no option for it."""
    own = getattr(getattr(driver, "_socket", None), "sock", None)
    if isinstance(own, socket.socket):  # else it is the driver's other implementation
        keep_alive(own)


def keep_alive(own: socket.socket) -> None:
    """Ask the kernel to notice a server that is gone without a word."""
    with suppress(OSError):
        own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                own.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _for_the_driver(connection: Connection) -> Connection:
    """The same connection in mysql-connector-python's words: mysqlclient, the provider's default, is not on every worker."""
    extra = dict(connection.extra_dejson)
    tls = extra.pop("ssl", None) or {}
    tls = json.loads(tls) if isinstance(tls, str) else tls
    extra |= {f"ssl_{key.removeprefix('ssl_')}": value for key, value in tls.items()}
    mode = str(extra.pop("ssl_mode", "")).upper()
    if mode in _MODES:
        extra[_MODES[mode]] = True
    extra |= {key: str(extra[key]).lower() in ("true", "1", "yes", "on") for key in _SWITCHES if key in extra}
    if extra.get("ssl_ca"):
        extra.setdefault("ssl_verify_cert", True)  # whoever names an authority wants it asked; the driver by itself would not
    changed = copy(connection)
    changed.schema = None
    changed.extra = json.dumps({**extra, "client": "mysql-connector-python"})
    return changed


def _login(connection: Connection) -> Login:
    return Login(
        host=connection.host or "localhost",
        port=int(connection.port or 3306),
        user=connection.login or "",
        password=connection.password or "",
        extra=connection.extra_dejson,
    )


def prepare(session: Session) -> None:
    """Our statements mean the same whatever the server's or the login's defaults are, and are not cut short."""
    session.rows(f"SET SESSION sql_mode = '', time_zone = '+00:00', lock_wait_timeout = {LOCK_WAIT_SECONDS}")
    session.rows("SET NAMES utf8mb4")
    session.rows(f"SET SESSION wait_timeout = {_PATIENCE}, net_write_timeout = {_PATIENCE}, net_read_timeout = {_PATIENCE}")
    if session.mariadb:
        session.rows("SET SESSION max_statement_time = 0")
    else:
        session.rows("SET SESSION max_execution_time = 0, information_schema_stats_expiry = 0")


def passing(error: Error) -> bool:
    """Whether the same statement may work the next time: the server is away or busy."""
    return error.errno in _GONE or error.errno in _BUSY or error.errno == -1


def store_error(where: str, conn_id: str, error: Error) -> StoreError:
    """One of our errors for one of the driver's."""
    text = f"{where}: {str(error).strip()}"
    if error.errno in _ACCESS:
        return StoreAccessError(text, fix=f"correct the Airflow connection {conn_id!r}, or grant its login what it lacks")
    if error.errno in _GONE or error.errno == -1:
        return StoreUnreachableError(f"does not answer: {text}", fix="check that the server is up and reachable from the worker")
    return StoreStatementError(text, fix="check the server's log, then run again")

"""Connections to PostgreSQL: through the provider's hook, so that every extra (TLS, IAM tokens) that Airflow knows works here too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

import psycopg

from midtime.errors import StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError
from midtime.stores.naming import airflow_connection, without_address

if TYPE_CHECKING:
    from airflow.sdk import Connection

Session = psycopg.Connection[tuple[Any, ...]]
DEFAULTS = {
    "client_encoding": "UTF8",
    "application_name": "midtime",
    "connect_timeout": 10,
    # A server that vanished without a word is noticed after about a minute, also in the middle of a long query.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
"""In libpq's units (seconds); what the Airflow connection says itself wins."""
_REFUSED = re.compile(
    r"authentication failed|no pg_hba|does not exist|permission denied|no password supplied|SSL|certificate", re.IGNORECASE
)


@contextmanager
def connect(
    conn_id: str, database: str | None = None, *, at: tuple[str, int] | None = None, host: tuple[str, int | None] | None = None
) -> Iterator[Session]:
    """An autocommit session. Whatever PostgreSQL raises inside the block comes out as one of our errors.

    :param conn_id: Airflow connection of type ``postgres``
    :param database: another database than the connection's
    :param at: another server than the connection's: the folder of its socket, and its port
    :param host: another server that takes the same login, with the same TLS: its address, and its port if that is another one
    :raises StoreAccessError: no such connection, or the server refuses us
    :raises StoreUnreachableError: the server does not answer (any more)
    """
    with _open(conn_id, database, at, host) as session, session_errors(session, conn_id):
        _without_timeouts(session)
        yield session


@contextmanager
def session_errors(session: Session, conn_id: str) -> Iterator[None]:
    """Turn PostgreSQL's errors into ours."""
    try:
        yield
    except psycopg.Error as error:
        raise _session_error(f"{session.info.host}:{session.info.port}/{session.info.dbname}", conn_id, error) from error


def _open(conn_id: str, database: str | None, at: tuple[str, int] | None, host: tuple[str, int | None] | None) -> Session:
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    connection = airflow_connection(conn_id)
    if connection is None:
        raise StoreAccessError(
            f"there is no Airflow connection {conn_id!r}", fix=f"airflow connections add {conn_id} --conn-type postgres ..."
        )
    connection = _with_defaults(connection) if at is None else _moved(connection, *at)
    if host:
        connection = _elsewhere(connection, *host)
    hook = PostgresHook(postgres_conn_id=conn_id, connection=connection, database=database)
    try:
        session: Any = hook.get_conn()
    except psycopg.Error as error:
        raise _connect_error(conn_id, connection, database, error) from error
    session.autocommit = True
    return session  # type: ignore[no-any-return]


def _without_timeouts(session: Session) -> None:
    """What a role or a database limits for its applications must not cut a dump or a restore short. No query: a snapshot stays unfixed."""
    session.execute("; ".join(f"SET {limit} = 0" for limit in _timeouts(session)).encode())


def _timeouts(session: Session) -> list[str]:
    limits = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"]
    return [*limits, "transaction_timeout"] if session.info.server_version >= 170000 else limits


def _session_error(where: str, conn_id: str, error: psycopg.Error) -> StoreError:
    text = f"{where}: {str(error).strip()}"
    if error.sqlstate is None or error.sqlstate.startswith(("08", "57")):
        return StoreUnreachableError(f"the connection broke: {text}", fix="check the server's log, then run again")
    if error.sqlstate == "42501":
        return StoreAccessError(text, fix=f"grant the login of {conn_id!r} what it lacks")
    return StoreStatementError(text, fix="check the server's log, then run again")


def _with_defaults(connection: Connection) -> Connection:
    return _changed(connection, {**DEFAULTS, **connection.extra_dejson}, connection.host, connection.port)


def _moved(connection: Connection, folder: str, port: int) -> Connection:
    """To a server on this machine: what the connection says of its network, TLS for one, does not hold there."""
    return _changed(connection, DEFAULTS, folder, port)


def _elsewhere(connection: Connection, host: str, port: int | None) -> Connection:
    """To another server. Extras win over what a connection says itself, and an address over any name: none may lead back to the live one."""
    kept, own_port = without_address(connection)
    extra = {**kept, "hostaddr": ""}  # empty, it also hides what a service file or PGHOSTADDR say
    return _changed(connection, extra, host, port or own_port)


def _changed(connection: Connection, extra: Mapping[str, Any], host: str | None, port: int | None) -> Connection:
    changed = copy(connection)
    changed.host, changed.port, changed.extra = host, port, json.dumps(extra)
    return changed


def _connect_error(conn_id: str, connection: Connection, database: str | None, error: psycopg.Error) -> StoreError:
    where = f"{connection.host}:{connection.port or 5432}/{database or connection.schema}"
    text = str(error).strip().replace("\n", " ")
    if _REFUSED.search(text):
        return StoreAccessError(
            f"{where} refuses connection {conn_id!r}: {text}",
            fix="correct login, password, database or TLS extras of the Airflow connection",
        )
    return StoreUnreachableError(
        f"{where} (connection {conn_id!r}) does not answer: {text}", fix="check that the server is up and reachable from the worker"
    )


def tool_environment(session: Session) -> dict[str, str]:
    """Environment variables with which libpq's tools open the same connection; the password is in no argument and no log."""
    variables = {option.keyword.decode(): option.envvar.decode() for option in psycopg.pq.Conninfo.get_defaults() if option.envvar}
    parameters = {**session.info.get_parameters(), "password": session.info.password}
    # Of several hosts the one that this session found: a snapshot is known there only.
    parameters |= {"host": session.info.host, "port": str(session.info.port)}
    environment = {variables[key]: value for key, value in parameters.items() if key in variables and value}
    unlimited = " ".join(f"-c {limit}=0" for limit in _timeouts(session))
    environment["PGOPTIONS"] = f"{environment.get('PGOPTIONS', '')} {unlimited}".strip()
    environment.pop("PGCLIENTENCODING", None)  # a dump is written in its database's own encoding
    return environment


@contextmanager
def maintenance_session(conn_id: str, besides: str) -> Iterator[Session]:
    """A session in another database than ``besides``, from which that one may be created, renamed or dropped."""
    with ExitStack() as stack:
        try:
            session = stack.enter_context(connect(conn_id, "postgres" if besides != "postgres" else "template1"))
        except StoreAccessError:
            session = stack.enter_context(connect(conn_id, "template1"))
        yield session

"""``midtime hand-over``: an Airflow connection to what was restored to an address of its own. Its secret is read, written, and never shown."""

from __future__ import annotations

import argparse
from typing import Any

from pydantic import TypeAdapter, ValidationError

from midtime.cli import screen
from midtime.cli.topologies import folder
from midtime.errors import RequestError, StoreStatementError
from midtime.model.topology import load_named
from midtime.model.topology.base import ConnId
from midtime.stores import open_store
from midtime.stores.base import HandsOver, Reached


def hand_over(arguments: argparse.Namespace) -> bool:
    """Ask the service, write the connection into Airflow's database, and see that Airflow reads it from there."""
    topology, conn_id = load_named(folder(arguments), arguments.topology), _conn_id(arguments.conn_id)
    if arguments.store not in (names := [each.name for each in topology.stores]):
        raise RequestError(f"{topology.name} has no store {arguments.store!r}", fix=f"it has {', '.join(names)}")
    store = open_store(topology, arguments.store)
    if not isinstance(store, HandsOver):
        raise RequestError(
            f"store {arguments.store!r} of {topology.name} is restored where its connections lead already",
            fix="nothing: no connection is needed",
        )
    found = store.reached(arguments.name)
    became = write(conn_id, found, f"Restored by Midtime: {arguments.name}", replace=arguments.replace)
    _require_read(conn_id, found)
    if arguments.json:
        of_server = {"host": found.host, "port": found.port} if found.host else {}
        screen.as_json({"conn_id": conn_id, "conn_type": found.conn_type, "login": found.login, **of_server, "became": became})
    else:
        screen.console().print(f"connection [bold]{conn_id}[/] {became}: {found.conn_type}, {found.address}; its secret was not shown")
    return True


def write(conn_id: str, found: Reached, description: str, *, replace: bool) -> str:
    """Write the connection where ``airflow connections add`` does: in Airflow's database, encrypted with its Fernet key.

    :param replace: also one that leads elsewhere
    :return: what it became
    :raises RequestError: one of that id leads elsewhere
    :raises StoreStatementError: the database does not take it
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return _write(conn_id, found, description, replace=replace)
    except SQLAlchemyError as error:
        said = f"Airflow's database did not take connection {conn_id} ({type(error).__name__})"  # its own words would quote the row
        raise StoreStatementError(said, fix="see whether Airflow's database is up, and this Airflow is of its version") from None


def _write(conn_id: str, found: Reached, description: str, *, replace: bool) -> str:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        there = session.scalar(select(Connection).where(Connection.conn_id == conn_id))
        if there and not replace and _leads(there) != _leads(found):
            raise RequestError(
                f"connection {conn_id} leads to {there.host or there.login} ({there.conn_type})", fix="choose another id, or add --replace"
            )
        connection = there or Connection(conn_id=conn_id)
        connection.conn_type, connection.login, connection.description = found.conn_type, found.login, description
        connection.host, connection.port, connection.schema = found.host or None, found.port, found.schema or None
        connection.set_extra(found.extra)
        connection.set_password(found.password)
        session.add(connection)
    return "replaced" if there else "made"


def _require_read(conn_id: str, found: Reached) -> None:
    """A secrets back end, or the environment, is read before the database.

    :raises RequestError: it has another connection of that id
    """
    from airflow.sdk import BaseHook

    read = BaseHook.get_connection(conn_id)
    if _leads(read) != _leads(found) or (read.password or "", read.extra or "") != (found.password, found.extra):
        raise RequestError(
            f"connection {conn_id} was written into Airflow's database, but the environment or a secrets back end has another one of that id, "
            "which is read first",
            fix="choose another id, or change it there",
        )


def _leads(to: Any) -> tuple[Any, ...]:
    """To whom; without what opens it."""
    return to.conn_type, to.host or "", to.port, to.schema or "", to.login or ""


def _conn_id(text: str) -> str:
    try:
        return TypeAdapter(ConnId).validate_python(text)
    except ValidationError as error:
        raise RequestError(error.errors()[0]["msg"], fix="use letters, digits, dots, dashes and underscores") from None

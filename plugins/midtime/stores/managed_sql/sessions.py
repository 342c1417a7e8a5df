"""A session in a database whose namespaces are schemas, by a driver that is not installed with Midtime: Oracle's and SQL Server's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Self

from midtime.errors import StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError, ToolError
from midtime.stores.dbapi import DbapiSession
from midtime.stores.managed_sql.data import At
from midtime.stores.naming import airflow_connection

if TYPE_CHECKING:
    from airflow.sdk import Connection

CONNECT_SECONDS = 10


def driver(name: str, spoken: str, extra: str) -> Any:
    """A driver's module.

    :param extra: of Midtime's own package, which brings it
    :raises ToolError: it is not installed
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ToolError(
            f"{spoken} is read by the Python package {name}, which this worker cannot load: {error}",
            fix=f"install {name} on every worker; Midtime's package has it as the extra `{extra}`",
        ) from error


class SchemaSession(DbapiSession):
    """In autocommit. Names are quoted always, and mean what they spell.

    :param where: for messages
    """

    spoken: ClassVar[str]
    catalog_schemas: ClassVar[str]
    """(schema,) of those among ``{0}``."""
    catalog_columns: ClassVar[str]
    """(schema, table, column) of the tables, no views, of the schemas ``{0}``, in the columns' order."""
    catalog_keys: ClassVar[str]
    """The same of the columns of primary keys, in the key's order."""
    fence_columns: ClassVar[str]
    access: ClassVar[Collection[Any]]
    """The driver's codes for what waiting does not mend: login, right, name."""
    gone: ClassVar[Collection[Any]]
    """Those for a server that does not answer."""

    def __init__(self, connection: Any, where: str, conn_id: str) -> None:
        super().__init__(connection)
        self.where, self.conn_id = where, conn_id

    @classmethod
    @abstractmethod
    def open(cls, connection: Connection, at: At | None, database: str | None) -> Self:
        """Connect.

        :param at: another server that takes the same login
        """

    @classmethod
    @abstractmethod
    def raised(cls) -> type[Exception]:
        """What the driver's errors have in common."""

    @classmethod
    @abstractmethod
    def code(cls, error: Exception) -> Any:
        """What tells the driver's errors apart."""

    @abstractmethod
    def quoted(self, *names: str) -> str:
        """A name, with its schema's before it."""

    @abstractmethod
    def hurry(self) -> None:
        """From now on no statement waits for long."""

    @abstractmethod
    def version(self) -> str:
        """The server's, and what it calls itself."""

    @abstractmethod
    def why_unfit(self) -> tuple[str, str] | None:
        """Why this database keeps no history of its own, or none that can be restored, and what to do; None where all is well."""

    @abstractmethod
    def encryption(self) -> str:
        """How the connection is encrypted, in words; empty where it is not."""

    @abstractmethod
    def declared_plain(self) -> str:
        """The words by which the connection itself asks for no encryption; empty where it does not."""

    @abstractmethod
    def hidden(self, schemas: Sequence[str]) -> list[str]:
        """Those of whose tables the login may not see, or not read, all."""

    @abstractmethod
    def ask(self, query: str) -> Any:
        """The first value of the first row of a user's query, after which nothing is changed."""


def error_of(session: type[SchemaSession], where: str, conn_id: str, error: Exception) -> StoreError:
    """One of our errors for one of the driver's."""
    code, text = session.code(error), f"{where} (connection {conn_id!r}): {_words(error)}"
    if code in session.access:
        return StoreAccessError(text, fix=f"correct the Airflow connection {conn_id!r}, or grant its login what it lacks")
    if code in session.gone:
        return StoreUnreachableError(f"does not answer: {text}", fix="check that the server is up and reachable from the worker")
    return StoreStatementError(text, fix="check the server's log, then run again")


@contextmanager
def errors_of(session: SchemaSession) -> Iterator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except session.raised() as error:
        raise error_of(type(session), session.where, session.conn_id, error) from error


@contextmanager
def connect(kind: type[SchemaSession], conn_id: str, database: str | None, at: At | None = None) -> Iterator[SchemaSession]:
    """A session. Whatever the driver raises inside the block comes out as one of our errors.

    :raises StoreAccessError: no such connection, or the server refuses us
    :raises StoreUnreachableError: the server does not answer (any more)
    :raises ToolError: the driver is not installed
    """
    connection = airflow_connection(conn_id)
    if connection is None:
        raise StoreAccessError(f"there is no Airflow connection {conn_id!r}", fix="add it, or correct the store's `data_conn_id`")
    where, raised = f"{at[0] if at else connection.host or 'localhost'}:{(at and at[1]) or connection.port or 'its port'}", kind.raised()
    try:
        session = kind.open(connection, at, database)
    except raised as error:
        raise error_of(kind, where, conn_id, error) from error
    except OSError as error:  # a name that nobody knows is the system's error, not the driver's
        raise StoreUnreachableError(
            f"{where} (connection {conn_id!r}) cannot be reached: {error}", fix="correct the connection's host, or the worker's network"
        ) from error
    try:
        with errors_of(session):
            yield session
    finally:
        with suppress(raised):
            session.connection.close()


def _words(error: Exception) -> str:
    """Of the server; a driver may hand them over as bytes, in a pair with their number, over several lines."""
    said = error.args[-1] if error.args else ""
    said = said[-1] if isinstance(said, tuple) and said else said
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    return " ".join(text.split())[:500]

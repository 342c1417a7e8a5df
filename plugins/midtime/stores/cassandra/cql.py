"""CQL to the nodes of one cluster, and to no other node.

Not by the provider's hook: it connects to the connection's host at once, without a limit of time, and follows the ring to every node that it
hears of, while a drill's cluster, whose files came from the live one, must never be mistaken for it. So the nodes are the topology's; of the
Airflow connection count login, password, and its extras ``ssl_options`` and ``protocol_version`` as the provider documents them.

Everything is read at QUORUM of all replicas of all data centres, which is what ScalarDB writes with: whatever it has committed is on one node
of every such quorum, while LOCAL_QUORUM sees only what has arrived in the worker's data centre. ALL would show the same and need every node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from cassandra.query import SimpleStatement

from midtime.errors import StoreUnreachableError
from midtime.stores.cassandra.cql_driver import SECONDS, Address, connect, options_of
from midtime.stores.cassandra.cql_errors import cql_errors

Row = tuple[Any, ...]
Page = tuple[list[Row], bytes | None]
"""Rows, and what to ask for the next ones with."""
T = TypeVar("T")

PAGE = 1_000
TRIES = 6
_IDS = [
    "SELECT table_name, id FROM system_schema.tables WHERE keyspace_name = %s",
    "SELECT view_name, id FROM system_schema.views WHERE keyspace_name = %s",
]
_SCHEMA = SimpleStatement("SELECT schema_version FROM system.local")
AT_ONCE = 16
"""Statements in flight where there are many."""


class CqlSession:
    """Statements to one cluster. Thread-safe.

    :param driver: the driver's session
    :param where: names the cluster for people
    """

    def __init__(self, driver: Any, where: str) -> None:
        self.driver = driver
        self.where = where

    def rows(self, query: Any, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of a query, which is asked again where that may help.

        :param query: text, or what :meth:`prepare` gave
        """
        rows: list[Row] = []
        state = None
        while True:
            page, state = again(lambda state=state: self.begin(query, parameters, state=state)())  # type: ignore[misc]
            rows += page
            if state is None:
                return rows

    def value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        """The first value of the first row; None without a row."""
        found = self.rows(query, parameters)
        return found[0][0] if found else None

    def execute(self, statement: str, parameters: Sequence[Any] = (), *, seconds: float = SECONDS) -> None:
        """Run a statement, once."""
        with cql_errors(self.where):
            self.driver.execute(statement, tuple(parameters) or None, timeout=seconds)

    def prepare(self, query: str) -> Any:
        """A statement with ``?`` for its parameters, which the nodes have understood."""

        def prepared() -> Any:
            with cql_errors(self.where):
                return self.driver.prepare(query)

        return again(prepared)

    def begin(self, query: Any, parameters: Sequence[Any] = (), *, page: int = PAGE, state: bytes | None = None) -> Callable[[], Page]:
        """Ask for a page; what comes back waits for it. The state that came with a page asks for the next one, of any node."""
        statement = SimpleStatement(query) if isinstance(query, str) else query.bind(tuple(parameters))
        statement.fetch_size, statement.is_idempotent = page, True
        given = tuple(parameters) or None if isinstance(query, str) else None
        with cql_errors(self.where):
            future = self.driver.execute_async(statement, given, paging_state=state)

        def wait() -> Page:
            with cql_errors(self.where):
                found = future.result()
            return list(found.current_rows), found.paging_state

        return wait

    def many(self, query: Any, all_parameters: Iterable[Sequence[Any]]) -> Iterator[list[Row]]:
        """The answers to one question with many parameters, some in flight at once; each fits into a page."""
        todo = iter(all_parameters)
        while some := list(islice(todo, AT_ONCE)):
            waiting = [(parameters, self.begin(query, parameters)) for parameters in some]
            for parameters, wait in waiting:
                try:
                    yield wait()[0]
                except StoreUnreachableError:
                    yield self.rows(query, parameters)

    def use(self, keyspace: str) -> None:
        """Look for names without a keyspace in this one."""
        with cql_errors(self.where):
            self.driver.set_keyspace(keyspace)

    @property
    def partitioner(self) -> str:
        """The last part of its name."""
        return str(self.value("SELECT partitioner FROM system.local")).rpartition(".")[2]

    def keyspaces(self) -> set[str]:
        """Every keyspace that is there now."""
        return {name for (name,) in self.rows("SELECT keyspace_name FROM system_schema.keyspaces")}

    def table_ids(self, keyspaces: Iterable[str]) -> dict[str, str]:
        """``keyspace.table`` -> its id (UUID without dashes); a materialized view has files of its own, and is one of them."""
        asked = [(keyspace, query) for keyspace in keyspaces for query in _IDS]
        return {f"{keyspace}.{name}": number.hex for keyspace, query in asked for name, number in self.rows(query, (keyspace,))}

    def schema_versions(self) -> dict[str, str]:
        """Of every node that answers, in its own words, by its address: one and the same, once they agree."""
        with cql_errors(self.where):
            said = {
                host.endpoint.address: self.driver.execute(_SCHEMA, host=host).one()
                for host in [pool.host for pool in self.driver.get_pools()]
            }
        return {address: str(row[0]) for address, row in said.items() if row}

    def read_back(self, tables: Iterable[str]) -> None:
        """Read a row of every table (``keyspace.table``), if it has one.

        :raises StoreError: one cannot be read by a quorum of its replicas
        """
        for table in tables:
            self.rows(f"SELECT * FROM {quoted(*table.split('.', 1))} LIMIT 1")


def quoted(*names: str) -> str:
    """A name as CQL has it, whatever letters are in it."""
    return ".".join('"{}"'.format(name.replace('"', '""')) for name in names)


def again(work: Callable[[], T], tries: int = TRIES) -> T:
    """Do what may be repeated until the cluster answers: a node may just be going, or coming."""
    for attempt in range(tries - 1):
        try:
            return work()
        except StoreUnreachableError:
            pause(attempt)
    return work()


def pause(attempt: int) -> None:
    """Before the next attempt; six of them take about six seconds."""
    time.sleep(0.2 * 2**attempt)


@contextmanager
def session_to(nodes: Sequence[Address], conn_id: str | None, *, keyspace: str | None = None, patience: float = 0) -> Iterator[CqlSession]:
    """A session on these nodes alone.

    :param conn_id: Airflow connection of type ``cassandra``; None for a cluster that asks for no login
    :param keyspace: of names without one
    :param patience: seconds in which nodes that were just started may begin to answer
    :raises StoreAccessError: no such connection, or the cluster refuses us
    :raises StoreUnreachableError: no node answers
    """
    where = f"{', '.join(f'{host}:{port}' for host, port in nodes)} (" + (f"connection {conn_id!r})" if conn_id else "without login)")
    cluster, driver = _connected(nodes, options_of(conn_id), where, time.monotonic() + patience)
    try:
        session = CqlSession(driver, where)
        if keyspace:
            session.use(keyspace)
        yield session
    finally:
        cluster.shutdown()


def _connected(nodes: Sequence[Address], options: dict[str, Any], where: str, until: float) -> tuple[Any, Any]:
    while True:
        try:
            with cql_errors(where):
                return connect(nodes, options)
        except StoreUnreachableError:
            if time.monotonic() >= until:
                raise
            time.sleep(1)

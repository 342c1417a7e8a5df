"""All parts together; each is started when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.stack.airflow import LocalAirflow
from tests.stack.azurite import Azurite
from tests.stack.bank import Bank
from tests.stack.kubernetes import Kubernetes
from tests.stack.mariadb import MariaDB
from tests.stack.mysql import MySQL
from tests.stack.postgres import Postgres
from tests.stack.processes import Processes
from tests.stack.s3 import S3
from tests.stack.scalardb import ScalarDB, account_schema, jdbc_storage, over_databases


class Part(Protocol):
    """What can be ended."""

    def close(self) -> None: ...


P = TypeVar("P", bound=Part)
TWO_DATABASES = ("bank_a", "bank_b")
"""Of one ScalarDB, each with the namespace of its name; the Coordinator is in the first."""
TWO_TABLES = tuple(f"{database}.acct" for database in TWO_DATABASES)


class Stack:
    """A "production" PostgreSQL with ScalarDB Server and the bank, and an Airflow with a PostgreSQL of its own.

    Airflow's metadata are on another server, so that a fault in production does not hit Airflow.
    ``connections`` and ``airflow_options`` may be filled until ``airflow`` is first used.
    """

    DATABASE = "bank"

    def __init__(
        self,
        directory: Path,
        *,
        topologies_dir: Path | None = None,
        connections: Mapping[str, Any] | None = None,
        accounts: int = 50,
        postgres_settings: Mapping[str, str | int] | None = None,
        **airflow_options: Any,
    ) -> None:
        self.directory = directory
        self.processes = Processes(directory)
        self.topologies_dir = topologies_dir
        self.connections = dict(connections or {})
        self.airflow_options = airflow_options
        self._accounts, self._postgres_settings = accounts, dict(postgres_settings or {})
        self._parts: list[Part] = []

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def postgres(self) -> Postgres:
        """The server that is backed up; it has the database ``bank``."""
        server = self._started(Postgres(self.processes, "postgres", settings=self._postgres_settings), Postgres.start)
        server.create_database(self.DATABASE)
        return server

    @cached_property
    def mariadb(self) -> MariaDB:
        """Another server that is backed up, empty at first; nothing of the bank is in it."""
        return self._started(MariaDB(self.processes), MariaDB.start)

    @cached_property
    def mysql(self) -> MySQL:
        """The same of Oracle's make, for what differs."""
        return self._started(MySQL(self.processes, "mysql"), MySQL.start)

    @cached_property
    def metadata(self) -> Postgres:
        """Airflow's own server."""
        server = self._started(Postgres(self.processes, "metadata"), Postgres.start)
        server.create_database("airflow")
        return server

    @cached_property
    def scalardb(self) -> ScalarDB:
        """ScalarDB Server over the database ``bank``, Coordinator included, with the table ``bank.acct``."""
        server = ScalarDB(self.processes, jdbc_storage(self.postgres, self.DATABASE), schema=account_schema("bank.acct"))
        return self._started(server, ScalarDB.start)

    @cached_property
    def multi_scalardb(self) -> ScalarDB:
        """ScalarDB Server over two databases: ``bank_a`` with the Coordinator, and ``bank_b``; a table ``acct`` in either."""
        return self._started(self._over_two_databases("scalardb-multi", schema=account_schema(*TWO_TABLES)), ScalarDB.start)

    @cached_property
    def multi_scalardb_2(self) -> ScalarDB:
        """A second one over the same two databases, so that a window has more than one endpoint."""
        self.multi_scalardb  # noqa: B018 - it creates the tables
        return self.another_multi_scalardb("scalardb-multi-2")

    def another_multi_scalardb(self, name: str) -> ScalarDB:
        """One more over the same two databases; whoever wants it for itself closes it."""
        return self._started(self._over_two_databases(name), ScalarDB.start)

    @cached_property
    def multi_bank(self) -> Bank:
        """Accounts in both databases, at rest; money goes within them and between them."""
        return self._started(Bank(self.multi_scalardb.address, self._accounts, TWO_TABLES), Bank.load)

    def _over_two_databases(self, name: str, schema: Mapping[str, Any] | None = None) -> ScalarDB:
        for database in TWO_DATABASES:
            if not self.postgres.execute("SELECT 1 FROM pg_database WHERE datname = %s", parameters=(database,)):
                self.postgres.create_database(database)
        properties = over_databases(self.postgres, dict(zip(TWO_DATABASES, TWO_DATABASES, strict=True)))
        return ScalarDB(self.processes, properties, schema=schema, name=name)

    @cached_property
    def bank(self) -> Bank:
        """The accounts, at rest: ``bank.start()`` sets them moving."""
        return self._started(Bank(self.scalardb.address, self._accounts), Bank.load)

    @cached_property
    def s3(self) -> S3:
        """An object store that speaks S3's protocol."""
        return self._started(S3(self.processes), S3.start)

    @cached_property
    def azurite(self) -> Azurite:
        """An object store that speaks Azure Blob Storage's protocol."""
        return self._started(Azurite(self.processes), Azurite.start)

    @cached_property
    def kubernetes(self) -> Kubernetes:
        """An API server without nodes: pods are what a test writes."""
        return self._started(Kubernetes(self.processes), Kubernetes.start)

    @cached_property
    def airflow(self) -> LocalAirflow:
        """Airflow, healthy."""
        local = LocalAirflow(
            self.processes,
            self.directory / "airflow",
            self.metadata.dsn("airflow"),
            topologies_dir=self.topologies_dir,
            connections=self.connections,
            **self.airflow_options,
        )
        return self._started(local, LocalAirflow.start)

    def close(self) -> None:
        """End everything, the last started first; nothing of it is left afterwards."""
        try:
            while self._parts:
                self._parts.pop().close()
        finally:
            self.processes.stop()

    def _started(self, part: P, start: Callable[[P], object]) -> P:
        self._parts.append(part)  # first, so that a part that failed half way is ended as well
        start(part)
        return part

"""The database of a server for Microsoft SQL Server, by ``pymssql``, which brings all that it needs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from midtime.stores.fences import SECONDS
from midtime.stores.managed_sql.data import At
from midtime.stores.managed_sql.schemas import SchemaData
from midtime.stores.managed_sql.sessions import CONNECT_SECONDS, SchemaSession, driver

if TYPE_CHECKING:
    from airflow.sdk import Connection

TICK = timedelta(milliseconds=16)
"""``SYSUTCDATETIME()`` shows Windows' time, which goes on by up to 15.6 ms at once."""
_OWN = re.compile(r"DB-Lib error message (\d+)")
_SERVER_SAID = 20018
"""FreeTDS: the server has refused. Its words may be lost in the driver."""
_NOT_CONNECTED = 20009
_NOT_THE_SERVER = ("DB-Lib error", "Unknown error", "Connection to the database failed")
"""How the driver begins when it speaks itself."""
_FORBIDDEN = {297, 300, 371}
"""No right to see the server's state."""


class SqlserverSession(SchemaSession):
    """A namespace is a schema of one database."""

    spoken = "SQL Server"
    catalog_schemas = "SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME IN ({})"
    catalog_columns = (
        "SELECT c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS c JOIN INFORMATION_SCHEMA.TABLES t "
        "ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME "
        "WHERE t.TABLE_TYPE = 'BASE TABLE' AND c.TABLE_SCHEMA IN ({}) ORDER BY c.ORDINAL_POSITION"
    )
    catalog_keys = (
        "SELECT k.TABLE_SCHEMA, k.TABLE_NAME, k.COLUMN_NAME FROM INFORMATION_SCHEMA.KEY_COLUMN_USAGE k "
        "JOIN INFORMATION_SCHEMA.TABLE_CONSTRAINTS c ON c.CONSTRAINT_SCHEMA = k.CONSTRAINT_SCHEMA AND c.CONSTRAINT_NAME = k.CONSTRAINT_NAME "
        "WHERE c.CONSTRAINT_TYPE = 'PRIMARY KEY' AND k.TABLE_SCHEMA IN ({}) ORDER BY k.ORDINAL_POSITION"
    )
    fence_columns = "window_id VARCHAR(32) NOT NULL, place VARCHAR(8) NOT NULL, written_at BIGINT NOT NULL, PRIMARY KEY (window_id, place)"
    access = frozenset({
        208, 229, 230, 262, 297, 300, 371, 916, 1088, 2760, 4060, 4062, 4064, 15151, 15247, 18401, 18450, 18451, 18452, 18456, 18457, 18470,
        18486, 18487, 18488, _SERVER_SAID,
    })  # fmt: skip
    gone = frozenset({
        233, 596, 6005, 10053, 10054, 10060, 17142, 17143, 17148, 17187, 20002, 20003, 20004, 20006, 20008, 20009, 20013, 20017, 20047,
    })  # fmt: skip

    def __init__(self, connection: Any, where: str, conn_id: str, encryption: str) -> None:
        super().__init__(connection, where, conn_id)
        self._asked = encryption

    @classmethod
    def open(cls, connection: Connection, at: At | None, database: str | None) -> Self:
        """Encrypted unless the connection itself says another ``encryption`` in its extras."""
        host, port = at[0] if at else connection.host or "localhost", (at and at[1]) or connection.port or 1433
        encryption = str(connection.extra_dejson.get("encryption") or "require").lower()
        name = database or connection.schema or ""
        # No `timeout`: it would cut a verification short.
        made = _pymssql().connect(
            server=host, port=str(port), user=connection.login, password=connection.password, database=name, encryption=encryption,
            login_timeout=CONNECT_SECONDS, appname="midtime", autocommit=True, tds_version="7.4",
        )  # fmt: skip
        return cls(made, f"{host}:{port}/{name}", connection.conn_id, encryption)

    @classmethod
    def raised(cls) -> type[Exception]:
        """Everything that the driver raises."""
        error: type[Exception] = _pymssql().Error
        return error

    @classmethod
    def code(cls, error: Exception) -> int:
        """The server's number; FreeTDS's own where its words come first, for then the number may be another connection's, of before."""
        said = error.args[0] if error.args else 0
        number, words = said if isinstance(said, tuple) else (said, error.args[-1] if error.args else "")
        text = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
        if text and not text.startswith(_NOT_THE_SERVER):
            return number if isinstance(number, int) else 0
        own = [int(found) for found in _OWN.findall(text)] or [_NOT_CONNECTED]
        return _SERVER_SAID if _SERVER_SAID in own else own[0]

    def quoted(self, *names: str) -> str:
        """In brackets."""
        return ".".join(f"[{name.replace(']', ']]')}]" for name in names)

    def hurry(self) -> None:
        """Nothing of ours takes long but by somebody's lock. FreeTDS has one limit for a process: one that hurries reads nothing long."""
        self.connection._conn.query_timeout = SECONDS + 1  # its own, so that the server's words about a lock come first
        self.rows(f"SET LOCK_TIMEOUT {1000 * SECONDS}")

    def version(self) -> str:
        """The build's number."""
        found = self.value("SELECT CAST(SERVERPROPERTY('ProductVersion') AS VARCHAR(128))")
        return f"SQL Server {found}"

    def why_unfit(self) -> tuple[str, str] | None:
        """A replica, or a database whose log is not kept."""
        asked = "SELECT CAST(DATABASEPROPERTYEX(DB_NAME(), '{}') AS VARCHAR(128))"
        if self.value(asked.format("Updateability")) != "READ_WRITE":
            return "is a replica, or read only", "let `data_conn_id` lead to the primary, and to ScalarDB's database"
        recovery = self.value(asked.format("Recovery"))
        why = f"has a database in recovery model {recovery}, whose log is not backed up"
        return None if recovery == "FULL" else (why, "ALTER DATABASE ... SET RECOVERY FULL, then wait for the next snapshot")

    def encryption(self) -> str:
        """By the server's word, or the driver's where the login may not ask: asked to encrypt, it connects to nothing else."""
        try:
            # As FreeTDS was told `require`, only something between us and the server can make this FALSE.
            said = self.value("SELECT encrypt_option FROM sys.dm_exec_connections WHERE session_id = @@SPID")
        except self.raised() as error:
            if self.code(error) not in _FORBIDDEN:
                raise
            return "TLS, as the driver says" if self._asked == "require" else ""
        return "TLS" if str(said).upper() == "TRUE" else ""

    def declared_plain(self) -> str:
        """``encryption: off`` in the extras."""
        return "encryption: off" if self._asked == "off" else ""

    def hidden(self, schemas: Sequence[str]) -> list[str]:
        """Those on which the login has no SELECT as a whole: a catalog view leaves out what one may not see."""
        asked = "SELECT HAS_PERMS_BY_NAME(%s, 'SCHEMA', 'SELECT')"
        return [name for name in schemas if self.value(asked, (self.quoted(name),)) != 1]

    def ask(self, query: str) -> Any:
        """In a transaction that is rolled back; SQL Server has none that may only read."""
        self.rows("BEGIN TRANSACTION")
        try:
            return self.value(query)
        finally:
            with suppress(self.raised()):  # what failed may have ended it
                self.rows("ROLLBACK TRANSACTION")


class SqlserverData(SchemaData):
    """One database of the instance."""

    conn_type = "mssql"
    kind = SqlserverSession
    resolution = TICK

    def instant(self, session: SchemaSession) -> datetime:
        """``SYSUTCDATETIME()``, as text: what a driver makes of ``DATETIME2`` depends on its version."""
        found = session.value("SELECT CAST(CAST(SYSUTCDATETIME() AS DATETIME2(6)) AS VARCHAR(30))")
        return datetime.fromisoformat(str(found)).replace(tzinfo=UTC)


def _pymssql() -> Any:
    return driver("pymssql", SqlserverSession.spoken, "sqlserver")

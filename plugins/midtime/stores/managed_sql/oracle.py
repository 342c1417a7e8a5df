"""The database of a server for Oracle, by ``oracledb`` in its thin mode: nothing of Oracle's is installed on the worker."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Self

from midtime.stores.dbapi import BATCH
from midtime.stores.fences import SECONDS
from midtime.stores.managed_sql.data import At
from midtime.stores.managed_sql.schemas import SchemaData
from midtime.stores.managed_sql.sessions import CONNECT_SECONDS, SchemaSession, driver

if TYPE_CHECKING:
    from airflow.sdk import Connection

# Views are in all_tab_columns as well; what was dropped, and what Oracle keeps for itself inside a table, is no table of people's.
_TABLES = "t.owner IN ({}) AND t.dropped = 'NO' AND t.nested = 'NO' AND t.secondary = 'N'"
_PASSED = (
    "ssl_server_dn_match", "ssl_server_cert_dn", "wallet_location", "wallet_password", "https_proxy", "https_proxy_port", "config_dir",
)  # fmt: skip
"""Extras of the connection that are the driver's own words."""
_CODE = re.compile(r"(?:ORA|DPY)-\d+")


class OracleSession(SchemaSession):
    """A namespace is a user, whose name is spelt as ScalarDB spells it."""

    spoken = "Oracle"
    catalog_schemas = "SELECT username FROM all_users WHERE username IN ({})"
    catalog_columns = (
        "SELECT t.owner, t.table_name, c.column_name FROM all_tables t JOIN all_tab_columns c ON c.owner = t.owner "
        f"AND c.table_name = t.table_name WHERE {_TABLES} ORDER BY c.column_id"
    )
    catalog_keys = (
        "SELECT c.owner, c.table_name, k.column_name FROM all_constraints c JOIN all_cons_columns k ON k.owner = c.owner "
        "AND k.constraint_name = c.constraint_name AND k.table_name = c.table_name "
        "WHERE c.constraint_type = 'P' AND c.owner IN ({}) ORDER BY k.position"
    )
    fence_columns = (
        "window_id VARCHAR2(32) NOT NULL, place VARCHAR2(8) NOT NULL, written_at NUMBER(19) NOT NULL, PRIMARY KEY (window_id, place)"
    )
    access = frozenset({
        "ORA-01017", "ORA-01031", "ORA-01045", "ORA-00942", "ORA-01435", "ORA-01918", "ORA-01950", "ORA-28000", "ORA-28001", "ORA-28009",
        "ORA-28040", "ORA-41900", "ORA-12514", "ORA-12505", "ORA-01536",
        # Service or SID that the listener does not know, native encryption (thick mode only), old password verifiers, parts of a login missing.
        "DPY-6001", "DPY-6003", "DPY-3001", "DPY-3010", "DPY-3015", "DPY-4000", "DPY-4001", "DPY-4017", "DPY-4026", "DPY-4027", "certificate",
    })  # fmt: skip
    gone = frozenset({
        "ORA-00028", "ORA-01012", "ORA-01033", "ORA-01034", "ORA-01089", "ORA-01090", "ORA-01092", "ORA-03113", "ORA-03114", "ORA-03135",
        "ORA-12170", "ORA-12528", "ORA-12537", "ORA-12541", "ORA-12547", "ORA-12570", "ORA-12571", "ORA-12757",
        "DPY-1001", "DPY-4011", "DPY-4024", "DPY-6000", "DPY-6002", "DPY-6005",
    })  # fmt: skip

    def __init__(self, connection: Any, where: str, conn_id: str, plain: str) -> None:
        super().__init__(connection, where, conn_id)
        self._plain = plain

    @classmethod
    def open(cls, connection: Connection, at: At | None, database: str | None) -> Self:
        """By service name or SID; over TLS unless the connection itself says ``protocol: tcp``."""
        extra = connection.extra_dejson
        protocol = protocol_of(connection)
        port = (at[1] if at and protocol == "tcp" else None) or connection.port or (1521 if protocol == "tcp" else 2484)
        host, sid = at[0] if at else connection.host or "localhost", extra.get("sid")
        service = None if sid else database or extra.get("service_name") or connection.schema
        made = _oracledb().connect(
            user=connection.login, password=connection.password, host=host, port=int(port), protocol=protocol, sid=sid,
            service_name=service, tcp_connect_timeout=CONNECT_SECONDS, expire_time=1, **{key: extra[key] for key in _PASSED if key in extra},
        )  # fmt: skip
        made.autocommit = True
        return cls(made, f"{host}:{port}/{sid or service}", connection.conn_id, "protocol: tcp" if extra.get("protocol") else "")

    @classmethod
    def raised(cls) -> type[Exception]:
        """Everything that the driver raises."""
        error: type[Exception] = _oracledb().Error
        return error

    @classmethod
    def code(cls, error: Exception) -> str:
        """``ORA-00942``; of what the driver says of a connection (``DPY-6005``) the cause, which it has in its words only."""
        said = error.args[0] if error.args else None
        code, text = str(getattr(said, "full_code", "")), str(said)
        if code != "DPY-6005":
            return code
        cause = _CODE.search(text, len(code))
        return "certificate" if "SSL" in text or "certificate" in text else cause.group() if cause else code

    def cursor(self, *, streaming: bool = False) -> Any:
        """Rows come in batches."""
        cursor = self.connection.cursor()
        if streaming:
            cursor.arraysize = cursor.prefetchrows = BATCH
        return cursor

    def spelled(self, query: str) -> str:
        """With ``:1``, ``:2`` ..."""
        numbers = count(1)
        return re.sub("%s", lambda _: f":{next(numbers)}", query)

    def quoted(self, *names: str) -> str:
        """In double quotes, which no name of Oracle's can hold."""
        return ".".join(f'"{name}"' for name in names)

    def hurry(self) -> None:
        """The driver breaks off what takes longer."""
        self.connection.call_timeout = 1000 * SECONDS

    def version(self) -> str:
        """As the driver was told it."""
        return f"Oracle {self.connection.version}"

    def why_unfit(self) -> tuple[str, str] | None:
        """A standby has the primary's history, and another clock."""
        role = str(self.value("SELECT SYS_CONTEXT('USERENV', 'DATABASE_ROLE') FROM DUAL"))
        return None if role == "PRIMARY" else (f"is a {role.lower()}", "let `data_conn_id` lead to the primary")

    def encryption(self) -> str:
        """By the server's word: what is between it and us may have taken the encryption off."""
        return "TLS" if self.value("SELECT SYS_CONTEXT('USERENV', 'NETWORK_PROTOCOL') FROM DUAL") == "tcps" else ""

    def declared_plain(self) -> str:
        """``protocol: tcp`` in the extras."""
        return self._plain

    def hidden(self, schemas: Sequence[str]) -> list[str]:
        """All but the login's own, unless it has a privilege for any table: a catalog view leaves out what one may not read."""
        if self.rows("SELECT 1 FROM session_privs WHERE privilege IN ('SELECT ANY TABLE', 'READ ANY TABLE')"):
            return []
        own = self.value("SELECT SYS_CONTEXT('USERENV', 'SESSION_USER') FROM DUAL")
        return [name for name in schemas if name != own]

    def ask(self, query: str) -> Any:
        """In a transaction that may only read."""
        self.connection.autocommit = False
        try:
            self.rows("SET TRANSACTION READ ONLY")
            return self.value(query)
        finally:
            self.connection.rollback()
            self.connection.autocommit = True


class OracleData(SchemaData):
    """A database, or a pluggable one."""

    conn_type = "oracle"
    kind = OracleSession

    def instant(self, session: SchemaSession) -> datetime:
        """``SYSTIMESTAMP`` as UTC, without a time zone that a driver could misread."""
        found = session.value("SELECT SYS_EXTRACT_UTC(SYSTIMESTAMP) FROM DUAL")
        if not isinstance(found, datetime):
            raise ValueError(f"it says {found!r}")
        return found.replace(tzinfo=UTC)


def protocol_of(connection: Connection) -> str:
    """An instance tells the port of ``tcp`` only. The one of ``tcps`` is an option's, which a restore brings back."""
    return str(connection.extra_dejson.get("protocol") or "tcps").lower()


def _oracledb() -> Any:
    return driver("oracledb", OracleSession.spoken, "oracle")

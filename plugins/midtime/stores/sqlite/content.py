"""What a SQLite file holds, in numbers: tables, shapes, counts and digests, and whether SQLite finds it whole."""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from midtime.errors import MidtimeError
from midtime.model.restore_point import TableContent
from midtime.stores.digests import ContentTally
from midtime.stores.scalardb_records import Table
from midtime.stores.sqlite.files import OURS, code_of, opened

METHOD = "sqlite typed rows 1"
"""Changes whenever a digest of the same row would."""
SHOWN = 10
# A virtual table has no pages of its own; what it stores lies in ordinary tables beside it.
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name"
_COLUMNS = "SELECT name, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid"
_OBJECTS = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name"
_VIRTUAL, _STORED = 2, 3
"""Generated columns in ``hidden``: a virtual one is not stored, and may need functions that only the application has."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column that a table stores."""

    name: str
    key: int
    """Position in the primary key, from 1; 0 outside it."""
    generated: bool


def tables(session: sqlite3.Connection) -> list[str]:
    """Every table that stores rows, SQLite's own and those behind virtual tables included."""
    return [name for (name,) in session.execute(_TABLES)]


def columns(session: sqlite3.Connection, name: str) -> list[Column]:
    """The stored columns of a table, in order."""
    return [Column(each, key, hidden == _STORED) for each, key, hidden in session.execute(_COLUMNS, (name,)) if hidden != _VIRTUAL]


def place(name: str) -> Table:
    """(namespace, table) as ScalarDB's users know it: ``bank$acct`` is ``bank.acct``. No namespace: it is none of ScalarDB's."""
    namespace, dollar, table = name.partition("$")
    return (namespace, table) if dollar and namespace and not {".", '"'} & set(name) else ("", name)


def label(name: str) -> str:
    """One name for people; no two tables share one."""
    namespace, table = place(name)
    if namespace:
        return f"{namespace}.{table}"
    return '"' + name.replace('"', '""') + '"' if {".", '"'} & set(name) else name


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def shapes(session: sqlite3.Connection) -> dict[str, str]:
    """A digest of each table's and view's definition, with its indexes and triggers."""
    parts: dict[str, list[str]] = {}
    for kind, name, of, statement in session.execute(_OBJECTS):
        parts.setdefault(of, []).append(" ".join([kind, name, *statement.split()]))
    return {label(name): hashlib.sha256("\n".join(found).encode()).hexdigest()[:16] for name, found in parts.items()}


def oldest_library(session: sqlite3.Connection) -> str:
    """The oldest SQLite that understands this schema, as far as its tables tell."""
    # An older library has no such pragma, and could not have opened a file with a STRICT table.
    if session.execute("SELECT count(*) FROM pragma_table_list WHERE strict").fetchone() != (0,):
        return "3.37.0"
    generated = (
        "SELECT count(*) FROM sqlite_schema s, pragma_table_xinfo(s.name) WHERE s.type = 'table' AND s.rootpage > 0 AND hidden IN (2, 3)"
    )
    return "3.31.0" if session.execute(generated).fetchone() != (0,) else "3.8.0"


def lacking(session: sqlite3.Connection) -> str:
    """What SQLite's full check would miss here, a collation or a function of the application's; nothing is good. Reads no rows."""
    try:
        session.execute("EXPLAIN PRAGMA integrity_check").fetchall()
    except sqlite3.Error as error:
        if code_of(error) != sqlite3.SQLITE_ERROR:
            raise
        return str(error)
    return ""


def damage(path: str) -> str:
    """What SQLite's own full check finds wrong with a file of ours; nothing is good."""
    try:
        with opened(path, OURS) as session:
            found = [str(line) for (line,) in session.execute(f"PRAGMA integrity_check({SHOWN})")]
    except MidtimeError as error:
        return error.message
    return "" if found == ["ok"] else "; ".join(found)


def content(session: sqlite3.Connection) -> tuple[TableContent, ...]:
    """Rows and digests of every table."""
    return tuple(_table_content(session, name) for name in tables(session))


class Text(bytes):
    """A TEXT value as it is stored: not all that SQLite takes for text is UTF-8, and it must differ from a BLOB of the same bytes."""


def _table_content(session: sqlite3.Connection, name: str) -> TableContent:
    found = columns(session, name)
    keys = [at for at, column in enumerate(found) if column.key] or range(len(found))
    tally = ContentTally()
    query = f"SELECT {', '.join(quoted(column.name) for column in found)} FROM {quoted(name)}"
    session.text_factory = Text
    try:
        for row in session.execute(query):
            values = [_ENCODERS[type(value)](value) for value in row]
            tally.add(b"".join([values[at] for at in keys]), b"".join(values))
    finally:
        session.text_factory = str
    return tally.content(label(name), METHOD)


def _sized(mark: bytes) -> Callable[[Any], bytes]:
    return lambda value: b"%c%d:%s" % (mark, len(value), value)


_ENCODERS: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"n",
    int: lambda value: b"i%d;" % value,
    float: lambda value: b"f" + struct.pack(">d", value),
    Text: _sized(b"t"),
    bytes: _sized(b"b"),
}
"""1, 1.0, '1' and x'31' are four values to SQLite; none may be taken for another, nor two beside each other for other two."""

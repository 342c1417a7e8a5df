"""What a PostgreSQL database holds, in numbers that survive dump and restore: tables, shapes, counts and digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from midtime.model.restore_point import TableContent
from midtime.stores.digests import BUCKETS, bucket_digest

Session = Connection[tuple[Any, ...]]
METHOD = "postgresql hash_record_extended 1"
"""Changes whenever a digest of the same row would."""

# Everything below holds only tables that people own: no system schema, nothing temporary, nothing of an extension.
_TABLES = """
    SELECT n.nspname, c.relname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2"""
_COLUMNS = """
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, coalesce(k.position, 0)
    FROM pg_attribute a
    LEFT JOIN LATERAL (
        SELECT array_position(i.indkey::int2[], a.attnum) + 1 AS position FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary
    ) k ON true
    WHERE a.attrelid = format('%%I.%%I', %s::text, %s::text)::regclass AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
    ORDER BY a.attnum"""
_PARTS = """
    SELECT 'constraint ' || conname || contype::text FROM pg_constraint WHERE conrelid = format('%%I.%%I', %s::text, %s::text)::regclass AND contype <> 'n'
    UNION ALL
    SELECT 'index ' || i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
    WHERE x.indrelid = format('%%I.%%I', %s::text, %s::text)::regclass
    UNION ALL
    SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = format('%%I.%%I', %s::text, %s::text)::regclass AND NOT tgisinternal
    ORDER BY 1"""
_HASHED_AS_THEY_ARE = frozenset({"smallint", "integer", "bigint", "boolean", "bytea", "uuid", "date"})
_TEXT = ("text", "character varying")
# Text output of dates, floats and intervals depends on these; both sides of a comparison must use the same.
_DETERMINISTIC = (
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'iso_8601'; SET extra_float_digits = 1; SET bytea_output = 'hex'"
    # Rows that a policy hides must be an error, not be missing from a count;
    "; SET row_security = off"
    # How types and regclass values are written depends on the path, and the restored database may have another default.
    "; SET search_path = ''; SET lc_monetary = 'C'"
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    type: str
    not_null: bool
    key: int
    """Position in the primary key, from 1; 0 outside it."""


def tables(session: Session) -> list[tuple[str, str]]:
    """(schema, name) of every table that a dump must hold."""
    return [(schema, name) for schema, name in session.execute(_TABLES)]


def columns(session: Session, schema: str, name: str) -> list[Column]:
    """The columns of a table, in order."""
    return [Column(*row) for row in session.execute(_COLUMNS, (schema, name))]


def shape(session: Session, schema: str, name: str) -> str:
    """A digest of a table's columns, constraints, indexes and triggers; equal shapes, equal schema."""
    parts = [f"{c.name} {c.type} {c.not_null} {c.key}" for c in columns(session, schema, name)]
    # Not-null constraints got names of their own in version 18 only; the columns say the same.
    parts += [part for (part,) in session.execute(_PARTS, (schema, name) * 3)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def shapes(session: Session, of: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The shape of each table by its name."""
    return {f"{schema}.{name}": shape(session, schema, name) for schema, name in of}


def prepare(session: Session) -> None:
    """Make a session's digests comparable; no query, so an armed snapshot stays unfixed."""
    session.execute(_DETERMINISTIC)


def content(session: Session, of: Iterable[tuple[str, str]]) -> tuple[TableContent, ...]:
    """Rows and digests of each table, by one scan a table on the server."""
    return tuple(_table_content(session, schema, name) for schema, name in of)


def _table_content(session: Session, schema: str, name: str) -> TableContent:
    found = columns(session, schema, name)
    keys = sorted((column for column in found if column.key), key=lambda column: column.key)
    # A record's hash is linear in its columns' hashes: their plain sum would not see two rows that swapped a value. Hashing it again does.
    # OFFSET 0 hides the key from the planner, which otherwise expects as many groups as keys, and on a large table sorts it on the
    # server's disk, with parallel workers that take the cores from pg_dump.
    query = sql.SQL(
        "SELECT bucket, count(*), sum(digest)::text FROM ("
        "SELECT hash_record_extended({key}, 0) & {mask} AS bucket, hashint8extended(hash_record_extended({row}, 1), 2) AS digest"
        " FROM ONLY {table} OFFSET 0) hashed GROUP BY bucket"
    ).format(key=_row(keys or found), row=_row(found), mask=sql.Literal(BUCKETS - 1), table=sql.Identifier(schema, name))
    by_bucket = {bucket: (rows, digest) for bucket, rows, digest in session.execute(query)}
    digests = tuple(bucket_digest(*by_bucket.get(bucket, (0, "0"))) for bucket in range(BUCKETS))
    return TableContent(name=f"{schema}.{name}", rows=sum(rows for rows, _ in by_bucket.values()), buckets=digests, method=METHOD)


def _row(of: Iterable[Column]) -> sql.Composable:
    parts = [_hashable(column) for column in of]
    return sql.SQL("ROW({})").format(sql.SQL(", ").join(parts or [sql.SQL("0")]))


def _hashable(column: Column) -> sql.Composable:
    name = sql.Identifier(column.name)
    if column.type in _HASHED_AS_THEY_ARE:
        return name
    # Numeric's own hash takes 1.0 for 1.00, a float's -0 for 0, and a collation's two spellings for one; json and point have none at all.
    template = '{} COLLATE "C"' if column.type.startswith(_TEXT) else '{}::text COLLATE "C"'
    return sql.SQL(template).format(name)

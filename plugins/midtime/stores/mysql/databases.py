"""Databases on a MySQL or MariaDB server: named, made, renamed into place table by table, and dropped.

A server knows no RENAME DATABASE. One RENAME TABLE moves the tables of all databases at once: all of them or none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mysql.connector import Error

from midtime.errors import RequestError, RestoreFailedError, StoreAccessError, StoreUnreachableError, TargetExistsError
from midtime.stores.mysql import content
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql.programs import quoted
from midtime.stores.mysql.stream import Table
from midtime.stores.naming import require_working_name

LONGEST_NAME = 64
_MOVABLE = ("BASE TABLE", "SYSTEM VERSIONED", "SEQUENCE")
MARKER = "midtime_place"
"""A table of our own in a working database. It gets its other name in the statement that moves everything, and so tells whether that happened."""
MOVED = "midtime_placed"
_TRIGGERS = "SELECT DISTINCT event_object_schema, event_object_table FROM information_schema.triggers WHERE event_object_schema IN ({})"
_FOREIGN_KEYS = """
    SELECT DISTINCT {}, {}, table_name, constraint_name FROM information_schema.key_column_usage
    WHERE referenced_table_schema IN ({{0}}) OR (table_schema IN ({{1}}) AND referenced_table_schema IS NOT NULL) ORDER BY 1, 2, 3"""
_DEFAULTS = "SELECT table_schema, table_name, column_name, column_default FROM information_schema.columns WHERE table_schema IN ({})"
_LOCK_WAIT = (1205, 1969)


def named(pattern: str, databases: Iterable[str]) -> dict[str, str]:
    """Each database's name under a pattern such as ``*_restored_1f2e3d``; what is too long loses its middle, never its difference.

    >>> named("copy_*", ["bank", "coordinator"])
    {'bank': 'copy_bank', 'coordinator': 'copy_coordinator'}
    """
    return {name: _fit(pattern, name) for name in databases}


def _fit(pattern: str, name: str) -> str:
    full = pattern.replace("*", name, 1)
    if len(full) <= LONGEST_NAME:
        return full
    digest = hashlib.sha256(name.encode()).hexdigest()[:6]
    if (room := LONGEST_NAME - (len(full) - len(name)) - len(digest)) < 0:
        raise RequestError(f"{pattern!r} leaves no room for the names of databases", fix=f"a name has {LONGEST_NAME} letters at most")
    return pattern.replace("*", name[:room] + digest, 1)


def with_tables(session: Session, databases: Iterable[str]) -> list[str]:
    """Those of them that hold anything; an empty one, made for us by somebody, is in nobody's way."""
    return sorted({table.database for table in content.tables(session, list(databases))})


def create(session: Session, described: Sequence[Mapping[str, str]], names: Mapping[str, str]) -> None:
    """Databases with the character sets of those that were described; one that is there is left as it is.

    :raises StoreAccessError: this login may not create databases
    """
    for each in described:
        options = f"CHARACTER SET {each['charset']} COLLATE {each['collation']}"
        session.rows(f"CREATE DATABASE IF NOT EXISTS {quoted(names[each['name']])} {options}")


def drop(session: Session, names: Iterable[str]) -> None:
    """Remove working copies, and never anything else; one that is not there is as good."""
    doomed = list(names)
    for name in doomed:
        require_working_name(name)
    session.rows("SET SESSION foreign_key_checks = 0")  # working copies may point into each other
    for name in doomed:
        session.rows(f"DROP DATABASE IF EXISTS {quoted(name)}")
    session.rows("SET SESSION foreign_key_checks = 1")


def beginning_with(session: Session, prefix: str) -> list[str]:
    """The databases whose names begin so."""
    require_working_name(prefix)
    return [name for (name,) in session.rows("SELECT schema_name FROM information_schema.schemata") if name.startswith(prefix)]


def probe(session: Session, name: str, then: Callable[[], None] = lambda: None) -> None:
    """Find out whether this login may make and remove what a restore needs.

    :param then: what else is tried, beside the table ``probed``
    :raises StoreAccessError: it may not
    """
    require_working_name(name)
    try:
        session.rows(f"CREATE DATABASE {quoted(name)}")
        session.rows(f"CREATE TABLE {quoted(name)}.probe (id int PRIMARY KEY)")
        session.rows(f"RENAME TABLE {quoted(name)}.probe TO {quoted(name)}.probed")
        then()
        session.rows(f"DROP DATABASE {quoted(name)}")
    except Error as error:
        with suppress(Error):
            session.rows(f"DROP DATABASE IF EXISTS {quoted(name)}")
        raise StoreAccessError(
            f"the login may not make, rename and drop databases and tables: {error}",
            fix="GRANT ALL ON `midtime\\_tmp\\_%`.* and on the names that are restored to",
        ) from error


def immovable(session: Session, databases: Sequence[str]) -> list[str]:
    """Why these live databases' tables cannot be renamed away, one sentence each."""
    triggers = [f"table {schema}.{table} has triggers" for schema, table in session.about(_TRIGGERS, databases)]
    keys = [
        f"foreign key {name} of {schema}.{table}, which stays, points to one of them"
        for _, schema, table, name in _foreign_keys(session, "referenced_table_schema", "table_schema", databases)
    ]
    return triggers + keys


def leaving(session: Session, databases: Sequence[str]) -> list[str]:
    """Foreign keys of these databases that point out of them."""
    found = _foreign_keys(session, "table_schema", "referenced_table_schema", databases)
    return [f"{name} of {schema}.{table} to {other}" for schema, other, table, name in found]


def _foreign_keys(session: Session, inside: str, outside: str, databases: Sequence[str]) -> list[tuple[Any, ...]]:
    rows = session.about(_FOREIGN_KEYS.format(inside, outside), databases, databases)
    return [row for row in rows if row[1] not in databases]


def swap(
    session: Session,
    *,
    working: Mapping[str, str],
    final: Mapping[str, str],
    aside: Mapping[str, str] | None,
    before: Callable[[Sequence[Table], Sequence[Table]], None] = lambda *_: None,
) -> None:
    """Move what is live aside and what was restored to its place, in one statement; nothing is done when that happened already.

    All three are keyed by the original names. The databases exist, and our table :data:`MARKER` in the first working one.

    :param aside: None where nothing may be replaced
    :param before: is told what is about to be moved, by the names that it has: what was restored, what is live
    :raises StoreUnreachableError: somebody keeps hold of one of them
    """
    restored, live = _movable(session, working.values()), _movable(session, final.values())
    own = working[min(working)]
    if (own, MOVED) in restored:
        return
    restored = [table for table in restored if table != (own, MARKER)]
    before(restored, live)
    back, fore = {working[name]: final[name] for name in working}, {final[name]: (aside or {}).get(name, "") for name in final}
    moves = [((schema, table), (fore[schema], table)) for schema, table in live]
    moves += [((schema, table), (back[schema], table)) for schema, table in restored]
    _move(session, [*moves, ((own, MARKER), (own, MOVED))])


def swap_back(
    session: Session,
    *,
    working: Mapping[str, str],
    final: Mapping[str, str],
    aside: Mapping[str, str],
    restored: Sequence[Table],
    live: Sequence[Table],
) -> None:
    """Undo :func:`swap`, in one statement. What else is in these databases stays where it is.

    :param restored: what it was told to move into place, by the working names; what of it is gone is not missed
    :param live: what it was told to move aside, by the final names
    :raises RestoreFailedError: something that was kept is gone; nothing was moved
    :raises StoreUnreachableError: somebody keeps hold of one of them
    """
    own, there = working[min(working)], set(_movable(session, [*final.values(), *aside.values()]))
    fore, back = {working[name]: final[name] for name in working}, {final[name]: aside[name] for name in aside}
    kept = [((back[schema], table), (schema, table)) for schema, table in live]
    if gone := [f"{schema}.{table}" for (schema, table), _ in kept if (schema, table) not in there]:
        raise RestoreFailedError(
            f"{', '.join(gone[:10])} was kept and is gone", fix="find what became of it, and run again when it is there"
        )
    moves = [((fore[schema], table), (schema, table)) for schema, table in restored]
    _move(session, [*(move for move in moves if move[0] in there), *kept, ((own, MOVED), (own, MARKER))])


def _move(session: Session, moves: Sequence[tuple[Table, Table]]) -> None:
    try:
        session.rows("RENAME TABLE " + ", ".join(f"{_full(*of)} TO {_full(*to)}" for of, to in moves))
    except Error as error:
        if error.errno in _LOCK_WAIT:
            raise StoreUnreachableError(f"a table is in use: {error}", fix="stop whoever uses it, then run again") from error
        raise


def require_movable(session: Session, *, working: Mapping[str, str], final: Mapping[str, str], approved: bool) -> None:
    """Ask again what the plan asked: it may be a day old. Nothing was made yet.

    :param approved: whether live tables may be replaced
    :raises TargetExistsError: tables appeared, and nobody approved of replacing them
    :raises StoreAccessError: the working copy is gone, or something holds the live tables where they are
    """
    live = _movable(session, final.values())
    if not [table for _, table in _movable(session, working.values()) if table != MARKER]:
        raise StoreAccessError("the working copy is gone", fix="start a new run")
    if live and not approved:
        raise TargetExistsError(
            f"{live[0][0]}.{live[0][1]} appeared since the run was planned", fix="choose another target and start a new run"
        )
    if live and (reasons := immovable(session, list(final.values()))):
        raise StoreAccessError(f"cannot replace the live tables: {'; '.join(reasons[:10])}", fix="drop those for that time, then try again")


def _movable(session: Session, databases: Iterable[str]) -> list[Table]:
    return [(table.database, table.name) for table in content.tables(session, list(databases)) if table.type in _MOVABLE]


def follow_sequences(session: Session, databases: Mapping[str, str]) -> None:
    """A column's default that draws from a sequence still names the database in which the sequence was.

    :param databases: where the tables were -> where they are
    """
    for schema, table, column, default in session.about(_DEFAULTS, list(databases.values())):
        changed = str(default or "")
        for old, new in databases.items():
            changed = changed.replace(f"{quoted(old)}.", f"{quoted(new)}.")
        if default and changed != default:
            session.rows(f"ALTER TABLE {_full(schema, table)} ALTER COLUMN {quoted(column)} SET DEFAULT ({changed})")


def _full(schema: str, table: str) -> str:
    return f"{quoted(schema)}.{quoted(table)}"

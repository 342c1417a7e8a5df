"""Views, triggers, routines and events: what belongs to a database beside its tables and rows.

They are read from the server as it would create them again, and created statement by statement. Their names of databases are changed where
they are restored under other ones; one that cannot be changed for sure is refused, because it would reach into the original.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mysql.connector import Error

from midtime.errors import RestoreFailedError
from midtime.stores.mysql.connections import Session

_LISTS = {
    "VIEW": "SELECT table_schema, table_name FROM information_schema.views WHERE table_schema IN ({}) ORDER BY 1, 2",
    "TRIGGER": "SELECT trigger_schema, trigger_name FROM information_schema.triggers WHERE trigger_schema IN ({}) "
    "ORDER BY 1, event_object_table, action_timing, event_manipulation, action_order",
    "FUNCTION": "SELECT routine_schema, routine_name FROM information_schema.routines "
    "WHERE routine_schema IN ({}) AND routine_type = 'FUNCTION' ORDER BY 1, 2",
    "PROCEDURE": "SELECT routine_schema, routine_name FROM information_schema.routines "
    "WHERE routine_schema IN ({}) AND routine_type = 'PROCEDURE' ORDER BY 1, 2",
    "EVENT": "SELECT event_schema, event_name FROM information_schema.events WHERE event_schema IN ({}) ORDER BY 1, 2",
}
_STATEMENT = {"VIEW": 1, "TRIGGER": 2, "FUNCTION": 2, "PROCEDURE": 2, "EVENT": 3}
"""Where in SHOW CREATE's answer the statement stands."""
_SQL_MODE = {"TRIGGER": 1, "FUNCTION": 1, "PROCEDURE": 1, "EVENT": 1}
_DEFINER = re.compile(r"DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*` ?|DEFINER=`(?:[^`]|``)*` ?")
_TOKENS = re.compile(
    r"""(?P<skip>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.|"")*"|/\*.*?\*/|--[ \t].*?$|\#.*?$)"""
    r"""|(?P<quoted>`(?:[^`]|``)+`)(?P<dot1>\s*\.)?|(?P<bare>[A-Za-z0-9_$\x80-\U0010ffff]+)(?P<dot2>\s*\.)?""",
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Program:
    """One view, trigger, routine or event."""

    kind: str
    database: str
    name: str
    statement: str
    sql_mode: str

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.kind.lower()} {self.database}.{self.name}"

    def to_dict(self) -> dict[str, str]:
        """For a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, str]) -> Program:
        """Read what :meth:`to_dict` wrote."""
        return cls(**body)

    def moved(self, databases: Mapping[str, str]) -> Program:
        """The same for databases of other names; an event is switched off: a copy must do nothing by itself.

        :param databases: old name -> new name
        """
        changed = {old: new for old, new in databases.items() if old != new}
        statement = renamed(self.statement, changed) if changed else self.statement
        if self.kind == "EVENT" and changed:
            statement = re.sub(r"\bENABLE\b", "DISABLE", statement, count=1)
        return replace(self, database=databases.get(self.database, self.database), statement=statement)


def read(session: Session, databases: Sequence[str]) -> list[Program]:
    """Everything of these databases that this login may see."""
    return [program for kind in _LISTS for program in _of_kind(session, kind, databases)]


def names(session: Session, databases: Sequence[str]) -> set[tuple[str, str, str]]:
    """(kind, database, name) of the same, without their statements."""
    return {(kind, database, name) for kind in _LISTS for database, name in _listed(session, kind, databases)}


def _listed(session: Session, kind: str, databases: Sequence[str]) -> list[tuple[Any, ...]]:
    return session.rows(_LISTS[kind].format(", ".join(["%s"] * len(databases))), databases) if databases else []


def _of_kind(session: Session, kind: str, databases: Sequence[str]) -> Iterator[Program]:
    for database, name in _listed(session, kind, databases):
        row = session.rows(f"SHOW CREATE {kind} {quoted(database)}.{quoted(name)}")[0]
        mode = str(row[_SQL_MODE[kind]]) if kind in _SQL_MODE else ""
        # Without SHOW_ROUTINE or ownership, the server hides a body behind NULL.
        yield Program(kind, database, name, str(row[_STATEMENT[kind]] or ""), mode)


def create(session: Session, wanted: Iterable[Program]) -> list[Program]:
    """Create what is not there, in whatever order it works: a view may need another one first.

    :return: what was created without its definer, who does not exist or whom this login may not name
    :raises RestoreFailedError: one cannot be created
    """
    left, without_definer = list(wanted), []
    while left:
        failed: list[tuple[Program, str]] = []
        for program in left:
            try:
                without_definer += _create(session, program)
            except Error as error:
                failed.append((program, str(error)))
        if len(failed) == len(left):
            program, said = failed[0]
            raise RestoreFailedError(f"{program.label} cannot be created: {said}", fix="see what it needs that this server lacks")
        left = [program for program, _ in failed]
    return without_definer


def _create(session: Session, program: Program) -> list[Program]:
    session.rows(f"USE {quoted(program.database)}")
    session.rows("SET SESSION sql_mode = %s", (program.sql_mode,))
    try:
        session.rows(program.statement)
        return []
    except Error as error:
        if error.errno not in (1227, 1449):  # may not name another definer; there is no such user
            raise
        session.rows(_DEFINER.sub("", program.statement, count=1))
        return [program]
    finally:
        session.rows("SET SESSION sql_mode = ''")


def drop_triggers(session: Session, databases: Sequence[str]) -> None:
    """Remove the triggers of our own working copies: a table that has some cannot be renamed into another database."""
    for database, name in _listed(session, "TRIGGER", databases):
        session.rows(f"DROP TRIGGER {quoted(database)}.{quoted(name)}")


def ambiguous(program: Program, databases: Mapping[str, str], tables: Iterable[str]) -> bool:
    """Whether a database's name in this program may be a table's or an alias': then it cannot be changed for sure."""
    changed = {old.lower() for old, new in databases.items() if old != new}
    return bool(changed & {table.lower() for table in tables}) or any(
        re.search(rf"\bAS\s+`?{re.escape(name)}`?(?!\s*\.)", program.statement, re.IGNORECASE) for name in changed
    )


def renamed(statement: str, databases: Mapping[str, str]) -> str:
    """Other databases wherever a name with a dot behind it is one of theirs; strings and comments are left alone."""

    def other(match: re.Match[str]) -> str:
        if match["skip"]:
            return match[0]
        dot = match["dot1"] or match["dot2"]
        name = match["bare"] or match["quoted"][1:-1].replace("``", "`")
        return f"{quoted(databases[name])}{dot}" if dot and name in databases else match[0]

    return _TOKENS.sub(other, statement)


def quoted(name: str) -> str:
    """An identifier."""
    return f"`{name.replace('`', '``')}`"

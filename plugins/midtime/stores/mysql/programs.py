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

from midtime.stores.mysql.connections import Session, passing, prepare
from midtime.stores.naming import require_working_name

_LISTS = {
    "VIEW": "SELECT table_schema, table_name FROM information_schema.views WHERE table_schema IN ({}) ORDER BY 1, 2",
    "TRIGGER": "SELECT trigger_schema, trigger_name FROM information_schema.triggers WHERE trigger_schema IN ({}) "
    "ORDER BY 1, event_object_table, action_timing, event_manipulation, action_order",
    "EVENT": "SELECT event_schema, event_name FROM information_schema.events WHERE event_schema IN ({}) ORDER BY 1, 2",
}
_LISTS |= {
    kind: f"SELECT routine_schema, routine_name FROM information_schema.routines "
    f"WHERE routine_schema IN ({{}}) AND routine_type = '{kind}' ORDER BY 1, 2"
    for kind in ("FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY")  # packages: MariaDB's
}
_ANSWERS = {"VIEW": (1, 3), "EVENT": (3, 5)}
"""Where in SHOW CREATE's answer the statement and its collation stand."""
_ANSWER = (2, 4)
_DEFINER = re.compile(r"""DEFINER=(?:`(?:[^`]|``)*`|"(?:[^"]|"")*")(?:@(?:`(?:[^`]|``)*`|"(?:[^"]|"")*"))? ?""")
_ENABLED = re.compile(r"(\bON COMPLETION (?:NOT )?PRESERVE) ENABLE\b")
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
    settings: Mapping[str, str]
    """The session's variables under which the statement means what it meant."""

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.kind.lower()} {self.database}.{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """For a manifest."""
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Program:
        """Read what :meth:`to_dict` wrote."""
        return cls(**body)

    def moved(self, databases: Mapping[str, str], *, live: bool) -> Program:
        """The same for databases of other names.

        :param databases: old name -> new name
        :param live: it takes the original's place; otherwise an event is switched off: a copy must do nothing by itself
        """
        changed = {old: new for old, new in databases.items() if old != new}
        statement = renamed(self.statement, changed) if changed else self.statement
        if self.kind == "EVENT" and not live:
            statement = _ENABLED.sub(r"\1 DISABLE", statement, count=1)
        return replace(self, database=databases.get(self.database, self.database), statement=statement)


def read(session: Session, databases: Sequence[str]) -> list[Program]:
    """Everything of these databases that this login may see."""
    return [program for kind in _LISTS for program in _of_kind(session, kind, databases)]


def names(session: Session, databases: Sequence[str]) -> set[tuple[str, str, str]]:
    """(kind, database, name) of the same, without their statements."""
    return {(kind, database, name) for kind in _LISTS for database, name in _listed(session, kind, databases)}


def _listed(session: Session, kind: str, databases: Sequence[str]) -> list[tuple[Any, ...]]:
    return session.about(_LISTS[kind], databases)


def _of_kind(session: Session, kind: str, databases: Sequence[str]) -> Iterator[Program]:
    for database, name in _listed(session, kind, databases):
        row = session.rows(f"SHOW CREATE {kind} {quoted(database)}.{quoted(name)}")[0]
        statement, collation = _ANSWERS.get(kind, _ANSWER)
        settings = {"sql_mode": "" if kind == "VIEW" else str(row[1]), "collation_connection": str(row[collation])}
        if kind == "EVENT":
            settings["time_zone"] = str(row[2])  # of its schedule
        # Without SHOW_ROUTINE or ownership, the server hides a body behind NULL.
        yield Program(kind, database, name, str(row[statement] or ""), settings)


def create(session: Session, wanted: Iterable[Program]) -> tuple[list[Program], list[tuple[Program, str]]]:
    """Create what is not there, in whatever order it works: a view may need another one first.

    :return: what was created without its definer, who does not exist or whom this login may not name; and what could not be created, with the
        reason: a view may be broken where it was read already, or need what only that server has
    """
    left, without_definer = list(wanted), []
    while left:
        failed: list[tuple[Program, str]] = []
        for program in left:
            try:
                without_definer += _create(session, program)
            except Error as error:
                if passing(error):
                    raise
                failed.append((program, str(error)))
        if len(failed) == len(left):
            return without_definer, failed
        left = [program for program, _ in failed]
    return without_definer, []


def broken(session: Session, found: Iterable[Program]) -> list[Program]:
    """Those views among them that do not work: what they read is gone, or their definer may not read it."""
    bad = []
    for program in found:
        if program.kind == "VIEW":
            try:
                session.rows(f"SELECT 1 FROM {quoted(program.database)}.{quoted(program.name)} LIMIT 0")
            except Error as error:
                if passing(error):
                    raise
                bad.append(program)
    return bad


def _create(session: Session, program: Program) -> list[Program]:
    session.rows(f"USE {quoted(program.database)}")
    try:
        session.rows(f"SET SESSION {', '.join(f'{name} = %s' for name in program.settings)}", list(program.settings.values()))
        session.rows(program.statement)
        return []
    except Error as error:
        if error.errno not in (1227, 1449):  # may not name another definer; there is no such user
            raise
        session.rows(_DEFINER.sub("", program.statement, count=1))
        return [program]
    finally:
        prepare(session)


def trigger_refused(session: Session, database: str, table: str) -> list[str]:
    """Try to create a trigger; what the server says if it does not want to, for want of a right."""
    try:
        session.rows(
            f"CREATE TRIGGER {quoted(database)}.probe BEFORE INSERT ON {quoted(database)}.{quoted(table)} FOR EACH ROW SET @probe = 1"
        )
    except Error as error:
        if passing(error):
            raise
        return [str(error)]
    return []


def drop_triggers(session: Session, databases: Sequence[str]) -> None:
    """Remove the triggers of our own working copies: a table that has some cannot be renamed into another database."""
    for database, name in _listed(session, "TRIGGER", databases):
        require_working_name(database)
        session.rows(f"DROP TRIGGER {quoted(database)}.{quoted(name)}")


def ambiguous(program: Program, databases: Mapping[str, str], tables: Iterable[str]) -> bool:
    """Whether a database's name in this program may be something else's, or stands where it cannot be told: it would not be changed for sure.

    That is a table, an alias or a variable of that name, another spelling, and every string (it may become SQL) or comment that has it.
    """
    changed = {old for old, new in databases.items() if old != new}
    folded = {name.lower() for name in changed}
    return bool(folded & {table.lower() for table in tables}) or unsure(_DEFINER.sub("", program.statement, count=1), changed, strings=True)


def unsure(statement: str, databases: Iterable[str], *, strings: bool) -> bool:
    """Whether :func:`renamed` could miss or mistake one of these databases in this statement.

    :param strings: whether what stands in a string counts
    """
    wanted, after_dot = set(databases), False
    folded = {name.lower() for name in wanted}
    for match in _TOKENS.finditer(statement):
        if text := match["skip"]:
            counts = strings or not text.startswith(("'", '"'))
            if counts and any(name in text.lower() for name in folded):
                return True
            continue
        dot, name = match["dot1"] or match["dot2"], _name(match)
        if name.lower() in folded and not after_dot and (name not in wanted or not dot):
            return True
        after_dot = bool(dot)
    return False


def _name(match: re.Match[str]) -> str:
    found: str = match["bare"] or match["quoted"][1:-1].replace("``", "`")
    return found


def renamed(statement: str, databases: Mapping[str, str]) -> str:
    """Other databases wherever a name with a dot behind it is one of theirs; strings and comments are left alone."""

    def other(match: re.Match[str]) -> str:
        if match["skip"]:
            return match[0]
        dot, name = match["dot1"] or match["dot2"], _name(match)
        return f"{quoted(databases[name])}{dot}" if dot and name in databases else match[0]

    return _TOKENS.sub(other, statement)


def quoted(name: str) -> str:
    """An identifier."""
    return f"`{name.replace('`', '``')}`"

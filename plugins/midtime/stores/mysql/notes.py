"""What was made for one target, noted on its server; and a lock by name, so that one session at a time works on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from mysql.connector import Error

from midtime.errors import StoreUnreachableError
from midtime.stores.mysql.connections import LOCK_WAIT_SECONDS, Session, passing
from midtime.stores.mysql.databases import MARKER, MOVED
from midtime.stores.mysql.programs import quoted
from midtime.stores.mysql.stream import Table

CLOSED = "midtime_put_back"
"""What the table is called while all is put back: a statement that would still move everything does not find it."""
_WAIT_SECONDS = LOCK_WAIT_SECONDS + 15
"""Longer than a statement waits whose task is dead."""
_NO_LOCKS = (1105, 1235)
"""What clusters answer: they know no locks by name."""
_MISSING = (1049, 1146)
"""No such database, no such table."""
_COLUMN = "varchar(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"


class Notes:
    """What was made for one target, by kind."""

    def __init__(self, session: Session, own: str) -> None:
        self.session, self.own = session, own
        self.found = next((name for name in (MARKER, MOVED, CLOSED) if self._is_there(name)), None)  # renamed meanwhile, it is met later
        """What the table is called; None where there is none."""

    @property
    def moved(self) -> bool:
        """Whether the statement that counts has been executed, and not been undone."""
        return self.found == MOVED

    @property
    def _table(self) -> str:
        return self._called(self.found or MARKER)

    def _called(self, name: str) -> str:
        return f"{quoted(self.own)}.{quoted(name)}"

    def _is_there(self, name: str) -> bool:
        """Not asked of information_schema: its list misses a table that is renamed while it is read."""
        try:
            self._patiently(f"SELECT 1 FROM {self._called(name)} LIMIT 0")
        except Error as error:
            if error.errno in _MISSING:
                return False
            raise
        return True

    def close(self) -> None:
        """From here on no statement that still waits can move anything; unless it was faster, and has taken the table's name itself.

        :raises StoreUnreachableError: such a statement holds the table
        """
        try:
            self._patiently(f"RENAME TABLE {self._called(MARKER)} TO {self._called(CLOSED)}")
        except Error:
            if Notes(self.session, self.own).found == MARKER:
                raise

    def _patiently(self, statement: str) -> None:
        try:
            self.session.rows(statement)
        except Error as error:
            if passing(error):
                raise StoreUnreachableError(
                    f"tables are still being moved: {error}", fix="stop whoever uses them, then run again"
                ) from error
            raise

    def reopen(self) -> None:
        """Go on placing where a way back was killed."""
        if self.found == CLOSED:
            self.session.rows(f"RENAME TABLE {self._called(CLOSED)} TO {self._called(MARKER)}")
            self.found = MARKER

    def begin(self) -> None:
        """Make the table, unless an earlier try did."""
        columns = ", ".join(f"{name} {_COLUMN}" for name in ("kind", "place", "name"))
        self.session.rows(f"CREATE TABLE IF NOT EXISTS {self._table} ({columns}, PRIMARY KEY (kind, place, name)) ENGINE=InnoDB")

    def add(self, kind: str, made: Iterable[Table]) -> None:
        """Before it is made, or moved."""
        if rows := [(kind, place, name) for place, name in made]:
            values = ", ".join(["(%s, %s, %s)"] * len(rows))
            self.session.rows(f"REPLACE INTO {self._table} VALUES {values}", [value for row in rows for value in row])

    def forget(self, kind: str) -> None:
        """None of these was made after all."""
        self.session.rows(f"DELETE FROM {self._table} WHERE kind = %s", (kind,))

    def of(self, kind: str) -> list[Table]:
        """(database, name) of each; a database's name is empty."""
        return [
            (str(place), str(name)) for place, name in self.session.rows(f"SELECT place, name FROM {self._table} WHERE kind = %s", (kind,))
        ]

    def remove(self) -> None:
        """The table itself: everything is as it was."""
        self.session.rows(f"DROP TABLE {self._table}")


@contextmanager
def alone(session: Session, own: str) -> Iterator[bool]:
    """No other session places or puts back this working copy meanwhile; the server counts one whose statement still waits.

    :return: False where the server has no such locks
    :raises StoreUnreachableError: another session is at it
    """
    locked = _locked(session, own)
    try:
        yield locked
    finally:
        if locked:
            with suppress(Error):  # the lock goes with the session
                session.value("SELECT RELEASE_LOCK(%s)", (own,))


def _locked(session: Session, own: str) -> bool:
    try:
        got = session.value("SELECT GET_LOCK(%s, %s)", (own, _WAIT_SECONDS))
    except Error as error:
        if error.errno in _NO_LOCKS:
            return False
        raise
    if got != 1:
        raise StoreUnreachableError(
            f"another session is still placing or putting back {own!r}",
            fix="SHOW PROCESSLIST tells what it waits for; stop that, then run again",
        )
    return True

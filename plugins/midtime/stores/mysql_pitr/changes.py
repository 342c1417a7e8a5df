"""The changes of rows in a stretch of the binary log, for some databases; everything else in it is passed over, or stands in the way."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from midtime.errors import CopyError
from midtime.stores.mysql_pitr import events, queries
from midtime.stores.mysql_pitr.events import ROWS, Event, Kind
from midtime.stores.mysql_pitr.queries import Effect

_NO_TABLE = b"\xff\xff\xff\x00\x00\x00"
"""Id of rows that are none: they only end a statement."""
_PASSED = {
    Kind.STOP, Kind.ROTATE, Kind.INTVAR, Kind.RAND, Kind.USER_VAR, Kind.FORMAT, Kind.HEARTBEAT, Kind.IGNORABLE, Kind.ROWS_QUERY,
    Kind.PREVIOUS_GTIDS, Kind.MARIADB_ANNOTATE_ROWS, Kind.MARIADB_CHECKPOINT, Kind.MARIADB_GTID_LIST,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """Rows that one event writes, changes or deletes."""

    maps: tuple[Event, ...]
    """The tables of its statement that are in our databases."""
    rows: Event
    last: bool
    """Whether the statement ends with it."""


class Changes:
    """Goes over events, one after the other.

    :param databases: whose changes are wanted
    """

    def __init__(self, databases: Collection[str]) -> None:
        self.databases = frozenset(databases)
        self.obstacle = ""
        """What cannot be replayed, once it was met: nothing behind it may be used, nor what came before it in its transaction."""
        self.in_transaction = False
        self.longest = 0
        """Bytes of the longest event that is wanted."""
        self._maps: dict[bytes, Event | None] = {}
        self._held: Event | None = None
        self._touched = False
        self._alone = False
        """Whether the transaction is a single statement, which nothing else ends; MySQL tells so only by not beginning one."""

    def of(self, found: Iterable[Event]) -> Iterator[Change]:
        """The changes among these events; ends at an obstacle.

        :raises CopyError: an event of a kind that is not known, or a damaged one
        """
        for event in found:
            try:
                changes = self._feed(event)
            except (IndexError, UnicodeDecodeError, struct.error) as error:
                raise CopyError(f"the binary log is damaged: {error}", fix="the next full dump begins anew") from error
            yield from changes
            if self.obstacle:
                return

    def _feed(self, event: Event) -> tuple[Change, ...]:
        kind = event.kind
        if kind in ROWS:
            return self._rows(event)
        if kind == Kind.TABLE_MAP:
            self._map(event)
        elif kind == Kind.QUERY:
            self._query(event)
        elif kind in (Kind.MARIADB_GTID, Kind.GTID, Kind.ANONYMOUS_GTID):
            self._begin()
            self._alone = kind != Kind.MARIADB_GTID or events.stands_alone(event)
        elif kind == Kind.XID:
            self._end()
        elif kind == Kind.XA_PREPARE:
            self._undo("XA PREPARE")
            self._end()
        elif kind not in _PASSED:
            raise CopyError(f"the binary log has an event of type {kind}, which is not known", fix="report this with the server's version")
        return ()

    def _map(self, event: Event) -> None:
        self.in_transaction = True
        ours = events.table(event)[0] in self.databases
        self._maps[events.table_id(event)] = event if ours else None
        if ours:
            self.longest = max(self.longest, len(event.raw))

    def _rows(self, event: Event) -> tuple[Change, ...]:
        """One event is held back: only the next one tells whether it is the last of ours in its statement."""
        number, last = events.table_id(event), events.ends_statement(event)
        if number not in self._maps and not (number == _NO_TABLE and last):
            raise CopyError("the binary log is damaged: rows of a table that was not announced", fix="the next full dump begins anew")
        ready: tuple[Change, ...] = ()
        if self._maps.get(number) is not None:
            ready, self._held = self._release(last=False), event
            self._touched = True
            self.longest = max(self.longest, len(event.raw))
        if last:
            ready += self._release(last=True)
            self._maps.clear()
        return ready

    def _release(self, *, last: bool) -> tuple[Change, ...]:
        held, self._held = self._held, None
        return (Change(tuple(each for each in self._maps.values() if each), held, last),) if held else ()

    def _query(self, event: Event) -> None:
        statement = events.statement(event)
        found = queries.effect(statement, self.databases)
        if found is Effect.BEGIN:
            self._begin()
        elif found is Effect.CHANGE:
            self.obstacle = f"a statement that changes more than rows: {queries.shown(statement)}"
        elif found is Effect.UNDO:
            self._undo(queries.shown(statement))
        if found is Effect.COMMIT or (found is Effect.UNDO and " TO " not in queries.plain(statement.text)) or self._alone:
            self._end()

    def _undo(self, what: str) -> None:
        if self._touched:
            self.obstacle = f"a transaction that does not end by its commit: {what}"

    def _begin(self) -> None:
        self.in_transaction, self._touched, self._alone = True, False, False

    def _end(self) -> None:
        if self._maps:
            raise CopyError("the binary log is damaged: a transaction ends within a statement", fix="the next full dump begins anew")
        self.in_transaction = self._touched = self._alone = False

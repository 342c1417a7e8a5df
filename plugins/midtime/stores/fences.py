"""Fence rows: what proves that a restored store did not land before the window, nor after it.

The row ``before`` is committed inside the window, before the capture or the marked instant; ``after`` once everything is unpaused. A restored
store must hold the first and must not hold the second, whatever the way in which it was brought back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol

from midtime.model.instants import utc_now
from midtime.verify.records import FENCE_TABLE

Place = Literal["before", "after"]
KEPT = timedelta(days=30)
"""How long rows stay in the live table; a restored one has those of its own time."""
KEPT_BY_SERVICES = timedelta(days=60)
"""The same where a managed service removes them; none restores to an instant that is older than 35 days."""
SECONDS = 1
"""How long one statement may wait: the first row is written inside the window."""
PLACES = "SELECT place FROM {table} WHERE window_id = {mark}"
"""Asks which rows of a window a restored store holds."""
_FORGET = "DELETE FROM {table} WHERE written_at < {mark}"
_WRITE = "INSERT INTO {table} (window_id, place, written_at) VALUES ({mark}, {mark}, {mark})"
_COLUMNS = "window_id VARCHAR(32) NOT NULL, place VARCHAR(8) NOT NULL, written_at BIGINT NOT NULL, PRIMARY KEY (window_id, place)"


class FenceWriter(Protocol):
    """What writes the fence rows of one store."""

    def prepare(self) -> None:
        """Make the table, unless it is there, and forget old rows. Before anything is armed: it is DDL, and may take long.

        :raises StoreError: we may not
        """

    def write(self, window: str, place: Place) -> None:
        """Write one row; it is committed when this returns.

        :raises StoreError: it cannot be written
        """


@dataclass(frozen=True, slots=True)
class Fence:
    """A session that writes fence rows by statements, each committed when :meth:`write` returns.

    :param execute: runs one statement with its parameters, in autocommit
    :param exists: whether the table is there
    :param errors: turns the driver's errors into ours
    :param table: the table's name as the engine quotes it
    :param mark: what stands for a parameter
    :param options: what stands behind the columns of a new table
    :param afterwards: what else a new table needs
    :param create: what makes it, before its name
    :param columns: of a new table
    :param forget: removes the rows that were written before an instant (epoch milliseconds), where one statement cannot
    """

    execute: Callable[[str, Sequence[Any]], object]
    exists: Callable[[], bool]
    errors: Callable[[], AbstractContextManager[None]]
    table: str
    mark: str = "%s"
    options: str = ""
    afterwards: tuple[str, ...] = ()
    create: str = "CREATE TABLE IF NOT EXISTS"
    columns: str = _COLUMNS
    forget: Callable[[int], object] | None = None

    def prepare(self) -> None:
        """Make the table, unless it is there, and forget old rows. Before anything is armed: it is DDL.

        :raises StoreError: we may not
        """
        with self.errors():
            if not self.exists():  # asked, because `IF NOT EXISTS` alone wants the right to make tables
                self.execute(f"{self.create} {self.table} ({self.columns}) {self.options}", ())
                for statement in self.afterwards:
                    self.execute(statement.format(table=self.table), ())
            (self.forget or self._forget)(_milliseconds() - int(KEPT.total_seconds() * 1000))

    def write(self, window: str, place: Place) -> None:
        """Write one row.

        :raises StoreError: it cannot be written, or, where the engine tells, is there already: a window captures a store once
        """
        with self.errors():
            self.execute(_WRITE.format(table=self.table, mark=self.mark), (window, place, _milliseconds()))

    def _forget(self, instant: int) -> None:
        self.execute(_FORGET.format(table=self.table, mark=self.mark), (instant,))


def fence_table(namespaces: Sequence[str]) -> tuple[str, str]:
    """Where a store's fence rows are: in the first of the namespaces that its backups hold."""
    return namespaces[0], FENCE_TABLE


def _milliseconds() -> int:
    return int(utc_now().timestamp() * 1000)

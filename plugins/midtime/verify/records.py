"""What verification reads: records, Coordinator rows and fence rows, and the protocols by which a store hands them over.

Columns as in ScalarDB's Consensus Commit (3.13 to 3.19): ``tx_id``, ``tx_state``, ``tx_version``, ``tx_prepared_at``, ``tx_committed_at``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

FENCE_TABLE = "midtime_fence"
"""Name of Midtime's own table in a store's first namespace."""


class TxState(IntEnum):
    """ScalarDB's ``tx_state``. A record is PREPARED, DELETED or COMMITTED; a Coordinator row is COMMITTED or ABORTED."""

    PREPARED = 1
    DELETED = 2
    COMMITTED = 3
    ABORTED = 4


@dataclass(frozen=True, slots=True)
class Record:
    """One transactional record; its values are of no interest here.

    :param store: the store's name in the topology
    :param table: ``namespace.table`` as ScalarDB names it, also where the columns sit in ``<table>_tx_metadata``
    :param key: the primary key, short and printable; different keys must stay different
    :param tx_state: as stored, so that a value ScalarDB never writes can be reported
    :param prepared_at: epoch milliseconds, by the clock of the product that prepared it
    :param committed_at: epoch milliseconds; 3.13 stamps a lazy recovery with the recovering product's present
    """

    store: str
    table: str
    key: str
    tx_id: str | None
    tx_state: int | None
    tx_version: int | None = None
    prepared_at: int | None = None
    committed_at: int | None = None


@dataclass(frozen=True, slots=True)
class WriteEntry:
    """One write of a committed transaction, decoded from a Coordinator row's ``tx_write_set``.

    :param key: spelled exactly as :attr:`Record.key` of the record that was written
    :param tx_id: the transaction's full id; in a group's row the child's, not the row's own
    :param tx_version: the version that the write gave the record; ``None`` when the write set does not say (3.19 logs keys only)
    :param deleted: the write removes the record
    """

    store: str
    table: str
    key: str
    tx_id: str
    tx_version: int | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class CoordinatorRow:
    """One row of ``<coordinator namespace>.state``.

    :param tx_id: a transaction's id, or the 24 characters that a group shares
    :param created_at: ``tx_created_at``, epoch milliseconds
    :param child_ids: ``tx_child_ids`` split at its commas; empty outside group commit
    :param write_set: ``None`` where the column is missing or NULL (nothing is known); empty for a transaction that wrote nothing
    """

    tx_id: str
    state: int
    created_at: int | None = None
    child_ids: tuple[str, ...] = ()
    write_set: tuple[WriteEntry, ...] | None = None


@dataclass(frozen=True, slots=True)
class FenceObservation:
    """Which of the window's two fence rows a restored store holds: the one before its capture, the one after the unpause."""

    store: str
    before_present: bool
    after_present: bool


class RecordSource(Protocol):
    """One restored store, read once from end to end."""

    def tables(self) -> Sequence[str]:
        """Every transactional table, as ``namespace.table``, found by its columns and ScalarDB's metadata, not by its name."""

    def records(self, table: str) -> Iterator[Sequence[Record]]:
        """All records of a table in batches of some thousands: each batch costs one look-up per Coordinator."""

    def non_transactional(self) -> Sequence[str]:
        """The tables without Consensus Commit's columns; they are listed in the verdict and not read."""


class Coordinator(Protocol):
    """One restored Coordinator table. Two ScalarDB clusters have two."""

    @property
    def name(self) -> str:
        """How people find it: ``store/namespace``."""

    def exists(self) -> bool:
        """Whether the restored set holds the table at all."""

    def lookup(self, tx_ids: Collection[str]) -> Mapping[str, CoordinatorRow]:
        """The rows whose ``tx_id`` is exactly one of these; ids without a row are left out."""

    def oldest_created_at(self) -> int | None:
        """The smallest ``tx_created_at`` in epoch milliseconds; ``None`` for an empty table."""

    def rows_newer_than(self, instant: int) -> Iterator[CoordinatorRow]:
        """The rows whose ``tx_created_at`` is later than ``instant`` (epoch milliseconds), in any order."""

"""What verification is told beforehand: what the topology declares, and which instant the set claims to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TopologyFacts:
    """What the topology declares about ScalarDB, which nothing in the records could tell for certain.

    :param one_phase_commit: ``one_phase_commit.enabled`` is on in some product: such transactions never have a Coordinator row
    :param purge: Coordinator rows of finished transactions are removed (ScalarDL's purge, an outside ``finishTransaction`` job)
    :param coordinator_recreated: a Coordinator was truncated, re-created or moved since the oldest record was written
    :param copied_in: tables (``namespace.table``) whose records were copied in from elsewhere together with their columns
    :param clock_bound_ms: how far a product's clock may be from the window's clock
    :param clock_measured: the bound was measured in the products' pods rather than declared
    :param allow_unexplained: up to so many unexplained findings are shown but do not fail
    :param fence: fence rows were written around the window
    :param write_set_lookback_ms: how long before the window a commit counts as recent for the write-set rule
    """

    one_phase_commit: bool = False
    purge: bool = False
    coordinator_recreated: bool = False
    copied_in: frozenset[str] = frozenset()
    clock_bound_ms: int = 500
    clock_measured: bool = False
    allow_unexplained: int = 0
    fence: bool = True
    write_set_lookback_ms: int = 60_000

    @property
    def rows_are_complete(self) -> bool:
        """Every committed transaction must have a Coordinator row: nothing is declared that would leave one out or remove one."""
        return not (self.one_phase_commit or self.purge or self.coordinator_recreated)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The instant that the set was brought back to, as far as it is known, in epoch milliseconds.

    :param start_ms: the pause window's start; for one database dumped in a single transaction, the snapshot's instant
    :param end_ms: the moment before the first unpause; ``None`` for a single snapshot, which has no window
    """

    start_ms: int
    end_ms: int | None = None

    def __post_init__(self) -> None:
        if self.end_ms is not None and self.end_ms < self.start_ms:
            raise ValueError(f"the window ends ({self.end_ms}) before it starts ({self.start_ms})")

    @property
    def single_snapshot(self) -> bool:
        """One database, dumped as a whole: there is no point in time that a restore could miss."""
        return self.end_ms is None

    @property
    def last_ms(self) -> int:
        """After this instant nothing in the set can have been written."""
        return self.start_ms if self.end_ms is None else self.end_ms

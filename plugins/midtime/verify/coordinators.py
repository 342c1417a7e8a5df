"""What the Coordinators say about transactions: one answer for each id, group commit and several Coordinators included."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from midtime.verify.records import Coordinator, CoordinatorRow, TxState

PARENT_LENGTH = 24  # of the id that a commit group shares; the full id is "<parent>:<child>" up to ScalarDB 3.13, "<parent>$<child>" later
_SEPARATORS = frozenset(":$")


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one transaction, by the Coordinators that know it."""

    states: Mapping[str, TxState]
    """COMMITTED or ABORTED, by the Coordinator's name."""

    @property
    def state(self) -> TxState:
        """The one that counts."""
        return TxState.COMMITTED if TxState.COMMITTED in self.states.values() else TxState.ABORTED

    @property
    def contradicts_itself(self) -> bool:
        """Whether one Coordinator has committed what another has aborted."""
        return len(set(self.states.values())) > 1


def parent_and_child(tx_id: str) -> tuple[str, str] | None:
    """The two halves of a group commit's full id; ``None`` for any other id.

    >>> parent_and_child("0123456789abcdef01234567$child")
    ('0123456789abcdef01234567', 'child')
    """
    if tx_id[PARENT_LENGTH : PARENT_LENGTH + 1] not in _SEPARATORS:
        return None
    return tx_id[:PARENT_LENGTH], tx_id[PARENT_LENGTH + 1 :]


def decide(tx_ids: Collection[str], coordinators: Sequence[Coordinator]) -> dict[str, Decision]:
    """What the Coordinators have decided of every id that some of them knows; the others are left out.

    COMMITTED in any of them counts: a transaction has a row in its own cluster's Coordinator only, and a row never changes.
    """
    found: dict[str, dict[str, TxState]] = {}
    for coordinator in coordinators:
        rows = coordinator.lookup(_ids_to_read(tx_ids))
        for tx_id in tx_ids:
            if (state := _state(tx_id, rows)) is not None:
                found.setdefault(tx_id, {})[coordinator.name] = state
    return {tx_id: Decision(states) for tx_id, states in found.items()}


def oldest_row(coordinators: Iterable[Coordinator]) -> int | None:
    """The youngest of the Coordinators' oldest ``tx_created_at``.

    A record does not say which Coordinator it belongs to, so it may belong to the one that was re-created last.
    """
    return max((oldest for each in coordinators if (oldest := each.oldest_created_at()) is not None), default=None)


def _ids_to_read(tx_ids: Iterable[str]) -> set[str]:
    # Full ids are read together with their parents': one trip, and most are found under one or the other anyway.
    return {wanted for tx_id in tx_ids for wanted in (tx_id, *(parent_and_child(tx_id) or ())[:1])}


def _state(tx_id: str, rows: Mapping[str, CoordinatorRow]) -> TxState | None:
    group = parent_and_child(tx_id)
    shared = rows.get(group[0]) if group else None
    if group and shared and shared.state == TxState.COMMITTED and group[1] in shared.child_ids:
        return TxState.COMMITTED
    # An ABORTED parent says nothing of its children: those that were late have rows of their own under the full id.
    own = rows.get(tx_id)
    return TxState(own.state) if own and own.state in (TxState.COMMITTED, TxState.ABORTED) else None

"""A small model of ScalarDB's Consensus Commit over two stores, stepped one storage operation at a time.

Clients are generators that yield between operations, so a test can interleave them at will, leave one standing where it is (a crash), and
take a snapshot of any store between any two operations. Written from facts/scalardb_records.md, independently of the rules under test.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field, replace

from midtime.verify.records import CoordinatorRow, Record, TxState, WriteEntry

from .fakes import FakeStore

Steps = Generator[None, None, None]
Place = tuple[str, str]  # store, key
PREPARED, DELETED, COMMITTED, ABORTED = TxState


@dataclass(frozen=True)
class Cell:
    """A record with ``before_*``; never changed, only replaced, so that identity is ScalarDB's condition on id and version."""

    tx_id: str | None
    state: TxState | None
    version: int | None
    prepared: int | None
    committed: int | None
    before: Cell | None = None

    @property
    def in_flight(self) -> bool:
        return self.state in (PREPARED, DELETED)


@dataclass(frozen=True)
class Plan:
    """What one transaction is going to do.

    :param writes: places it writes; a true value removes the record
    :param skew: how far its product's clock is ahead, ms
    :param group: the group's shared id, or empty
    """

    name: str
    writes: dict[Place, bool]
    skew: int = 0
    group: str = ""
    one_phase: bool = False

    @property
    def tx_id(self) -> str:
        return f"{self.group}${self.name}" if self.group else self.name


@dataclass
class World:
    """Two stores and one Coordinator at one instant."""

    now: int = 1_000
    stamps_from_row: bool = False  # later ScalarDB versions stamp tx_committed_at with the row's tx_created_at
    write_sets: bool = False
    versions: bool = True  # in write sets
    cells: dict[Place, Cell] = field(default_factory=dict)
    rows: dict[str, CoordinatorRow] = field(default_factory=dict)
    ready: dict[str, dict[str, tuple[WriteEntry, ...]]] = field(default_factory=dict)
    emitted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    committed: set[str] = field(default_factory=set)

    def transaction(self, plan: Plan) -> Steps:
        """Read, prepare every record, decide in the Coordinator, commit every record."""
        read = {place: self.cells.get(place) for place in plan.writes}
        yield
        if any(cell is not None and cell.in_flight for cell in read.values()):
            return
        writes = {place: removed for place, removed in plan.writes.items() if not (removed and read[place] is None)}
        if plan.one_phase and len({store for store, _ in writes}) == 1:
            self._one_phase(plan, writes, read)
            return
        entries = []
        for place, removed in writes.items():
            if self.cells.get(place) is not read[place]:
                yield from self._abort(plan)
                return
            version = _version(read[place]) + 1
            self.cells[place] = Cell(plan.tx_id, DELETED if removed else PREPARED, version, self.now + plan.skew, None, read[place])
            entries.append(WriteEntry(place[0], f"{place[0]}.t", place[1], plan.tx_id, version, removed))
            yield
        yield from self._decide(plan, tuple(entries))

    def _one_phase(self, plan: Plan, writes: Iterable[Place], read: dict[Place, Cell | None]) -> None:
        if all(self.cells.get(place) is read[place] for place in writes):
            for place in writes:
                stamp = self.now + plan.skew
                self.cells[place] = Cell(plan.tx_id, COMMITTED, _version(read[place]) + 1, stamp, stamp)
                if plan.writes[place]:
                    del self.cells[place]

    def _decide(self, plan: Plan, entries: tuple[WriteEntry, ...]) -> Steps:
        if plan.group:
            self.ready.setdefault(plan.group, {})[plan.name] = entries
            yield  # siblings may get ready meanwhile
            self._emit_group(plan)
        if plan.name not in self.emitted.get(plan.group, ()):
            if plan.tx_id in self.rows:
                yield from self._abort(plan)
                return
            self._put(plan.tx_id, COMMITTED, plan.skew, writes=entries)
        self.committed.add(plan.tx_id)
        for entry in entries:
            yield
            place = (entry.store, entry.key)
            self._finalize(place, self.cells.get(place), plan)

    def _emit_group(self, plan: Plan) -> None:
        # The first one emits for all that are ready; whoever comes later has a row of its own.
        if plan.group not in self.emitted and plan.group not in self.rows:
            children = tuple(name for name in self.ready[plan.group] if f"{plan.group}${name}" not in self.rows)
            if plan.name in children:
                self.emitted[plan.group] = children
                writes = tuple(entry for name in children for entry in self.ready[plan.group][name])
                self._put(plan.group, COMMITTED, plan.skew, children, writes)
                self.committed.update(f"{plan.group}${name}" for name in children)

    def _abort(self, plan: Plan) -> Steps:
        self._put(plan.tx_id, ABORTED, plan.skew)
        for place in plan.writes:
            yield
            self._roll_back(self.cells.get(place), place, plan.tx_id)

    def recovery(self, place: Place, skew: int = 0) -> Steps:
        """Lazy recovery of one record, as another transaction's read would do it, product's clock included."""
        cell = self.cells.get(place)
        yield
        if cell is None or not cell.in_flight or cell.tx_id is None:
            return
        parent, _, child = cell.tx_id.partition("$")
        if self._state(cell.tx_id) is None:
            yield
            if child and parent not in self.rows and parent not in self.emitted:
                self._put(parent, ABORTED, skew)  # closes the group: an ABORTED parent without children
            if self._state(cell.tx_id) is None:
                self._put(cell.tx_id, ABORTED, skew)
        state = self._state(cell.tx_id)
        yield
        if self.cells.get(place) is cell:
            if state is COMMITTED:
                self._finalize(place, cell, Plan(cell.tx_id, {}, skew))
            else:
                self._roll_back(cell, place, cell.tx_id)

    def finish(self, tx_id: str) -> None:
        """``finishTransaction`` or purge: remove the row once all its records are final."""
        row = self.rows.get(tx_id)
        names = {tx_id} | {f"{tx_id}${child}" for child in row.child_ids} if row else set()
        if row and row.state == COMMITTED and not any(cell.in_flight and cell.tx_id in names for cell in self.cells.values()):
            del self.rows[tx_id]

    def _state(self, tx_id: str) -> TxState | None:
        parent, _, child = tx_id.partition("$")
        shared = self.rows.get(parent)
        if child and shared and child in shared.child_ids:
            return TxState(shared.state)
        return TxState(self.rows[tx_id].state) if tx_id in self.rows else None

    def _put(self, tx_id: str, state: TxState, skew: int, children: tuple[str, ...] = (), writes: tuple[WriteEntry, ...] = ()) -> None:
        if not self.versions:
            writes = tuple(replace(entry, tx_version=None) for entry in writes)
        self.rows.setdefault(tx_id, CoordinatorRow(tx_id, state, self.now + skew, children, writes if self.write_sets else None))

    def _finalize(self, place: Place, cell: Cell | None, plan: Plan) -> None:
        if cell is None or not cell.in_flight or (cell.tx_id != plan.tx_id):
            return
        if cell.state is DELETED:
            del self.cells[place]
            return
        row = self.rows.get(plan.tx_id) or self.rows.get(plan.tx_id.partition("$")[0])
        stamp = row.created_at if self.stamps_from_row and row else self.now + plan.skew
        self.cells[place] = replace(cell, state=COMMITTED, committed=stamp, before=None)

    def _roll_back(self, cell: Cell | None, place: Place, tx_id: str) -> None:
        if cell is not None and cell.in_flight and cell.tx_id == tx_id:
            if cell.before is None:
                del self.cells[place]
            else:
                self.cells[place] = cell.before

    def store(self, name: str) -> FakeStore:
        """A snapshot of one store at this instant."""
        mine = {key: cell for (store, key), cell in self.cells.items() if store == name}
        return FakeStore(
            Record(name, f"{name}.t", key, c.tx_id, c.state, c.version, c.prepared, c.committed) for key, c in sorted(mine.items())
        )


def _version(cell: Cell | None) -> int:
    return (cell.version if cell else 0) or 0

"""Snapshots that stay on nodes: who takes them, and how they are cleared: only what a note names, and only once nobody copies from it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from midtime.catalog import Catalog
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.catalog.snapshot_notes import Note, SnapshotNotes
from midtime.errors import CatalogError, MidtimeError, RequestError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.copied import SnapshotStore

if TYPE_CHECKING:
    from airflow.sdk import Context

COULD_NOT = "COULD NOT clear"
"""How the sentence begins that says what is left."""


def snapshotted(topology: Topology) -> list[str]:
    """The stores whose captures stay on their nodes until they are uploaded."""
    return [store.name for store in topology.stores if store.method == "snapshot"]


def open_snapshot_store(topology: Topology, name: str) -> SnapshotStore:
    """The store of that name, which is captured by snapshots.

    :raises RequestError: it is not, or this version of Midtime cannot work with it
    """
    store = open_store(topology, name)
    if not isinstance(store, SnapshotStore):
        raise RequestError(f"store {name!r} of {topology.name} is not captured by snapshots", fix="use its dump")
    return store


def wants_stopped(topology: Topology, context: Context) -> bool:
    """Whether a run of ``<topology>__snapshot`` is to be taken while the products are stopped.

    :raises RequestError: an unknown key, a wrong type, or a store that it would not hold
    """
    conf: dict[str, Any] = {**context["params"], **(context["dag_run"].conf or {})}
    if unknown := sorted(conf.keys() - {"stopped"}):  # it may be a misspelt one
        raise RequestError(f"unknown parameters: {', '.join(unknown)}", fix="allowed is stopped")
    stopped = conf.get("stopped", False)
    if not isinstance(stopped, bool):
        raise RequestError(f"stopped is {stopped!r}", fix="set it to true or false")
    others = [store.name for store in topology.stores if store.name not in snapshotted(topology)]
    if stopped and others:
        raise RequestError(
            f"stopped: {', '.join(others)} would not be in it, so it would be no restore point of the whole set",
            fix=f"run {topology.name}__backup with the products running: it pauses them",
        )
    return stopped


def clear_own(topology: Topology, catalog: Catalog, run: str, *, tag: str = "") -> Iterator[str]:
    """Clear what this run took and has not cleared.

    :param tag: only this snapshot
    :return: a sentence for each snapshot, cleared or not
    """
    notes = yield from _read(catalog)
    if notes:
        yield from _clear(topology, catalog, (note for note in notes if note.run == run and tag in ("", note.tag)))


def clear_dead(topology: Topology, catalog: Catalog) -> Iterator[str]:
    """Clear what runs took that are over: they hold no backup lease that lives.

    :return: a sentence for each snapshot, cleared or not
    """
    notes = yield from _read(catalog)
    if notes:
        # The lease after the notes: a run takes the one before it writes the others.
        living = _living(catalog)
        yield from _clear(topology, catalog, (note for note in notes if note.run != living))


def _read(catalog: Catalog) -> Generator[str, None, list[Note]]:
    """The notes; of a topology that has no such store any more, too: its snapshots are still there."""
    unreadable: list[CatalogError] = []
    notes = SnapshotNotes(catalog).all(unreadable)
    yield from (f"{COULD_NOT} a snapshot: {error}" for error in unreadable)
    return notes


def _living(catalog: Catalog) -> str | None:
    lease = catalog.leases.current(BACKUP_LEASE)
    return None if lease is None or lease.released or lease.abandoned(utc_now()) else lease.holder


def _clear(topology: Topology, catalog: Catalog, notes: Iterable[Note]) -> Iterator[str]:
    for note in notes:
        try:
            open_snapshot_store(topology, note.store).forget(note.tag)
            SnapshotNotes(catalog).remove(note)
        except MidtimeError as error:
            # No failure: the copy is whole or was given up, and a node that is down for days must not make every sweep red.
            yield f"{COULD_NOT} snapshot {note.tag} of store {note.store}, which keeps its room on the disks; will try again: {error}"
        else:
            yield f"cleared snapshot {note.tag} of store {note.store}, taken by {note.run}"

"""What dead runs left behind, removed: half-written backups, working copies, snapshots, probes and drafts. Everything else is left alone."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial

from midtime.catalog import Catalog, Lease, placings
from midtime.catalog.leases import BETWEEN_TASKS, WORKING
from midtime.catalog.old_bases import sweep_half_written_bases
from midtime.catalog.restore_points import BACKUP_LEASE, SWEEPER
from midtime.errors import LeaseHeldError, MidtimeError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.placing import Placing
from midtime.snapshots import clear_dead
from midtime.stores import open_store

log = logging.getLogger(__name__)

FORGOTTEN = timedelta(days=1)
"""Age at which the lease of a run that is over is removed."""


def sweep(topology: Topology) -> Iterator[str]:
    """Sweep one topology; only what an expired lease names, and what was begun that no living backup can be writing.

    One lease's trouble keeps no other from being swept; it is raised when all are done.

    :return: a sentence for each thing that was removed, and for each that could not be
    """
    catalog = Catalog(topology.destination, topology.name)
    names = catalog.leases.names()
    works: list[Callable[[], Iterator[str]]] = [partial(_sweep_backups, catalog)] if names else []
    works += [partial(_sweep_lease, topology, catalog, name) for name in names if name != BACKUP_LEASE]
    works += [partial(clear_dead, topology, catalog), partial(_sweep_litter, catalog)]
    errors: list[MidtimeError] = []
    for work in works:
        try:
            yield from work()
        except LeaseHeldError as error:
            log.info("Left to somebody else: %s", error)  # a rival sweeper was faster, or a run began
        except MidtimeError as error:
            yield f"could not sweep everything, will try again: {error}"
            errors.append(error)
    if errors:
        raise errors[0]


def _sweep_backups(catalog: Catalog) -> Iterator[str]:
    for point in catalog.sweep_half_written():
        yield f"removed {point}: a backup that never ended"
    for base in sweep_half_written_bases(catalog):
        yield f"removed base {base}: its backup never ended"


def _sweep_litter(catalog: Catalog) -> Iterator[str]:
    for name in catalog.remove_litter():
        yield f"removed {name}: a killed process left it"


def _sweep_lease(topology: Topology, catalog: Catalog, name: str) -> Iterator[str]:
    lease = catalog.leases.current(name)
    if lease is None:
        return
    if lease.abandoned(utc_now()):
        yield from _sweep_run(topology, catalog, lease)
    elif lease.released and utc_now() - lease.expires_at > FORGOTTEN:
        placings.forget(catalog, name)  # first: by the lease it is found again
        catalog.leases.forget(lease)


def _sweep_run(topology: Topology, catalog: Catalog, lease: Lease) -> Iterator[str]:
    # Ours from here on: should that run only have stalled, it finds its lease lost and does not go on.
    run = lease.details.get("run", lease.holder)
    # A name for this one sweep: two installations' sweepers must keep each other out, too.
    ours = catalog.leases.acquire(lease.name, f"{SWEEPER}/{uuid.uuid4().hex[:6]}", details={**lease.details, "run": run}, ttl=WORKING)
    with catalog.leases.held(lease.name, ours.holder) as ours:
        lines: list[str] = []
        placing = Placing(topology, catalog, ours, lambda line: lines.append(f"{run}: {line}"))
        trouble = _settle(placing)
        yield from lines
        failed = not placing.settled
        for target in () if failed else placing.targets.values():
            try:
                open_store(topology, target.store).discard(target)
                yield f"removed {target.working} of store {target.store}: {run} died"
            except MidtimeError as error:
                failed = True
                yield f"could not remove {target.working} of store {target.store}, will try again: {error}"
        if trouble and not failed:
            raise trouble  # a product that does not come up: its start is not repeated every minute
    if not failed:
        catalog.leases.release(lease.name, ours.holder)
        return
    catalog.leases.renew(ours, -BETWEEN_TASKS)  # for the next sweep to take
    if trouble:
        raise trouble


def _settle(placing: Placing) -> MidtimeError | None:
    try:
        placing.settle()
    except LeaseHeldError:
        raise
    except MidtimeError as error:
        return error
    return None

"""What dead runs left behind, removed: half-written backups and working copies. Everything else is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from midtime.catalog import Catalog, Lease
from midtime.catalog.leases import WORKING
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.errors import MidtimeError
from midtime.model.instants import utc_now
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.base import Target

SWEEPER = "midtime__sweep"
FORGOTTEN = timedelta(days=1)
"""Age at which the lease of a run that is over is removed."""


def sweep(topology: Topology) -> Iterator[str]:
    """Sweep one topology; only what an expired lease names, and folders without a manifest that no living backup can be writing.

    :return: a sentence for each thing that was removed
    """
    catalog = Catalog(topology.destination, topology.name)
    if catalog.leases.names():
        for point in catalog.sweep_half_written():
            yield f"removed {point}: a backup that never ended"
    for name in catalog.leases.names():
        lease = catalog.leases.current(name)
        if name == BACKUP_LEASE or lease is None or lease.live(utc_now()):
            continue
        if not lease.released:
            yield from _sweep_run(topology, catalog, lease)
        elif utc_now() - lease.expires_at > FORGOTTEN:
            catalog.leases.forget(lease)


def _sweep_run(topology: Topology, catalog: Catalog, lease: Lease) -> Iterator[str]:
    # Ours from here on: should that run only have stalled, it finds its lease lost and does not go on.
    run = lease.details.get("run", lease.holder)
    ours = catalog.leases.acquire(lease.name, SWEEPER, details={**lease.details, "run": run}, ttl=WORKING)
    failed = False
    for body in lease.details.get("targets", ()):
        target = Target.from_dict(body)
        try:
            open_store(topology, target.store).discard(target)
            yield f"removed {target.working} of store {target.store}: {run} died"
        except MidtimeError as error:
            failed = True
            yield f"could not remove {target.working} of store {target.store}, will try again: {error}"
    if failed:
        catalog.leases.renew(ours, timedelta())  # for the next sweep to take
    else:
        catalog.leases.release(lease.name, SWEEPER)

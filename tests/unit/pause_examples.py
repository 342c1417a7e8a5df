"""Topologies that are paused, and leases as windows leave them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from midtime.catalog.leases import Lease
from midtime.catalog.pause_leases import PauseLeases
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.topology import Topology
from midtime.scalar.endpoint import Endpoint
from tests.unit.builders import topology

RUN = "bank__backup/scheduled__1 started 2026-11-21T02:00:00Z"
LEDGER = "scalardl-ledger"


def paused_topology(destination: str, *addresses: str, name: str = "bank", **changes: Any) -> Topology:
    """Two stores under one product at these addresses."""
    product = {"kind": LEDGER, "endpoints": {"static": list(addresses)}}
    return topology("accounts", "points", destination=destination, name=name, **({"products": [product]} | changes))


def endpoint(address: str, **changes: Any) -> Endpoint:
    """What discovery makes of the same address."""
    return Endpoint(LEDGER, LEDGER, address, **changes)


def lease_details(each: Endpoint, *, ended: float = 0.0, settled: float = -1.0, **changes: Any) -> dict[str, Any]:
    """What a window writes into its lease.

    :param ended: seconds since its deadline
    :param settled: seconds from now until which its Pause may be late
    """
    now = utc_now()
    return {
        "topology": "bank",
        "window": "w1",
        "try_number": 1,
        "deadline": to_rfc3339(now - timedelta(seconds=ended)),
        "settled": to_rfc3339(now + timedelta(seconds=settled)),
        "endpoint": each.to_dict(),
    } | changes


def left(leases: PauseLeases, *endpoints: Endpoint, holder: str = RUN, ended: float = 5.0, **changes: Any) -> None:
    """What a window left that died ``ended`` seconds after its deadline; negative: before it."""
    details = {each.address: lease_details(each, ended=ended, **changes) for each in endpoints}
    leases.take(details, holder=holder, expires_at=utc_now() - timedelta(seconds=ended))


def open_leases(leases: PauseLeases) -> dict[str, Lease]:
    """Those that nobody gave back."""
    return dict(leases.open())


def given_back(leases: PauseLeases, addresses: Sequence[str]) -> bool:
    """Whether all of these were leased, and are not any more."""
    return all((lease := leases.current(address)) is not None and lease.released for address in addresses)

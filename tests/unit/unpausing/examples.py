"""What the tests of unpausing share: gates that are closed and asked, sweeps, journals of watchdogs."""

from __future__ import annotations

import json
from datetime import timedelta

from midtime.catalog import objects
from midtime.catalog.pause_leases import PauseLeases
from midtime.errors import (
    StillPausedError,
)
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.topology import Topology
from midtime.pausing import journal_of
from midtime.scalar.double import Double
from midtime.scalar.endpoint import Endpoint, Identity
from midtime.scalar.journals import make_folder
from midtime.unpausing import MAY_LIFT, sweep_pauses
from tests.unit.pause_examples import open_leases

LATE = MAY_LIFT.total_seconds() + 1
IDENTITY = Identity("ledger-0", "uid-0", "containerd://0", 0)
NOBODY = "127.0.0.1:1"


def pause(double: Double, *numbers: int) -> None:
    for number in numbers or range(len(double.addresses)):
        double.control(foreign="pause", endpoint=number)


def closed(double: Double) -> list[bool]:
    found: list[bool] = double.control(state=True)["paused"]
    return found


def sweep(*topologies: Topology) -> tuple[list[str], StillPausedError | None]:
    """What was done, and the alarm."""
    done: list[str] = []
    try:
        done.extend(sweep_pauses(topologies))
    except StillPausedError as error:
        return done, error
    return done, None


def journal(window: str, *addresses: str) -> None:
    path = journal_of(window)
    make_folder(path.parent)
    lines = [
        json.dumps({"did": "watches"}),
        *(json.dumps({"did": "unpaused", "endpoint": address}) for address in addresses),
        '{"did": "unp',
    ]
    path.write_text("\n".join(lines))


def be_later(leases: PauseLeases, each: Endpoint) -> None:
    """Let the time pass for which a failed attempt had the lease to itself."""
    path = leases.folder(each.address) / f"pause.{open_leases(leases)[each.address].generation}.json"
    body = json.loads(objects.read(path)) | {"expires_at": to_rfc3339(utc_now() - timedelta(seconds=1))}
    objects.replace(path, json.dumps(body).encode())

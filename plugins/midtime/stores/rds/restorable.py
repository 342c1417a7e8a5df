"""Whether the history of what was marked has reached the instant by now, under whatever name."""

from __future__ import annotations

from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import StoreBackup
from midtime.stores.base import Restorable
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.history import History, history_of, spread_of
from midtime.stores.rds.marking import require_fit
from midtime.stores.rds.servers import flavour_of


def restorable(aws: RdsClients, backup: StoreBackup) -> Restorable:
    """Two calls.

    :raises NotRestorableError: it was deleted and nothing is kept of it, or its history was broken off
    :raises StoreError: it does not say
    """
    said, instant = backup.details, backup.midtime
    history = history_of(aws, said["resource_id"])
    require_fit(aws, said["name"], instant, history, alive=False)
    known = f"{flavour_of(aws.spec).noun} {said['name']}{_since(history, said['name'])}"
    reached = f"reaches {to_rfc3339(history.latest)}" if history.latest else "reaches nothing yet"
    if history.reaches(instant, spread_of(aws.spec)):
        return Restorable(True, f"{known} {reached}")
    offline = "; a database that is OFFLINE or SINGLE_USER stops it" if aws.spec.dialect == "sqlserver" else ""
    status = f" (it is {history.server.status})" if history.server and not history.server.ready else ""
    return Restorable(False, f"{known} {reached}{status}, {to_rfc3339(instant)} is wanted{offline}")


def _since(history: History, name: str) -> str:
    """What became of it since the mark."""
    if history.server is None:
        return ", deleted since,"
    return f", called {history.server.name} now," if history.server.name != name else ""

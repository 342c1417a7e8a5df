"""Whether a server's backups have reached the marked instant: by rule, for Azure has no field that says so."""

from __future__ import annotations

from midtime.model.durations import format_duration
from midtime.model.instants import from_rfc3339, to_rfc3339, utc_now
from midtime.model.restore_point import StoreBackup
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.marking import LOST
from midtime.stores.azure_database.servers import read_server, reason
from midtime.stores.base import Restorable
from midtime.stores.marks import require_fit

RULE = "by rule: Azure does not say how far its backups reach"


def restorable(azure: Azure, backup: StoreBackup) -> Restorable:
    """One call. A restore that the service refuses all the same, because it is too early, waits.

    :raises NotRestorableError: the server was deleted or made anew since, or its backups do not reach back so far any more
    :raises StoreError: it does not say
    """
    details, instant = backup.details, backup.midtime
    azure = marked_server(azure, backup)
    created = details.get("created_at")
    why = reason(read_server(azure), instant, created_at=from_rfc3339(created) if created else None)
    require_fit(azure.store, instant, [(f"server {details['server']}", why)], fix=LOST)
    wanted, age = azure.spec.restorable_after, utc_now() - instant
    if age < wanted:
        return Restorable(False, f"{to_rfc3339(instant)} is not {format_duration(wanted)} ago yet ({RULE})")
    return Restorable(True, f"{to_rfc3339(instant)} is more than {format_duration(wanted)} ago ({RULE})")


def marked_server(azure: Azure, backup: StoreBackup) -> Azure:
    """The clients of the server that was marked: after a cut-over the topology names the one that followed it."""
    said = {"subscription_id": backup.details["subscription"], **{key: backup.details[key] for key in ("resource_group", "server")}}
    if {key: getattr(azure.spec, key) for key in said} == said:
        return azure
    return Azure(azure.store, azure.spec.model_copy(update=said))

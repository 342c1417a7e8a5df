"""The mark: which server, with which identity and settings, is claimed to be restorable to an instant."""

from __future__ import annotations

import time
from datetime import datetime
from typing import cast

from midtime.model.durations import format_duration
from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import StoreBackup
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.describing import describe
from midtime.stores.azure_database.needs import NOTED, needs_of
from midtime.stores.azure_database.servers import Server, read_server, reason
from midtime.stores.azure_database.settings import MarkedServer
from midtime.stores.base import Say, Shelf
from midtime.stores.managed_sql.data import Data
from midtime.stores.marks import claim, keep, require_fit

LOST = "see who deleted, made anew or changed the server; then run the backup again"


def mark(azure: Azure, data: Data | None, instant: datetime, shelf: Shelf, say: Say) -> StoreBackup:
    """Read everything, put it down, and say what was marked.

    :param data: where there is a connection to the data
    :raises NotRestorableError: it can never be restored to the instant: no backup, or one that begins later
    """
    began = time.monotonic()
    marked, artifact = keep(shelf, _read(azure, data, instant))
    say(f"marked server {marked.server} at {to_rfc3339(instant)}")
    return claim(
        azure.spec,
        marked,
        artifact,
        began=began,
        days=marked.days,
        server=f"{azure.control.title} {marked.runs} in {marked.location}",
        client=azure.control.sdk,
        details={
            "subscription": marked.subscription,
            "resource_group": marked.resource_group,
            "server": marked.server,
            "resource": marked.arm_id,
            "created_at": to_rfc3339(marked.created_at) if marked.created_at else None,
            "location": marked.location,
            "database": marked.database,
            NOTED: needs_of(marked.settings.properties, marked.settings.identity, azure.control.zone),
            "earliest_restore": to_rfc3339(marked.earliest),
            "restorable": f"by rule, {format_duration(azure.spec.restorable_after)} after the instant: Azure does not say how far its backups reach",
        },
    )


def _read(azure: Azure, data: Data | None, instant: datetime) -> MarkedServer:
    spec, found = azure.spec, read_server(azure)
    require_fit(azure.store, instant, [(f"server {spec.server}", reason(found, instant))], fix=LOST)
    server = cast(Server, found)  # or it would be unfit
    return MarkedServer(
        store=azure.store,
        instant=instant,
        subscription=spec.subscription_id,
        resource_group=spec.resource_group,
        server=spec.server,
        arm_id=server.arm_id,
        created_at=server.created_at,
        address=server.address,
        location=server.location,
        runs=server.version,
        days=server.days,
        earliest=cast(datetime, server.earliest),
        database=data.database if data else "",
        settings=describe(azure, server.said, *azure.where),
    )

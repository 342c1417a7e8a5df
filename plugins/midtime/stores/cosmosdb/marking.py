"""The mark: which containers of which account, with which identities and settings, are claimed to be restorable to an instant."""

from __future__ import annotations

import time
from datetime import datetime
from typing import cast

from azure.mgmt import cosmosdb

from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.words import counted
from midtime.stores.base import Say, Shelf
from midtime.stores.cosmosdb.accounts import Account, Kept, read_history
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.containers import Container, find_containers
from midtime.stores.cosmosdb.describing import describe_account, describe_containers, describe_databases
from midtime.stores.cosmosdb.settings import MarkedAccount
from midtime.stores.marks import claim, keep, require_fit

LOST = "see who deleted, restored or changed the account or these containers; then run the backup again"


def mark(topology: Topology, azure: Azure, instant: datetime, shelf: Shelf, say: Say) -> StoreBackup:
    """Read everything, put it down, and say what was marked.

    :raises NotRestorableError: it can never be restored to the instant: no continuous backup, or one that begins later
    :raises StoreAccessError: a container is missing
    """
    began = time.monotonic()
    marked, artifact = keep(shelf, _read(topology, azure, instant))
    say(f"marked {counted(len(marked.containers), 'container')} at {to_rfc3339(instant)}")
    return claim(
        azure.spec,
        marked,
        artifact,
        began=began,
        days=marked.days,
        server=f"Azure Cosmos DB in {marked.region}",
        client=f"azure-mgmt-cosmosdb {cosmosdb.__version__}",
        details={
            "subscription": marked.subscription,
            "resource_group": marked.resource_group,
            "account": marked.account,
            "instance": marked.instance,
            "region": marked.region,
            "containers": {each.full_name: each.rid for each in marked.containers},
        },
    )


def _read(topology: Topology, azure: Azure, instant: datetime) -> MarkedAccount:
    spec, history = azure.spec, read_history(azure)
    require_fit(azure.store, instant, [(f"account {spec.account}", history.unfit(instant))], fix=LOST)
    account, kept = cast(Account, history.account), cast(Kept, history.kept)  # or it would be unfit
    found = find_containers(topology, azure, fence=topology.needs_pause and spec.fence)
    require_fit(azure.store, instant, [(each.full_name, _younger(each, instant)) for each in found], fix=LOST)
    return MarkedAccount(
        store=azure.store,
        instant=instant,
        subscription=spec.subscription_id,
        resource_group=spec.resource_group,
        account=spec.account,
        instance=account.instance,
        source=kept.arm_id,
        region=account.region,
        days=cast(int, account.days),
        settings=describe_account(azure, account),
        databases=tuple(describe_databases(azure, account, dict.fromkeys(each.database for each in found))),
        containers=tuple(describe_containers(azure, account, found)),
    )


def _younger(container: Container, instant: datetime) -> str:
    """One that was dropped and made again cannot be told from a new one, nor from one whose definition changed."""
    return f"was made or changed at {to_rfc3339(container.changed_at)}, behind it" if container.changed_at >= instant else ""

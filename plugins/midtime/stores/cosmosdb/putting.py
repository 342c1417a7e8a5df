"""What a restore of an account loses, as changes that put it back.

Vital ones (who may reach the account, its consistency, ScalarDB's stored procedures) fail the restore if the service refuses them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from azure.mgmt.cosmosdb import models

from midtime.stores.azure.putting import Change
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.copied import Copied
from midtime.stores.cosmosdb.notes import Copy
from midtime.stores.cosmosdb.settings import Throughput
from midtime.stores.cosmosdb.standing import Standing
from midtime.stores.naming import COPY_TAG

NETWORK = (
    "publicNetworkAccess",
    "ipRules",
    "isVirtualNetworkFilterEnabled",
    "virtualNetworkRules",
    "networkAclBypass",
    "networkAclBypassResourceIds",
)
SAFE = ("minimalTlsVersion", "disableKeyBasedMetadataWriteAccess")
"""What else of an account is put back: it makes the copy no more open than the marked account was, and costs nothing."""
_EMPTY: Mapping[str, Any] = {"publicNetworkAccess": "Enabled", "isVirtualNetworkFilterEnabled": False, "networkAclBypass": "None"}
"""What an account has that does not say."""


def account_changes(azure: Azure, note: Copy, found: Standing) -> Iterator[Change]:
    """Who may reach it, and that reads are consistent: one operation, for the account takes one at a time."""
    now, wanted = found.properties, wanted_account(note)
    different = {key: value for key, value in wanted.items() if _plain(key, now.get(key)) != _plain(key, value)}
    if different:
        body = models.DatabaseAccountUpdateParameters({"properties": different})
        update = azure.arm.database_accounts.begin_update
        what = f"{', '.join(sorted(different))} of the account"
        yield Change(what, update, (note.resource_group, note.account, body), vital=True)


def wanted_account(note: Copy) -> dict[str, Any]:
    """Of the new account's properties those that are put back, as they are to be."""
    marked = note.marked.settings.properties
    said = {key: marked.get(key, _EMPTY.get(key, [])) for key in NETWORK} | {key: marked[key] for key in SAFE if key in marked}
    return {**said, "consistencyPolicy": {**marked.get("consistencyPolicy", {}), "defaultConsistencyLevel": "Strong"}}


def _plain(key: str, value: Any) -> Any:
    if value is None:
        return _EMPTY.get(key, [])
    return value.get("defaultConsistencyLevel") if key == "consistencyPolicy" else value


def is_open(note: Copy) -> bool:
    """Whether the marked account, and so its copy, lets everybody in who has the key."""
    wanted = wanted_account(note)
    closed = wanted["isVirtualNetworkFilterEnabled"] or wanted["ipRules"] or wanted["virtualNetworkRules"]
    return wanted["publicNetworkAccess"] == "Enabled" and not closed


def throughput_changes(azure: Azure, note: Copy, copied: Copied) -> Iterator[Change]:
    """As marked: first the kind, then how much. What has none of its own now cannot get any."""
    sql: Any = azure.arm.sql_resources
    where = note.resource_group, note.account
    for database in copied.databases:
        calls = (
            sql.begin_migrate_sql_database_to_autoscale,
            sql.begin_migrate_sql_database_to_manual_throughput,
            sql.begin_update_sql_database_throughput,
        )
        yield from _throughput(
            note.marked.database(database.name).throughput, database.throughput, database.name, calls, (*where, database.name)
        )
    for each in copied.containers:
        calls = (
            sql.begin_migrate_sql_container_to_autoscale,
            sql.begin_migrate_sql_container_to_manual_throughput,
            sql.begin_update_sql_container_throughput,
        )
        wanted = note.marked.container(each.full_name).throughput
        yield from _throughput(wanted, each.throughput, each.full_name, calls, (*where, each.database, each.name))


def _throughput(
    wanted: Throughput | None, now: Throughput | None, name: str, calls: tuple[Any, Any, Any], where: tuple[str, ...]
) -> Iterator[Change]:
    if wanted is None or now is None or wanted == now:
        return
    to_autoscale, to_manual, update = calls
    if wanted.autoscale != now.autoscale:
        yield Change(f"kind of throughput of {name}", to_autoscale if wanted.autoscale else to_manual, where)
        return
    said = {"autoscaleSettings": {"maxThroughput": wanted.units}} if wanted.autoscale else {"throughput": wanted.units}
    body = models.ThroughputSettingsUpdateParameters({"properties": {"resource": said}})
    yield Change(f"throughput of {name}", update, (*where, body))


def script_changes(azure: Azure, note: Copy, copied: Copied) -> Iterator[Change]:
    """Stored procedures (unless a command of the user's does), triggers and functions, with the bodies that were marked: those that ran."""
    sql = azure.arm.sql_resources
    for now in copied.containers:
        marked, where = note.marked.container(now.full_name), (note.resource_group, note.account, now.database, now.name)
        for name, body in () if azure.spec.repair else marked.procedures.items():
            if now.procedures.get(name) != body:
                wanted = models.SqlStoredProcedureCreateUpdateParameters(_script({"id": name, "body": body}))
                what = f"stored procedure {name} of {now.full_name}"
                yield Change(what, sql.begin_create_update_sql_stored_procedure, (*where, name, wanted), vital=True)
        for trigger in marked.triggers:
            if trigger not in now.triggers:
                made = models.SqlTriggerCreateUpdateParameters(_script(trigger))
                yield Change(
                    f"trigger {trigger['id']} of {now.full_name}", sql.begin_create_update_sql_trigger, (*where, trigger["id"], made)
                )
        for name, body in marked.functions.items():
            if now.functions.get(name) != body:
                function = models.SqlUserDefinedFunctionCreateUpdateParameters(_script({"id": name, "body": body}))
                what = f"function {name} of {now.full_name}"
                yield Change(what, sql.begin_create_update_sql_user_defined_function, (*where, name, function))


def ttl_changes(azure: Azure, note: Copy, copied: Copied) -> Iterator[Change]:
    """Times to live, which the restore has switched off; everything else of a container stays as it is."""
    for now in copied.containers:
        wanted = note.marked.container(now.full_name).resource.get("defaultTtl")
        if wanted is not None and now.resource.get("defaultTtl") != wanted:
            body = models.SqlContainerCreateUpdateParameters(_script({**now.resource, "id": now.name, "defaultTtl": wanted}))
            arguments = (note.resource_group, note.account, now.database, now.name, body)
            yield Change(f"TTL of {now.full_name}", azure.arm.sql_resources.begin_create_update_sql_container, arguments, vital=True)


def tag_changes(azure: Azure, note: Copy, found: Standing, owner: str) -> Iterator[Change]:
    """Whose it is."""
    if found.owner != owner:
        body = models.DatabaseAccountUpdateParameters({"tags": {**found.tags, COPY_TAG: owner}})
        yield Change("tag of the account", azure.arm.database_accounts.begin_update, (note.resource_group, note.account, body), vital=True)


def _script(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {"properties": {"resource": dict(resource), "options": {}}}

"""Reading what a restore loses: a few calls for each container, several containers at a time; roles and the account once for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from midtime.stores.azure.refusals import azure_errors
from midtime.stores.cosmosdb.accounts import Account
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.containers import Container
from midtime.stores.cosmosdb.settings import AccountSettings, ContainerSettings, DatabaseSettings, Throughput
from midtime.stores.each import of_each

CHOSEN = (
    "consistencyPolicy", "locations", "ipRules", "isVirtualNetworkFilterEnabled", "virtualNetworkRules", "publicNetworkAccess",
    "privateEndpointConnections", "networkAclBypass", "networkAclBypassResourceIds", "cors", "enableAutomaticFailover", "backupPolicy",
    "disableLocalAuth", "disableKeyBasedMetadataWriteAccess", "minimalTlsVersion", "capabilities", "capacity", "enableAnalyticalStorage",
    "analyticalStorageConfiguration", "enableBurstCapacity", "enablePartitionMerge", "enablePriorityBasedExecution", "defaultPriorityLevel",
    "enablePerRegionPerPartitionAutoscale", "keyVaultKeyUri", "defaultIdentity",
)  # fmt: skip
"""What of an account somebody chose; the rest (endpoints, ids, keys' ages) Azure did."""
_SYSTEM = frozenset({"_rid", "_ts", "_self", "_etag", "_docs", "_sprocs", "_triggers", "_udfs", "_conflicts", "statistics", "id"})


def describe_account(azure: Azure, account: Account) -> AccountSettings:
    """The account's own settings, with the roles for its data."""
    where, sql = (azure.spec.resource_group, azure.spec.account), azure.arm.sql_resources
    properties = account.said["properties"]
    with azure_errors(azure.store):
        roles = [_role(each.as_dict()) for each in sql.list_sql_role_definitions(*where)]
        assignments = [_role(each.as_dict()) for each in sql.list_sql_role_assignments(*where)]
    return AccountSettings(
        arm_id=account.arm_id,
        location=account.said.get("location", ""),
        properties={key: _kept(key, properties[key]) for key in CHOSEN if properties.get(key) is not None},
        tags=account.said.get("tags") or {},
        identity=account.said.get("identity"),
        roles=tuple(each for each in roles if each.get("type") == "CustomRole"),
        assignments=tuple(assignments),
    )


def describe_databases(azure: Azure, account: Account, names: Iterable[str]) -> list[DatabaseSettings]:
    """Of these databases, in their order."""
    where, sql = (azure.spec.resource_group, azure.spec.account), azure.arm.sql_resources

    def describe(name: str) -> DatabaseSettings:
        with azure_errors(azure.store):
            rid = sql.get_sql_database(*where, name).as_dict()["properties"]["resource"]["_rid"]
            throughput = None if account.serverless else _throughput(lambda: sql.get_sql_database_throughput(*where, name))
        return DatabaseSettings(name=name, rid=rid, throughput=throughput)

    return of_each(names, describe)


def describe_containers(azure: Azure, account: Account, containers: Sequence[Container]) -> list[ContainerSettings]:
    """Of these containers, in their order.

    :raises StoreError: one of the calls is refused
    """
    return of_each(containers, lambda container: _describe(azure, account, container))


def _describe(azure: Azure, account: Account, container: Container) -> ContainerSettings:
    sql = azure.arm.sql_resources
    where = azure.spec.resource_group, azure.spec.account, container.database, container.name
    with azure_errors(azure.store):
        return ContainerSettings(
            database=container.database,
            name=container.name,
            rid=container.rid,
            changed_at=container.changed_at,
            resource={key: value for key, value in container.said.items() if key not in _SYSTEM},
            throughput=None if account.serverless else _throughput(lambda: sql.get_sql_container_throughput(*where)),
            procedures=_bodies(sql.list_sql_stored_procedures(*where)),
            triggers=tuple(_resource(each) for each in sql.list_sql_triggers(*where)),
            functions=_bodies(sql.list_sql_user_defined_functions(*where)),
        )


def _throughput(ask: Callable[[], Any]) -> Throughput | None:
    """Its own; where there is none, ARM finds nothing."""
    try:
        said = ask().as_dict()["properties"]["resource"]
    except ResourceNotFoundError:
        return None
    if most := (said.get("autoscaleSettings") or {}).get("maxThroughput"):
        return Throughput(units=most, autoscale=True)
    return Throughput(units=said["throughput"])


def _bodies(found: Iterable[Any]) -> dict[str, str]:
    return {each["id"]: each["body"] for each in map(_resource, found)}


def _resource(found: Any) -> dict[str, Any]:
    said = found.as_dict()["properties"]["resource"]
    return {key: value for key, value in said.items() if key == "id" or key not in _SYSTEM}


def _role(said: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": said.get("name"), **said["properties"]}


def _kept(key: str, value: Any) -> Any:
    """Regions without what Azure says of their state."""
    if key != "locations":
        return value
    return [{what: each[what] for what in ("locationName", "failoverPriority", "isZoneRedundant") if what in each} for each in value]

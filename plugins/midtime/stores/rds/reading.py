"""Everything about an instance or a cluster that a mark notes, read from the service."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.history import History
from midtime.stores.rds.servers import Server, members_of
from midtime.stores.rds.settings import MarkedServer, Member, own_tags, roles_of, settings_of

_ENDPOINT = ("DBClusterEndpointIdentifier", "CustomEndpointType", "StaticMembers", "ExcludedMembers")


def read(aws: RdsClients, server: Server, history: History, instant: datetime) -> MarkedServer:
    """One call for an instance; for a cluster also one for each of its instances, and one for its endpoints."""
    return MarkedServer(
        store=aws.store,
        instant=instant,
        region=aws.spec.region,
        account=server.account,
        name=server.name,
        resource_id=server.resource_id,
        engine=server.engine,
        engine_version=server.version,
        days=server.days,
        earliest=history.earliest,
        latest=history.latest,
        allocated=int(server.said.get("AllocatedStorage") or 0),
        encrypted=bool(server.said.get("StorageEncrypted")),
        settings=settings_of(server.said),
        tags=own_tags(server.tags),
        roles=roles_of(server.said),
        members=read_members(aws, server),
        endpoints=read_endpoints(aws, server),
    )


def read_members(aws: RdsClients, cluster: Server) -> tuple[Member, ...]:
    """A cluster's instances; none of an instance's."""
    writers = {each["DBInstanceIdentifier"] for each in cluster.said.get("DBClusterMembers") or () if each.get("IsClusterWriter")}
    return tuple(
        Member(name=each.name, writer=each.name in writers, settings=settings_of(each.said), tags=own_tags(each.tags))
        for each in members_of(aws, cluster)
    )


def read_endpoints(aws: RdsClients, cluster: Server) -> tuple[dict[str, Any], ...]:
    """A cluster's custom endpoints; none of an instance's."""
    if not cluster.said.get("CustomEndpoints"):
        return ()
    with aws.errors(aws.store):
        found = aws.control.describe_db_cluster_endpoints(DBClusterIdentifier=cluster.name)["DBClusterEndpoints"]
    return tuple({key: each[key] for key in _ENDPOINT if each.get(key)} for each in found if each.get("EndpointType") == "CUSTOM")

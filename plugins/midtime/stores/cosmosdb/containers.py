"""Which containers belong to a store: those of its namespaces, its Coordinators' and ScalarDB's metadata; each namespace is a database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from midtime.errors import StoreAccessError
from midtime.model.instants import to_rfc3339
from midtime.model.topology import Topology
from midtime.model.words import counted, listed
from midtime.stores.azure.refusals import azure_errors
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.fences import fence_table
from midtime.verify.records import FENCE_TABLE

COORDINATOR, METADATA = "state", "metadata"
NAMESPACES = "namespaces"
"""ScalarDB's list of namespaces; older versions have none."""


@dataclass(frozen=True, slots=True)
class Container:
    """A live container."""

    database: str
    name: str
    rid: str
    changed_at: datetime
    """When it was made, or its definition changed."""
    said: dict[str, Any] = field(default_factory=dict, compare=False)
    """What ARM has in ``properties.resource``."""

    @property
    def full_name(self) -> str:
        """``database/name``."""
        return f"{self.database}/{self.name}"


def fence_name(topology: Topology, store: str) -> str:
    """The container of its fence rows."""
    return "/".join(fence_table(topology.all_namespaces(store)))


def find_containers(topology: Topology, azure: Azure, *, fence: bool = False) -> list[Container]:
    """Every container of the store, sorted, the one of its fence rows included where it is there.

    :param fence: that one must be there
    :raises StoreAccessError: one that must be is missing
    """
    found = containers_of(azure, topology.all_namespaces(azure.store))
    if missing := _missing(topology, azure.store, found, fence=fence):
        raise StoreAccessError(
            f"store {azure.store}: {listed(missing)} {'is' if len(missing) == 1 else 'are'} not in account {azure.spec.account}, "
            f"which has {counted(len(found), 'container')} in these namespaces",
            fix="correct the store's account and namespaces",
        )
    return found


def containers_of(azure: Azure, databases: Iterable[str]) -> list[Container]:
    """One call for each database; one that is not there has none."""
    with azure_errors(azure.store):
        return sorted((each for name in databases for each in _of_one(azure, name)), key=lambda each: each.full_name)


def known_to_scalardb(topology: Topology, azure: Azure) -> list[str]:
    """``database/container`` of all tables of the store's namespaces that ScalarDB's metadata names, sorted; read with the data connection."""
    namespaces = set(topology.all_namespaces(azure.store))
    with azure_errors(azure.store):
        metadata = azure.data.get_database_client(topology.scalardb.metadata_namespace).get_container_client(METADATA)
        rows = metadata.query_items("SELECT c.id FROM c", enable_cross_partition_query=True)
        names = [tuple(str(row["id"]).split(".", 1)) for row in rows]
    return sorted("/".join(name) for name in names if len(name) == 2 and name[0] in namespaces)


def remade(marked: Mapping[str, str], found: Sequence[Container]) -> list[tuple[str, str]]:
    """Of each marked container its name, and why it is not the one that was marked; empty where it is.

    :param marked: their ``_rid`` by full name
    """
    now = {each.full_name: each for each in found}
    return [(name, _why(rid, now.get(name))) for name, rid in marked.items()]


def _why(rid: str, now: Container | None) -> str:
    if now is None:
        return "was deleted"
    return "" if now.rid == rid else f"is another container of that name, made or changed at {to_rfc3339(now.changed_at)}"


def _of_one(azure: Azure, database: str) -> list[Container]:
    try:
        found = list(azure.arm.sql_resources.list_sql_containers(azure.spec.resource_group, azure.spec.account, database))
    except ResourceNotFoundError:
        return []
    return [_container(database, each.properties.resource.as_dict()) for each in found]  # type: ignore[union-attr]


def _container(database: str, said: dict[str, Any]) -> Container:
    return Container(database, said["id"], said["_rid"], datetime.fromtimestamp(said["_ts"], UTC), said)


def _missing(topology: Topology, store: str, found: Collection[Container], *, fence: bool) -> list[str]:
    names = {each.full_name for each in found}
    wanted = [f"{namespace}/{COORDINATOR}" for namespace in topology.coordinator_namespaces(store)]
    wanted.append(f"{topology.scalardb.metadata_namespace}/{METADATA}")
    if fence:
        wanted.append(fence_name(topology, store))
    full = {each.database for each in found if each.name != FENCE_TABLE}
    empty = [namespace for namespace in topology.store(store).namespaces if namespace not in full]
    return [name for name in wanted if name not in names] + [f"any container of {namespace}" for namespace in empty]

"""Which tables belong to a store: those of its namespaces, its Coordinators' and ScalarDB's metadata, with the namespace prefix."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import cast

from midtime.errors import StoreAccessError
from midtime.model.topology import Topology
from midtime.model.topology.cloud import Dynamodb
from midtime.model.words import counted, listed
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.refusals import aws_errors
from midtime.stores.fences import fence_table
from midtime.verify.records import FENCE_TABLE

COORDINATOR, METADATA = "state", "metadata"
NAMESPACES = "namespaces"
"""ScalarDB's list of namespaces; older versions have none."""


def full_name(spec: Dynamodb, namespace: str, table: str) -> str:
    """``<prefix><namespace>.<table>``, as ScalarDB names it."""
    return f"{spec.prefix or ''}{namespace}.{table}"


def beginnings(topology: Topology, store: str) -> tuple[str, ...]:
    """What the names of a store's tables begin with."""
    spec = cast(Dynamodb, topology.store(store))
    return tuple(full_name(spec, namespace, "") for namespace in topology.all_namespaces(store))


def neighbours(topology: Topology, spec: Dynamodb) -> list[str]:
    """The stores of the topology whose tables may stand in the same list as this one's, itself included."""
    return [store.name for store in topology.stores if isinstance(store, Dynamodb) and store.region == spec.region]


def fence_name(topology: Topology, store: str, spec: Dynamodb) -> str:
    """The table of its fence rows."""
    return full_name(spec, *fence_table(topology.all_namespaces(store)))


def find_tables(topology: Topology, aws: Aws, *, fence: bool = False) -> list[str]:
    """Every table of the store, sorted, its fence table included where it is there.

    :param fence: the fence table must be there
    :raises StoreAccessError: one that must be is missing
    """
    spec, store = aws.spec, aws.store
    every = list(list_tables(aws))
    found = sorted(name for name in every if name.startswith(beginnings(topology, store)))
    if missing := _missing(topology, aws, found, fence=fence):
        raise StoreAccessError(
            f"store {store}: {listed(missing)} {'is' if len(missing) == 1 else 'are'} not in {spec.region}, "
            f"which has {counted(len(every), 'table')} for this login",
            fix="correct the store's region, prefix and namespaces, and its connection's account",
        )
    return found


def list_tables(aws: Aws) -> Iterator[str]:
    """All tables of the account in the region."""
    with aws_errors(aws.store):
        for page in aws.control.get_paginator("list_tables").paginate():
            yield from page["TableNames"]


def known_to_scalardb(topology: Topology, aws: Aws) -> list[str]:
    """The tables of the store's namespaces that ScalarDB's metadata names, sorted."""
    prefix, begins = aws.spec.prefix or "", beginnings(topology, aws.store)
    query = {"TableName": full_name(aws.spec, topology.scalardb.metadata_namespace, METADATA), "ProjectionExpression": "#t"}
    with aws_errors(aws.store):
        pages = aws.data.get_paginator("scan").paginate(**query, ExpressionAttributeNames={"#t": "table"})
        names = [item["table"]["S"] for page in pages for item in page["Items"] if "S" in item.get("table", {})]
    spelled = (name if name.startswith(begins) else prefix + name for name in names)  # old versions leave the prefix out
    return sorted({name for name in spelled if name.startswith(begins)})


def _missing(topology: Topology, aws: Aws, found: Collection[str], *, fence: bool) -> list[str]:
    spec, store = aws.spec, aws.store
    wanted = [full_name(spec, namespace, COORDINATOR) for namespace in topology.coordinator_namespaces(store)]
    wanted.append(full_name(spec, topology.scalardb.metadata_namespace, METADATA))
    if fence:
        wanted.append(fence_name(topology, store, spec))
    missing = [name for name in wanted if name not in found]
    users = [name for name in found if not name.endswith(f".{FENCE_TABLE}")]
    empty = [full_name(spec, namespace, "") for namespace in topology.store(store).namespaces]
    return missing + [f"any table {name}*" for name in empty if not any(each.startswith(name) for each in users)]

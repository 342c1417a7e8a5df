"""Which Airflow connections a topology needs: all that it does not say of itself, and all that a new Airflow has to be told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from midtime.model.topology.base import Section
from midtime.model.topology.cassandra import SshAccess
from midtime.model.topology.cloud import CloudDatabase
from midtime.model.topology.model import AnyStore, Topology
from midtime.model.topology.plan import Notification
from midtime.model.topology.targets import Target

_URL_WITH_CONNECTION = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<conn_id>[A-Za-z0-9_.-]+)@.+")
_SCHEMES = {"s3": "aws", "s3a": "aws", "gs": "google_cloud_platform", "abfs": "wasb", "abfss": "wasb", "adl": "azure_data_lake"}
_CONTROL = {
    "postgresql": "postgres",
    "mysql": "mysql",
    "sqlite": "sqlite",
    "cassandra": "cassandra",
    **dict.fromkeys(("dynamodb", "rds", "aurora"), "aws"),
    **dict.fromkeys(("cosmosdb", "azure_postgresql", "azure_mysql"), "azure"),
}
_TO_IS_A_CONNECTION = frozenset({"postgresql", "mysql", "cassandra"})
"""Elsewhere a drill target's ``to`` is a name in the cloud, a prefix or a file; but of what a managed service has dumped."""
_DIALECTS = {"postgresql": "postgres", "mysql": "mysql", "oracle": "oracle", "sqlserver": "mssql"}


@dataclass(frozen=True, slots=True)
class NeededConnection:
    """One Airflow connection."""

    conn_id: str
    conn_type: str
    used_for: str
    """Where the topology names it."""


def needed_connections(topology: Topology) -> tuple[NeededConnection, ...]:
    """Every connection that the topology names, once each, the destination's first."""
    found: dict[str, NeededConnection] = {}
    for each in (*_of_url(topology.destination, "destination"), *_of_all(topology)):
        found.setdefault(each.conn_id, each)
    return tuple(found.values())


def _of_all(topology: Topology) -> Iterator[NeededConnection]:
    for store in topology.stores:
        yield from _of(store, f"store {store.name}", store)
    for name, target in topology.drill.targets.items():
        yield from _of(target, f"drill target of {name}", topology.store(name))
    for product in topology.products:
        yield from _of(product, f"product {product.kind}", None)
    for notification in topology.notifications.on_failure:
        yield from _of_notification(notification)


def _of(section: Section, where: str, store: AnyStore | None) -> Iterator[NeededConnection]:
    """What a section names, and all sections in it."""
    dumped = isinstance(store, CloudDatabase) and store.method == "dump"
    if isinstance(section, Target) and section.to and store and (dumped or store.engine in _TO_IS_A_CONNECTION):
        yield NeededConnection(section.to, _type("data_conn_id" if dumped else "conn_id", section, store), where)
    for key in type(section).model_fields:
        if dumped and key == "conn_id":
            continue  # the control plane: a dump asks the database only
        value = getattr(section, key)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Section):
                yield from _of(each, where, store)
            elif isinstance(each, str) and key.endswith("conn_id"):
                yield NeededConnection(each, _type(key, section, store), where)
            elif isinstance(each, str):
                yield from _of_url(each, where)


def _type(key: str, section: Section, store: AnyStore | None) -> str:
    if key == "ssh_conn_id" or isinstance(section, SshAccess):
        return "ssh"
    if type(section).__name__.startswith("Kubernetes"):
        return "kubernetes"
    engine = store.engine if store else ""
    if key == "data_conn_id":
        return {"cosmosdb": "azure_cosmos", "dynamodb": "aws"}.get(engine) or _DIALECTS.get(getattr(store, "dialect", ""), "generic")
    return _CONTROL.get(engine, "generic") if key == "conn_id" else "generic"


def _of_url(url: str, where: str) -> Iterator[NeededConnection]:
    if match := _URL_WITH_CONNECTION.fullmatch(url):
        yield NeededConnection(match["conn_id"], _SCHEMES.get(match["scheme"], "generic"), where)


def _of_notification(notification: Notification) -> Iterator[NeededConnection]:
    for key, value in notification.args.items():
        if key.endswith("_conn_id") and isinstance(value, str):
            yield NeededConnection(value, key.removesuffix("_conn_id"), "notifications")

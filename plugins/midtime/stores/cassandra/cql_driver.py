"""Cassandra's driver, set up for one cluster: which nodes it may use, and what it takes from the Airflow connection."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import ConstantReconnectionPolicy, HostFilterPolicy, RoundRobinPolicy
from cassandra.query import tuple_factory

from midtime.errors import StoreAccessError
from midtime.stores.naming import airflow_connection

if TYPE_CHECKING:
    from airflow.sdk import Connection

Address = tuple[str, int]
"""A node's address and its CQL port."""
PROTOCOL = 4
"""Of all Cassandras since 2.2; a newer one would have to be bargained for, and brings nothing that is used here."""
CONNECT_SECONDS = 10
SECONDS = 30
"""How long a statement may take; the nodes themselves give up after ten, unless their configuration says otherwise."""


def connect(nodes: Sequence[Address], options: dict[str, Any]) -> tuple[Any, Any]:
    """The driver's cluster and its session; only these nodes are ever asked anything.

    :param options: what :func:`options_of` gave
    """
    allowed = {address for node in nodes for address in _resolved(node)}
    policy = HostFilterPolicy(RoundRobinPolicy(), lambda host: (host.endpoint.address, host.endpoint.port) in allowed)
    profile = ExecutionProfile(policy, consistency_level=ConsistencyLevel.QUORUM, request_timeout=SECONDS, row_factory=tuple_factory)
    cluster = Cluster(
        sorted(allowed),
        port=nodes[0][1],
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        connect_timeout=CONNECT_SECONDS,
        control_connection_timeout=CONNECT_SECONDS,
        reconnection_policy=ConstantReconnectionPolicy(1.0, max_attempts=None),
        schema_metadata_enabled=False,
        token_metadata_enabled=False,
        monitor_reporting_enabled=False,
        application_name="midtime",
        **options,
    )
    try:
        return cluster, cluster.connect()
    except BaseException:
        cluster.shutdown()
        raise


def _resolved(node: Address) -> set[Address]:
    return {(str(found[4][0]), node[1]) for found in socket.getaddrinfo(*node, type=socket.SOCK_STREAM)}


def options_of(conn_id: str | None) -> dict[str, Any]:
    """What an Airflow connection says to the driver.

    :raises StoreAccessError: there is no such connection
    """
    if conn_id is None:
        return {"protocol_version": PROTOCOL}
    connection = airflow_connection(conn_id)
    if connection is None:
        raise StoreAccessError(
            f"there is no Airflow connection {conn_id!r}", fix=f"airflow connections add {conn_id} --conn-type cassandra ..."
        )
    login = PlainTextAuthProvider(connection.login, connection.password or "") if connection.login else None
    version = int(connection.extra_dejson.get("protocol_version") or PROTOCOL)
    return {"auth_provider": login, "ssl_context": _tls(connection), "protocol_version": version}


def _tls(connection: Connection) -> ssl.SSLContext | None:
    """``ssl_options`` as the driver once took them. Whoever names an authority wants it asked; the driver by itself would not."""
    said = connection.extra_dejson.get("ssl_options")
    if not isinstance(said, dict):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = bool(said.get("check_hostname", False))
    asked = said.get("cert_reqs", "CERT_REQUIRED" if said.get("ca_certs") else "CERT_NONE")
    context.verify_mode = ssl.VerifyMode[asked] if isinstance(asked, str) else ssl.VerifyMode(asked)
    if said.get("ca_certs"):
        context.load_verify_locations(said["ca_certs"])
    if said.get("certfile"):
        context.load_cert_chain(said["certfile"], said.get("keyfile"))
    return context

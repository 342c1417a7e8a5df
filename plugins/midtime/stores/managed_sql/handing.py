"""The connection to a restored server: the live one's, at the address of the copy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from midtime.errors import RequestError, StoreAccessError
from midtime.model.topology import Topology
from midtime.model.topology.cloud import AnyCloudDatabase
from midtime.stores.base import Reached
from midtime.stores.managed_sql.data import At
from midtime.stores.managed_sql.oracle import protocol_of
from midtime.stores.naming import COPY_TAG, PLACED, TOPOLOGY_TAG, airflow_connection, without_address, working_name

_RUN = re.compile(rf"{PLACED}midtime-tmp-([0-9a-z]+)-")
"""In the tag of a copy that was placed."""


def is_handed_over(tags: Mapping[str, str], topology: Topology, store: str, valid: Callable[[str], str]) -> bool:
    """Whether it is a copy of this store's that was restored for this topology, and placed. Its tags say so: the run is long over.

    :param valid: makes of a working name one that the service takes
    """
    owner = tags.get(COPY_TAG, "")
    run = _RUN.match(owner)
    return bool(run and owner == PLACED + valid(working_name(store, run[1])) and tags.get(TOPOLOGY_TAG) == topology.name)


def none_placed(topology: Topology, store: str, what: str) -> RequestError:
    """Nobody is handed a login to another server by a slip."""
    return RequestError(
        f"store {store}: Midtime has placed no {what} for it and {topology.name}", fix="name what `place` of the restore has logged"
    )


def reached(store: str, spec: AnyCloudDatabase, at: At) -> Reached:
    """Logins, passwords, database and TLS came back with the data; only the address is another one, wherever the connection says it.

    :raises StoreAccessError: there is no connection to the live one; or the copy has no address yet
    """
    conn_id, (host, port) = spec.data_conn_id, at
    if conn_id is None or not (live := airflow_connection(conn_id)):
        raise StoreAccessError(
            f"store {store}: there is no Airflow connection {conn_id or 'to its data'}", fix="add it: its login is the copy's, too"
        )
    if not host:
        raise StoreAccessError(f"store {store}: the copy has no address yet", fix="try again once it is available")
    if spec.speaks == "oracle" and protocol_of(live) != "tcp":
        port = None  # the live one's
    kept, own_port = without_address(live)
    extra = (live.extra or "") if kept == live.extra_dejson else json.dumps(kept)
    return Reached(live.conn_type or "", live.login or "", live.password or "", host, port or own_port, live.schema or "", extra)

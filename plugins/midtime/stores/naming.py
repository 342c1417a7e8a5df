"""What a person wrote of a target, turned into a connection and names. The same for every engine whose data Midtime copies."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from midtime.errors import RequestError, StoreAccessError, TargetExistsError
from midtime.model.instants import run_suffix

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from midtime.model.topology.targets import Target as TargetWish

WORKING_PREFIX = "midtime_tmp_"
"""Of everything that Midtime makes and may remove again."""
COPY_TAG = "midtime:copy"
"""Of what a managed service restores: says whose a copy is, and since it was placed that it is nobody's to remove."""
PLACED = "placed "
"""What stands before the working name in the tag of a copy that was placed."""
TOPOLOGY_TAG, SOURCE_TAG = "midtime:topology", "midtime:restored"
"""Of a copy, too: for which topology it was made, and of what."""
_LEADS = frozenset({"host", "hostaddr", "port", "dsn", "unix_socket"})
"""Extras that win over what a connection says of its address itself."""


def airflow_connection(conn_id: str) -> Connection | None:
    """The Airflow connection of that id, if there is one."""
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

    try:
        return BaseHook.get_connection(conn_id)
    except (AirflowNotFoundException, AirflowRuntimeError):
        return None


def without_address(connection: Connection) -> tuple[dict[str, Any], int | None]:
    """What of a connection holds at another address, too: the extras that do not lead back to its own, and its port."""
    said = connection.extra_dejson
    return {key: value for key, value in said.items() if key not in _LEADS}, int(said.get("port") or connection.port or 0) or None


def require_type(store: str, connection: Connection, wanted: str) -> None:
    """The connections of one store are easily mistaken for one another, and a database's login would be taken for a cloud's.

    :raises StoreAccessError: it says that it is of another type
    """
    if (found := connection.conn_type) and found not in (wanted, "generic"):
        raise StoreAccessError(
            f"store {store}: connection {connection.conn_id} is of type {found}, not {wanted}",
            fix=f"name one of type {wanted}: `conn_id` is for the cloud's control plane, `data_conn_id` for the data",
        )


def where_to(wish: TargetWish, *, store: str, conn_id: str, drill: bool) -> tuple[str, str | None]:
    """(connection, name or None) of what a wish's ``to`` means. A misspelt connection must not become a name on the live server.

    :param conn_id: the store's own connection to its data
    :raises RequestError: a drill's target is no connection
    :raises StoreAccessError: not even the store's own connection can be read, so nothing can be said about the other
    """
    if wish.to is None or airflow_connection(wish.to):
        return wish.to or wish.data_conn_id or wish.conn_id or conn_id, None
    if airflow_connection(conn_id) is None:
        raise StoreAccessError(f"there is no Airflow connection {conn_id!r}", fix="check Airflow's connections and secrets back end")
    if drill:
        raise RequestError(
            f"the drill target of store {store!r} is {wish.to!r}, and there is no such Airflow connection",
            fix="create that connection; to drill on the store's own server, leave the target out",
        )
    return wish.data_conn_id or wish.conn_id or conn_id, wish.to


def working_name(store: str, run: str) -> str:
    """What one run calls its working copy of one store; two stores' names may differ in what a database's name drops."""
    return f"{WORKING_PREFIX}{run}_{run_suffix(store)[:4]}_{store}".replace("-", "_")


def require_working_name(name: str) -> None:
    """Refuse to remove what Midtime has not made.

    :raises TargetExistsError: it is no working name
    """
    if not name.startswith(WORKING_PREFIX):
        raise TargetExistsError(f"{name!r} is no working name", fix="remove it by hand if it is yours")


def fit(name: str, end: str = "", *, limit: int) -> str:
    """A name of at most ``limit`` bytes; what is cut is never the end."""
    return name.encode()[: limit - len(end.encode())].decode(errors="ignore") + end


def snapshot_tag(topology: str, store: str, run: str) -> str:
    """What one run calls a snapshot of one store on its nodes; each snapshot of a run has a name of its own."""
    return f"midtime-{topology}-{store}-{run_suffix(run)}-{uuid.uuid4().hex[:4]}"


def require_snapshot_tag(tag: str, *, topology: str, store: str) -> None:
    """Refuse to clear a snapshot that is not one of this store's that Midtime has taken.

    :raises TargetExistsError: it is somebody else's
    """
    if not re.fullmatch(rf"midtime-{re.escape(topology)}-{re.escape(store)}-[0-9a-f]{{6}}-[0-9a-f]{{4}}", tag):
        raise TargetExistsError(f"snapshot {tag!r} is none that Midtime took of {topology}/{store}", fix="clear it by hand if it is yours")

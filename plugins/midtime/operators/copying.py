"""How the tasks that copy a snapshot are wired: the same after every task that takes one, in a window or without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midtime.operators.collect import CollectOperator
from midtime.operators.upload import NodesOperator, UploadOperator

if TYPE_CHECKING:
    from midtime.model.topology import Topology
    from midtime.operators.capturing import StoreOperator

UPLOAD_RETRIES = 3
"""An upload goes on where the one before it was interrupted."""


def copy_snapshot(topology: Topology, store: str, snapshot: StoreOperator) -> list[Any]:
    """``snapshot >> nodes_<store> >> upload_<store>``, one for each node, ``>> collect_<store>``; to be called inside a DAG.

    :return: the three, ``collect_<store>`` last: whoever needs the store's part waits for it
    """
    captured: Any = snapshot.output
    nodes = NodesOperator(task_id=f"nodes_{store}", topology=topology, store=store, capture=captured)
    upload = UploadOperator.partial(
        task_id=f"upload_{store}",
        topology=topology,
        store=store,
        capture=captured,
        retries=UPLOAD_RETRIES,
        map_index_template="{{ task.node }}",
    ).expand(node=nodes.output)
    collect = CollectOperator(
        task_id=f"collect_{store}",
        topology=topology,
        store=store,
        capture=captured,
        taken=captured["taken"],
        uploads=upload.output,
    )
    snapshot >> nodes >> upload >> collect
    return [nodes, upload, collect]

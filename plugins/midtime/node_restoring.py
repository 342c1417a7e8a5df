"""What a run that brings back one lost node asks for. Everything after the plan is done as for a restore in place: the target knows its node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from midtime.errors import RequestError
from midtime.model.instants import run_suffix
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import Topology
from midtime.restoring import NODE, Plan, new_plan, wrong_parameters
from midtime.snapshots import open_snapshot_store, snapshotted


class NodeRequest(BaseModel):
    """The conf of a restore of one lost node."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    restore_point: str = "latest"
    store: str | None = None
    node: Annotated[str, Field(min_length=1)]
    approve: bool = True

    @classmethod
    def parse(cls, conf: Mapping[str, Any], topology: Topology) -> NodeRequest:
        """Read a run's conf.

        :raises RequestError: an unknown key, a wrong type, no node, a store that has none, or an unattended restore
        """
        try:
            request = cls.model_validate(dict(conf))
        except ValidationError as error:
            raise wrong_parameters(error, cls) from error
        request.store_of(topology)
        if not request.approve:
            raise RequestError("a restore of a node replaces what is on it and is never done without approval", fix="set approve to true")
        return request

    def store_of(self, topology: Topology) -> str:
        """The store whose node it is; where there is one only, nobody needs to say it.

        :raises RequestError: it cannot be told, or has no nodes
        """
        known = snapshotted(topology)
        store = self.store or (known[0] if len(known) == 1 else "")
        if store not in known:
            raise RequestError(f"store {store!r} has no nodes that could be restored", fix=f"name one of {', '.join(known)}")
        return store


def make_node_plan(topology: Topology, request: NodeRequest, point: RestorePoint, *, run: str) -> Plan:
    """Name the node. Nothing is touched."""
    target = open_snapshot_store(topology, request.store_of(topology)).node_target(request.node, run=run_suffix(run))
    return new_plan(topology, NODE, point, (target,), run, in_place=True)

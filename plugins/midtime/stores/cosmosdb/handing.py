"""The address and the key of an account that Midtime has placed, for a connection."""

from __future__ import annotations

from midtime.errors import RequestError
from midtime.model.topology import Topology
from midtime.stores.azure.refusals import azure_errors
from midtime.stores.base import Reached
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.standing import Standing
from midtime.stores.naming import TOPOLOGY_TAG

CONN_TYPE = "azure_cosmos"


def reached(topology: Topology, azure: Azure, name: str) -> Reached:
    """Only of an account that was restored for this topology and is placed: nobody is handed the key of another one by a slip.

    :raises RequestError: it is none
    """
    with azure_errors(azure.store):
        every = [Standing(str(each.name), each.as_dict()) for each in azure.arm.database_accounts.list()]
    placed = [each for each in every if each.placed and each.tags.get(TOPOLOGY_TAG) == topology.name]
    if not (found := next((each for each in placed if each.name == name), None)):
        there = ", ".join(each.name for each in placed) or "none"
        raise RequestError(
            f"store {azure.store}: Midtime has placed no account {name} for {topology.name}", fix=f"name one that it has placed: {there}"
        )
    endpoint, key = azure.reached(str(found.said["id"]).split("/")[4], name)
    return Reached(CONN_TYPE, endpoint, key)

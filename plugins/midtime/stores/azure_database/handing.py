"""The address of a server that Midtime has placed, for a connection."""

from __future__ import annotations

from midtime.model.topology import Topology
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.standing import standing
from midtime.stores.azure_database.targets import server_name
from midtime.stores.base import Reached
from midtime.stores.managed_sql import handing


def reached(topology: Topology, azure: Azure, name: str) -> Reached:
    """In the store's resource group.

    :raises RequestError: it is none that Midtime has placed for this store
    :raises StoreAccessError: nothing says with which login it is reached
    """
    found = standing(azure, azure.spec.resource_group, name)
    if not handing.is_handed_over(found.tags, topology, azure.store, server_name):
        raise handing.none_placed(topology, azure.store, f"server {name} in resource group {azure.spec.resource_group}")
    return handing.reached(azure.store, azure.spec, (found.address, None))

"""The address of an instance or a cluster that Midtime has placed, for a connection."""

from __future__ import annotations

from midtime.model.topology import Topology
from midtime.stores.base import Reached
from midtime.stores.managed_sql import handing
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.servers import flavour_of
from midtime.stores.rds.targets import server_name


def reached(topology: Topology, aws: RdsClients, name: str) -> Reached:
    """The writer's.

    :raises RequestError: it is none that Midtime has placed for this store
    :raises StoreAccessError: nothing says with which login it is reached
    """
    flavour = flavour_of(aws.spec)
    found = flavour.find(aws, name.lower())
    if not found or not handing.is_handed_over(found.tags, topology, aws.store, server_name):
        raise handing.none_placed(topology, aws.store, f"{flavour.noun} {name}")
    return handing.reached(aws.store, aws.spec, (found.address, found.port))

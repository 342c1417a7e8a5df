"""Indexes that the service builds again after a restore: until one is whole, queries that need it miss items, or read everything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.cosmos import CosmosClient

from midtime.model.words import counted
from midtime.stores.azure.refusals import azure_errors
from midtime.stores.cosmosdb.notes import Copy
from midtime.stores.each import of_each

PROGRESS = "x-ms-documentdb-collection-index-transformation-progress"
"""Percent, where an index is being built."""


def left(store: str, data: CosmosClient, note: Copy) -> str:
    """Which indexes are being built still; empty where all are whole.

    :raises StoreError: the account's data cannot be reached
    """
    with azure_errors(store):
        names = [(each.database, each.name) for each in note.marked.containers]
        found = zip(names, of_each(names, lambda name: progress(data, *name)), strict=True)
        building = [(percent, f"{database}/{name}") for (database, name), percent in found if percent < 100]
    if not building:
        return ""
    percent, name = min(building)
    return f"the service builds the indexes of {counted(len(building), 'container')}, {name} is at {percent} %"


def progress(data: CosmosClient, database: str, name: str) -> int:
    """Percent of a container's index; 100 also where the service does not say, for then it builds none."""
    said: list[str] = []

    def remember(headers: Mapping[str, str], _: Any) -> None:
        said.extend(value for key, value in headers.items() if key.lower() == PROGRESS)

    data.get_database_client(database).get_container_client(name).read(populate_quota_info=True, response_hook=remember)
    return int(said[0]) if said and said[0].lstrip("-").isdigit() and int(said[0]) >= 0 else 100

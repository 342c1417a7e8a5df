"""What a destination tells of itself, to somebody who has nothing else left."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from midtime.catalog import objects
from midtime.catalog.drill_reports import PARALLEL
from midtime.catalog.folders import MANIFEST
from midtime.catalog.restore_points import Catalog
from midtime.errors import CatalogError
from midtime.model.instants import RESTORE_POINT_ID
from midtime.model.restore_point import RestorePoint

_TOPOLOGY = re.compile(r"[a-z][a-z0-9-]{0,62}")


def catalogs_at(destination: str) -> list[Catalog]:
    """The topologies that have restore points there, sorted by name.

    :raises CatalogError: there are none
    """
    names = objects.names(objects.open_destination(destination))
    found = [Catalog(destination, name) for name in sorted(names) if _TOPOLOGY.fullmatch(name)]
    if catalogs := [catalog for catalog in found if catalog.folders()]:
        return catalogs
    above = any(RESTORE_POINT_ID.fullmatch(name) for name in names)
    fix = "it is one topology's folder: give the folder above" if above else "check the URL, and the connection that it names"
    raise CatalogError(f"there are no restore points at {destination}", fix=fix)


def published(catalog: Catalog) -> int:
    """How many restore points there are; of none is more read than the names in its folder."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        return sum(MANIFEST in names for names in pool.map(lambda point: objects.names(catalog.folder(point)), catalog.folders()))


def newest_with_topology_file(catalog: Catalog) -> RestorePoint | None:
    """The newest restore point whose manifest can be believed and says how its topology was; also one that cannot be restored any more."""
    points = (entry.restore_point for entry in catalog.entries() if entry.restore_point)
    return next((point for point in points if point.topology_file), None)

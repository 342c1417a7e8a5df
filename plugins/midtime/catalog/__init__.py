"""The catalog: restore points, their artifacts and leases in one object store. It needs nothing else, so it survives the loss of Airflow."""

from midtime.catalog.leases import Lease, Leases
from midtime.catalog.restore_points import Catalog, Entry

__all__ = ["Catalog", "Entry", "Lease", "Leases"]

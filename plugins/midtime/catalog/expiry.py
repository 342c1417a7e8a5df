"""The end of a restore point: marked ``expired.json`` first, removed then, its manifest after its artifacts and the mark last.

Whoever begins to restore takes a lease first and looks for the mark then; retention writes the mark first and reads the leases then.
Whatever the order in which the two arrive, one of them sees the other.
"""

from __future__ import annotations

from midtime.catalog import objects
from midtime.catalog.folders import EXPIRED, MANIFEST
from midtime.catalog.half_written import HalfWritten
from midtime.errors import CatalogError


class Expiring(HalfWritten):
    """What retention does to a topology's folders; which, is decided by :mod:`midtime.model.retention`."""

    def reserved(self) -> dict[str, str]:
        """The restore points that somebody's lease names, with that somebody. An expired lease counts until the sweeper has given it back."""
        leases = filter(None, map(self.leases.current, self.leases.names()))
        return {
            str(lease.details["restore_point"]): lease.holder for lease in leases if not lease.released and "restore_point" in lease.details
        }

    def half_removed(self) -> list[str]:
        """Ids of folders of which a killed retention left the mark and no manifest, newest first; looks into every folder."""
        found = ((name, objects.names(self.folder(name))) for name in self.folders())
        return [name for name, beside in found if EXPIRED in beside and MANIFEST not in beside]

    def remove_expired(self, restore_point: str) -> None:
        """Remove a marked restore point. Killed at any moment, it leaves the mark: nobody uses the rest, and the next try removes it.

        :raises CatalogError: it is not marked, or no restore point's folder
        """
        self._require_id(restore_point)
        if EXPIRED not in objects.names(self.folder(restore_point)):
            raise CatalogError(f"{restore_point} is not marked as expired", fix="leave its removal to retention")
        self.remove_all_but(restore_point, MANIFEST, EXPIRED)
        self.remove_all_but(restore_point, EXPIRED)
        objects.remove_tree(self.folder(restore_point))
        self.end(restore_point)

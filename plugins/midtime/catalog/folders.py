"""Where the restore points of a topology lie, and the marks that are put beside their manifests."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from midtime.catalog import objects
from midtime.catalog.leases import Leases
from midtime.model.instants import RESTORE_POINT_ID, from_rfc3339, to_rfc3339, utc_now

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

MANIFEST = "manifest.json"
INVALID = "invalid.json"
"""Mark: not to be used, for good."""
EXPIRED = "expired.json"
"""Mark: retention has begun to remove it."""

RESTORABLE = "restorable.json"
"""Mark: whoever keeps the stores' history has reached the midtime. Only of restore points that wait for it."""

WAITED = "waited.json"
"""Mark: the wait for that has ended without it. The last reason counts."""


class Folders:
    """The folders of one topology; what may be done with them is in the classes that build on this one.

    :param destination: the topology's ``destination``, any ObjectStoragePath URL
    :param topology: its name
    """

    def __init__(self, destination: str, topology: str) -> None:
        self.destination = destination
        self.topology = topology

    @cached_property
    def root(self) -> ObjectStoragePath:
        """``<destination>/<topology>``."""
        return objects.open_destination(self.destination) / self.topology

    @cached_property
    def leases(self) -> Leases:
        """Who works on this topology."""
        return Leases(self.root / ".leases")

    def folder(self, restore_point: str) -> ObjectStoragePath:
        """Where a restore point's manifest and artifacts lie."""
        return self.root / restore_point

    def folders(self) -> list[str]:
        """Ids of all folders, newest first: finished, half-written and broken ones alike."""
        return sorted((name for name in objects.names(self.root) if RESTORE_POINT_ID.fullmatch(name)), reverse=True)

    def mark(self, restore_point: str, name: str, reason: str) -> bool:
        """Put a mark beside the manifest; the first reason stays.

        :param name: ``INVALID``, ``EXPIRED`` or ``RESTORABLE``
        :return: whether it is ours; False when it was there already
        """
        body = {"reason": reason, "at": to_rfc3339(utc_now())}
        try:
            objects.create(self.folder(restore_point) / name, json.dumps(body, indent=2).encode() + b"\n")
        except FileExistsError:
            return False
        return True

    def unmark(self, restore_point: str, name: str) -> None:
        """Take back a mark of ours."""
        objects.remove_tree(self.folder(restore_point) / name)

    def reason(self, restore_point: str, name: str) -> str:
        """What a mark says."""
        try:
            return str(json.loads(objects.read(self.folder(restore_point) / name))["reason"])
        except (ValueError, KeyError, TypeError, FileNotFoundError):
            return f"its {name} is unreadable"

    def marked_at(self, restore_point: str, name: str) -> datetime | None:
        """When a mark was put; None where it does not say, or is not there."""
        try:
            return from_rfc3339(json.loads(objects.read(self.folder(restore_point) / name))["at"])
        except (ValueError, KeyError, TypeError, FileNotFoundError):
            return None

    @property
    def how_to_list(self) -> str:
        """What to do about an id that is none."""
        return f"`midtime list {self.topology}` shows those there are"

"""Restore points of other dates, made of a real one: its artifacts under another id, its manifest moved in time and sealed again."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

from midtime.catalog import Catalog
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import RestorePoint


def moved(catalog: Catalog, original: RestorePoint, midtime: datetime, *, finished: datetime | None = None) -> RestorePoint:
    """The same backup as if it had been taken at ``midtime``; it is restored and verified like any other.

    :param finished: when its manifest was written; by default as long after its midtime as the original's
    """
    by = midtime - original.midtime
    changes: dict[str, Any] = {
        "id": restore_point_id(midtime, "moved"),
        "midtime": midtime,
        "started_at": original.started_at + by,
        "finished_at": finished or original.finished_at + by,
        "stores": tuple(store.model_copy(update={"midtime": store.midtime + by}) for store in original.stores),
    }
    point = original.model_copy(update=changes)
    folder = Path(catalog.folder(point.id).path)
    shutil.copytree(catalog.folder(original.id).path, folder, ignore=shutil.ignore_patterns("manifest.json", "drills"))
    (folder / "manifest.json").write_bytes(point.seal())
    return catalog.load(point.id)

"""What the tests of the pool share: content, listings of it, restore points that name them, and backups that behave as the rules say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from midtime.catalog import Catalog, objects
from midtime.catalog.half_written import BACKUP_LEASE
from midtime.catalog.pool import Pool
from midtime.model.restore_point import Artifact, RestorePoint, StoreBackup, digest_of
from tests.unit.builders import days_later, part, sha256

STORE = "ring"
LISTING = f"{STORE}/n1/files.json"


def put(catalog: Catalog, *contents: bytes) -> list[str]:
    """Content in the pool; its names."""
    return [Pool(catalog, STORE).put(sha256(content), len(content), [content]) for content in contents]


def listing(names: Sequence[str], contents: Sequence[bytes], **changes: Any) -> bytes:
    """One node's listing, as the engine writes it."""
    files = [
        {
            "path": f"bank/t-1/{number}-Data.db",
            "size": len(content),
            "sha256": sha256(content),
            "content": name,
            "inode": number,
            "mtime_ns": 1,
        }
        for number, (name, content) in enumerate(zip(names, contents, strict=True))
    ]
    body = {"version": 1, "store": STORE, "label": "n1", "host_id": "h", "tag": "t", "files": files} | changes
    return json.dumps({**body, "digest": digest_of(body)}).encode()


def backup_of(text: bytes) -> StoreBackup:
    files = json.loads(text)["files"]
    size = sum(file["size"] for file in files)
    artifacts = (Artifact(path=LISTING, size=len(text), sha256=sha256(text)),)
    return part(STORE, artifacts=artifacts, tables=(), details={"listings": [LISTING], "bytes": size, "files": len(files)})


def write(catalog: Catalog, days: int, text: bytes, **changes: Any) -> RestorePoint:
    """A restore point of that listing, with all but its manifest."""
    point = days_later(days, stores=(backup_of(text),), **changes)
    catalog.begin(point.id)
    objects.replace(catalog.folder(point.id) / LISTING, text)
    catalog.add_part(point.id, point.stores[0])
    return point


def add(catalog: Catalog, days: int, *contents: bytes) -> RestorePoint:
    """A whole restore point of new content."""
    point = write(catalog, days, listing(put(catalog, *contents), contents))
    catalog.publish(point)
    return point


def write_known(catalog: Catalog, days: int, *contents: bytes, run: str = "run") -> RestorePoint:
    """All of a restore point but its manifest; what the pool has is not sent."""
    known = Pool(catalog, STORE).known()
    found = [known.get((sha256(content), len(content))) or put(catalog, content)[0] for content in contents]
    return write(catalog, days, listing(found, contents), run=run)


def back_up(catalog: Catalog, days: int, *contents: bytes, holder: str = "backup/1", run: str = "run") -> RestorePoint:
    """What a run does, as far as the pool is concerned: each task goes on with the lease, and finds at its end whether it was lost."""
    catalog.leases.acquire(BACKUP_LEASE, holder)
    with catalog.leases.held(BACKUP_LEASE, holder):
        point = write_known(catalog, days, *contents, run=run)
    with catalog.leases.held(BACKUP_LEASE, holder):
        catalog.publish(point)
    catalog.leases.release(BACKUP_LEASE, holder)
    return point


def names(catalog: Catalog) -> set[str]:
    """What lies in the pool."""
    return set(Pool(catalog, STORE).sizes())

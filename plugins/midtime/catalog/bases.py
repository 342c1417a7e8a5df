"""Bases: what several restore points of one store need, a base backup of PostgreSQL or a full dump of MySQL.

``<destination>/<topology>/bases/<store>/<id>/base.json`` and the artifacts beside it. Like a manifest, ``base.json`` is written last and
never changed; without it a base is half-written, and invisible. A restore point names its base in ``StoreBackup.details["base"]``. When a
base goes is the affair of :mod:`midtime.catalog.old_bases`.

Only a run that holds the backup lease takes a base, or chooses one that is there: by this retention knows that nobody is about to name it.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from midtime.catalog import artifacts, objects
from midtime.catalog.folders import EXPIRED, INVALID, Folders
from midtime.catalog.leases import Leases
from midtime.catalog.pool import Pool, check_pooled, contents_of
from midtime.errors import ArtifactError, CatalogError, DestinationError, ManifestError, MidtimeError
from midtime.model.instants import RESTORE_POINT_ID, restore_point_id, to_rfc3339, utc_now
from midtime.model.restore_point import Artifact, Instant, RestorePoint, Sealed, StoreBackup

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

ROOM = "bases"
"""Below a topology's folder."""
BASE = "base.json"
SECOND = len("20261121T020007Z")
"""Letters of an id that say when."""
BEGUN = "begun.json"
"""Written first: who takes the base."""
REFERENCE = "base"
"""Key of :attr:`StoreBackup.details`."""
BESIDE = "beside_base"
"""Key of the same: artifacts that this restore point needs and that lie in its base's folder, because several restore points need them."""


class Base(Sealed):
    """One base of one store."""

    id: Annotated[str, Field(pattern=RESTORE_POINT_ID.pattern)]
    """When it was begun, and six hexadecimal digits by chance."""
    topology: str
    store: str
    engine: str
    taken_at: Instant
    """By this it grows old."""
    server: str
    client: str
    seconds: float
    artifacts: tuple[Artifact, ...]
    """Their paths are relative to the base's folder."""
    details: dict[str, Any] = Field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all artifacts."""
        return sum(artifact.size for artifact in self.artifacts)

    @property
    def reference(self) -> dict[str, str]:
        """What a restore point says of it, in ``StoreBackup.details["base"]``."""
        return {"id": self.id, "digest": self.digest}


class Bases(Folders):
    """The bases of one store.

    :param catalog: the topology's
    :param store: its name
    """

    def __init__(self, catalog: Folders, store: str) -> None:
        super().__init__(catalog.destination, catalog.topology)
        self.catalog = catalog
        self.store = store

    @cached_property
    def root(self) -> ObjectStoragePath:
        """``<destination>/<topology>/bases/<store>``."""
        return self.catalog.root / ROOM / self.store

    @cached_property
    def leases(self) -> Leases:
        """The topology's: a base has none of its own."""
        return self.catalog.leases

    def usable(self) -> Iterator[Base]:
        """Those that a new restore point may name, newest first: whole, readable, and not about to be removed.

        A half-written one costs a listing, and only what is taken from the iterator is read.
        """
        for name in self.folders():
            beside = objects.names(self.folder(name))
            if BASE in beside and EXPIRED not in beside and INVALID not in beside:
                try:
                    yield self.load(name)
                except ManifestError as error:
                    log.warning("Passed over a base of store %s: %s", self.store, error)

    def newest(self) -> Base | None:
        """The newest that a new restore point may name."""
        return next(self.usable(), None)

    def load(self, base: str) -> Base:
        """Read and check one base's file.

        :raises ManifestError: there is none of that id, or it cannot be believed
        """
        path = self.folder(base) / BASE
        if not RESTORE_POINT_ID.fullmatch(base):
            raise ManifestError(f"{base!r} is no base's id", fix="use another restore point")
        try:
            raw = objects.read(path)
        except FileNotFoundError:
            raise ManifestError(f"base {path} is missing", fix="use another restore point") from None
        found = Base.unseal(raw, where=str(path))
        if (found.id, found.topology, found.store) != (base, self.catalog.topology, self.store):
            raise ManifestError(f"{path} belongs to {found.topology}/{found.store}/{found.id}", fix="put it back to where it was")
        return found

    def of(self, backup: StoreBackup) -> Base:
        """The base that a restore point names for this store.

        :raises ManifestError: it is missing, cannot be believed, or is not the one that was named
        """
        named = _named(backup)
        found = self.load(named["id"])
        if found.digest != named["digest"]:
            raise ManifestError(
                f"{self.folder(found.id) / BASE} is not what its restore point was made with", fix="use another restore point"
            )
        return found

    def begin(self, run: str) -> tuple[str, ObjectStoragePath]:
        """A new base's id and folder, announced: nobody else writes there.

        :param run: whatever names who takes it, for people
        """
        there = self.folders()
        while True:
            base = restore_point_id(utc_now(), uuid.uuid4().hex)
            if any(base < each and base[:SECOND] == each[:SECOND] for each in there):
                continue  # of two that were begun in one second the later one is to be the newest
            with suppress(FileExistsError):
                objects.create(self.folder(base) / BEGUN, json.dumps({"run": run, "at": to_rfc3339(utc_now())}).encode() + b"\n")
                return base, self.folder(base)

    @contextmanager
    def taking(self, run: str) -> Iterator[tuple[str, ObjectStoragePath]]:
        """:meth:`begin` for as long as the block lasts; when it fails, nothing is left of the base."""
        base, folder = self.begin(run)
        try:
            yield base, folder
        except BaseException:
            try:
                self.discard(base)
            except MidtimeError as error:
                log.warning("Parts of base %s are left for the sweeper: %s", folder, error)
            raise

    def publish(self, base: Base) -> None:
        """Make a base visible: the last write. Looked at once more after that: it may have been swept meanwhile.

        :raises CatalogError: it is published already, or is being swept
        :raises ArtifactError: an artifact is missing or has another size
        """
        folder = self.folder(base.id)
        try:
            objects.create(folder / BASE, base.seal())
        except FileExistsError:
            raise CatalogError(f"base {folder} is published already", fix="start a new run") from None
        beside = objects.names(folder)
        if INVALID in beside or BEGUN not in beside:
            self._mark_swept(base.id)
            raise CatalogError(f"base {folder} was swept while it was written", fix="start a new run")
        try:
            artifacts.check_sizes(base.artifacts, folder)
        except ArtifactError:
            self._mark_swept(base.id)
            raise

    def discard(self, base: str) -> None:
        """Remove a half-written base; idempotent. Marked first and looked at again then, as :meth:`publish` looks for the mark.

        :raises CatalogError: it is published, or no base's folder
        """
        if not RESTORE_POINT_ID.fullmatch(base):
            raise CatalogError(f"{base!r} is no base's id", fix="leave it alone")
        self._require_half_written(base)
        ours = False
        with suppress(DestinationError):  # a full disk: nobody's base.json would find room either, and only removing helps
            ours = self._mark_swept(base)
        try:
            self._require_half_written(base)
        except CatalogError:
            if ours:
                self.unmark(base, INVALID)
            raise
        self._remove(base, last=INVALID)

    def remove_expired(self, base: str) -> None:
        """Remove a base that is marked as expired, the mark last: killed at any moment, the next try ends it.

        :raises CatalogError: it is not marked
        """
        if EXPIRED not in objects.names(self.folder(base)):
            raise CatalogError(f"base {self.folder(base)} is not marked as expired", fix="leave its removal to retention")
        self._remove(base, last=EXPIRED)

    def _mark_swept(self, base: str) -> bool:
        return self.mark(base, INVALID, "its run was taken for dead, and what it had written was removed")

    def _require_half_written(self, base: str) -> None:
        if BASE in objects.names(self.folder(base)):
            raise CatalogError(f"base {self.folder(base)} is published", fix="leave its removal to retention")

    def _remove(self, base: str, *, last: str) -> None:
        folder = self.folder(base)
        for name in objects.names(folder):
            if name != last:
                objects.remove_tree(folder / name)
        objects.remove_tree(folder)


def bases_of(catalog: Folders, point: RestorePoint) -> list[tuple[Base, ObjectStoragePath]]:
    """The bases that a restore point needs, each with its folder.

    :raises ManifestError: one is missing, cannot be believed, or is not the one that was named
    """
    found = []
    for backup in point.stores:
        if REFERENCE in backup.details:
            bases = Bases(catalog, backup.store)
            base = bases.of(backup)
            found.append((base, bases.folder(base.id)))
    return found


def artifacts_of(catalog: Folders, point: RestorePoint) -> list[tuple[tuple[Artifact, ...], ObjectStoragePath]]:
    """All files that a restore point needs, by the folder to which their paths are relative: its own, its bases', what lies beside those,
    and its stores' pools.

    :raises ManifestError: a base or a listing is missing, cannot be believed, or is not the one that was named
    :raises ArtifactError: so is a listing
    """
    pools = [(needed, Pool(catalog, store).root) for store, needed in contents_of(catalog, point).items()]
    return [*_unshared(catalog, point), *pools]


def _unshared(catalog: Folders, point: RestorePoint) -> list[tuple[tuple[Artifact, ...], ObjectStoragePath]]:
    beside = {backup.store: _beside(backup) for backup in point.stores}
    bases = [((*base.artifacts, *beside[base.store]), folder) for base, folder in bases_of(catalog, point)]
    return [(point.artifacts(), catalog.folder(point.id)), *bases]


def look_at_artifacts(catalog: Folders, point: RestorePoint) -> None:
    """A quick look at all that a restore point needs; the SHA-256 of each is checked when it is fetched. Of a pool, by one listing.

    :raises ArtifactError: one is missing or truncated
    :raises ManifestError: so is a base's own file
    """
    for files, folder in _unshared(catalog, point):
        artifacts.check_sizes(files, folder)
    for store, needed in contents_of(catalog, point).items():
        check_pooled(Pool(catalog, store), needed)


def _beside(backup: StoreBackup) -> tuple[Artifact, ...]:
    return tuple(Artifact.model_validate(each) for each in backup.details.get(BESIDE, ()))


def _named(backup: StoreBackup) -> dict[str, str]:
    named = backup.details.get(REFERENCE)
    if not isinstance(named, dict) or not all(isinstance(named.get(key), str) for key in ("id", "digest")):
        raise ManifestError(f"the part of store {backup.store} names no base", fix="use another restore point")
    return named

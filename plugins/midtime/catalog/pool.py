"""The pool: content that several restore points share, one object for each SHA-256, ``<topology>/pool/<store>/<2 digits>/<sha256>-<6 digits>``.

An immutable file that every backup meets again, such as an SSTable of Cassandra, is sent once. Which file has which content is said by
listings, artifacts of the restore point that its ``StoreBackup.details["listings"]`` names; nothing else tells that content is needed.
The last six digits, by chance, make each upload's name its own: content that retention has condemned may come again, its name never does.
When content goes is the affair of :mod:`midtime.catalog.old_pool`.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field

from midtime.catalog import artifacts, objects
from midtime.errors import CopyError, ManifestError
from midtime.model.instants import restore_point_id, utc_now
from midtime.model.restore_point import LISTINGS, Artifact, RestorePoint, Sealed, StoreBackup

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from midtime.catalog.backends import Look
    from midtime.catalog.folders import Folders

ROOM = "pool"
"""Below a topology's folder."""
CONDEMNED = ".condemned"
"""Folder below a pool: lists of names that are about to be removed."""
_NAME = re.compile(r"[0-9a-f]{64}-[0-9a-f]{6}")
_NAMED = re.compile(_NAME.pattern.encode())


class Listed(Artifact):
    """One file of a listing, as far as its content is concerned."""

    model_config = ConfigDict(extra="ignore")

    content: Annotated[str, Field(pattern=rf"^[0-9a-f]{{2}}/{_NAME.pattern}$")]
    """Name in the pool."""


class Listing(Sealed):
    """What every engine's listing says; what else there is, the engine knows."""

    model_config = ConfigDict(extra="ignore")

    label: str
    """The node."""
    files: tuple[Listed, ...]


class Pool:
    """The shared content of one store.

    :param catalog: the topology's
    :param store: its name
    """

    def __init__(self, catalog: Folders, store: str) -> None:
        self.catalog = catalog
        self.store = store

    @cached_property
    def root(self) -> ObjectStoragePath:
        """``<destination>/<topology>/pool/<store>``; names are relative to it."""
        return self.catalog.root / ROOM / self.store

    def known(self) -> dict[tuple[str, int], str]:
        """What a new backup need not send: the names of whole content by SHA-256 and size. Only for who holds the backup lease.

        First what is condemned, then what is there: what was removed meanwhile is on one of the two lists.
        """
        condemned = self.condemned()
        return {(sha256_of(name), look.size): name for name, look in self.listed() if leaf(name) not in condemned}

    def listed(self, tree: Iterable[tuple[str, Look]] | None = None) -> Iterator[tuple[str, Look]]:
        """The names of all content, with size and age; drafts and lists are none.

        :param tree: all that is there, if it was listed already
        """
        for path, look in objects.tree(self.root) if tree is None else tree:
            if _NAME.fullmatch(leaf(path)) and path == name_of(leaf(path)):
                yield path, look

    def sizes(self) -> dict[str, int]:
        """The size of all content by name, of one listing."""
        return {name: look.size for name, look in self.listed()}

    def put(self, sha256: str, size: int, chunks: Iterable[bytes]) -> str:
        """Keep content, whole or not at all.

        :return: its name
        :raises CopyError: the chunks are not what was announced
        """
        name = name_of(f"{sha256}-{uuid.uuid4().hex[:6]}")
        with artifacts.new_artifact(self.root, name) as writer:
            for chunk in chunks:
                writer.write(chunk)
            if writer.so_far != (size, sha256):
                raise CopyError(
                    f"what was read for {self.root / name} is not what was hashed before: the file was changed", fix="try again"
                )
        return name

    def condemn(self, names: Iterable[str]) -> str:
        """Say of content that no new backup may use it.

        :return: the list's own name
        """
        batch = f"{restore_point_id(utc_now(), uuid.uuid4().hex)}.json"
        objects.create(self.root / CONDEMNED / batch, json.dumps({"names": sorted(map(leaf, names))}, indent=0).encode() + b"\n")
        return batch

    def distrust(self, *names: str) -> None:
        """Let no new backup use content that was read and found damaged: it sends it again."""
        if found := {*map(leaf, names)} - self.condemned():
            self.condemn(found)

    def pardon(self, batch: str) -> None:
        """Remove such a list."""
        objects.remove_tree(self.root / CONDEMNED / batch)

    def batches(self) -> Iterator[tuple[str, set[str]]]:
        """Such lists by their own names, each with what it condemns."""
        for batch in objects.names(self.root / CONDEMNED):
            if not batch.startswith("."):
                with suppress(FileNotFoundError):
                    yield batch, named_in(objects.read(self.root / CONDEMNED / batch))

    def condemned(self) -> set[str]:
        """All that is condemned, by the last parts of the names."""
        return set().union(*(names for _, names in self.batches()))


def leaf(name: str) -> str:
    """The last part of a name, which means the same as the whole."""
    return name.rpartition("/")[2]


def name_of(last: str) -> str:
    """The whole of a name."""
    return f"{last[:2]}/{last}"


def sha256_of(name: str) -> str:
    """What content of that name must be."""
    return leaf(name).partition("-")[0]


def named_in(text: bytes) -> set[str]:
    """The last parts of all names in a text, whatever else it is: of a listing that nobody can read, what it needs can be told all the same."""
    return {found.decode() for found in _NAMED.findall(text)}


def listings_of(catalog: Folders, point: RestorePoint) -> Iterator[tuple[str, Listing]]:
    """All listings of a restore point, each with its store.

    :raises ArtifactError: one is missing, truncated or altered
    :raises ManifestError: so that it cannot be read
    """
    for backup in point.stores:
        for path in backup.details.get(LISTINGS, ()):
            raw = artifacts.read(_artifact(backup, path), catalog.folder(point.id))
            yield backup.store, Listing.unseal(raw, where=str(catalog.folder(point.id) / path))


def contents_of(catalog: Folders, point: RestorePoint) -> dict[str, tuple[Artifact, ...]]:
    """What a restore point needs of its stores' pools, each object once.

    :raises CatalogError: as for :func:`listings_of`
    """
    found: dict[str, dict[str, Artifact]] = {}
    for store, listing in listings_of(catalog, point):
        needed = found.setdefault(store, {})
        for file in listing.files:
            needed.setdefault(file.content, Artifact(path=file.content, size=file.size, sha256=file.sha256))
    return {store: tuple(needed.values()) for store, needed in found.items()}


def users_of(catalog: Folders, point: RestorePoint, names: Iterable[str]) -> Mapping[str, str]:
    """Whose content that is, for people: ``file <path> of node <label>``, the first of each."""
    wanted, users = set(names), dict[str, str]()
    for _, listing in listings_of(catalog, point):
        for file in listing.files:
            if file.content in wanted:
                users.setdefault(file.content, f"file {file.path} of node {listing.label}")
    return users


def distrust(catalog: Folders, point: RestorePoint, damaged: Iterable[str]) -> None:
    """Let no new backup use content that was read and found damaged: the next one sends it again, instead of being damaged as well.

    :param damaged: names, among which may be others than of content
    """
    wrong = set(map(leaf, damaged))
    for store, needed in contents_of(catalog, point).items():
        if found := wrong & {leaf(each.path) for each in needed}:
            Pool(catalog, store).distrust(*found)


def check_pooled(pool: Pool, needed: Iterable[Artifact]) -> None:
    """A quick look at content, by one listing of the pool.

    :raises ArtifactError: for the first that is missing or has another size
    """
    sizes = pool.sizes()
    for artifact in needed:
        artifacts.require_size(artifact, pool.root, sizes.get(artifact.path))


def _artifact(backup: StoreBackup, path: str) -> Artifact:
    for artifact in backup.artifacts:
        if artifact.path == path:
            return artifact
    raise ManifestError(f"the part of store {backup.store} names {path!r}, which is none of its artifacts", fix="use another restore point")

"""Restore point: the immutable record (manifest) of one backup, typed, versioned and sealed by a digest.

A manifest is written last and never changed. What may change (drilled, invalid) is kept beside it, and its state is derived.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from midtime.errors import ForeignManifestError, ManifestError
from midtime.model.instants import RESTORE_POINT_ID, from_rfc3339, to_rfc3339

MANIFEST_VERSION = 1
LISTINGS = "listings"
"""Key of :attr:`StoreBackup.details`: the artifacts that say which shared content is needed beside them."""
RESTORABLE_UNTIL = "restorable_until"
"""The same: when the service drops the history that the store is restored from (RFC 3339)."""
Instant = Annotated[AwareDatetime, PlainSerializer(to_rfc3339, return_type=str)]


class State(StrEnum):
    """Where a restore point stands in its life. The value is what people see."""

    MARKED = "MARKED"
    RESTORABLE = "RESTORABLE"
    DRILLED = "DRILLED"
    EXPIRED = "EXPIRED"
    INVALID = "INVALID"


class Record(BaseModel):
    """Base of everything in a manifest: frozen, and nothing unknown is let in."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def relative_path(path: str) -> str:
    """Refuse a path that leaves the folder to which it is relative."""
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"{path!r} leaves the restore point's folder")
    return path


class Artifact(Record):
    """One file of a backup."""

    path: Annotated[str, AfterValidator(relative_path)]
    """Relative to the restore point's folder."""
    size: Annotated[int, Field(ge=0)]
    """In bytes."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TableContent(Record):
    """How many rows a table held at the capture, and a digest for each bucket of its keys."""

    name: str
    """``namespace.table``."""
    rows: Annotated[int, Field(ge=0)]
    buckets: tuple[str, ...] = ()
    """Digest of bucket i of the keys at index i, whatever the order of the rows."""
    method: str = ""
    """How the digests were made; only like methods can be compared."""


class StoreBackup(Record):
    """One database's part of a restore point."""

    store: str
    engine: str
    method: str
    midtime: Instant
    """The restore point's instant in this store's own clock."""
    server: str
    """Version of the server, as it says it."""
    client: str
    """Version of the tool that copied."""
    seconds: float
    """How long capture and copy took."""
    artifacts: tuple[Artifact, ...]
    tables: tuple[TableContent, ...]
    details: dict[str, Any] = Field(default_factory=dict)
    """What this engine needs to know again when it restores."""

    @property
    def size(self) -> int:
        """Bytes of all artifacts, and of the content that they list: what a restore reads, whether other restore points share it or not."""
        return sum(artifact.size for artifact in self.artifacts) + self._listed("bytes")

    @property
    def files(self) -> int:
        """As :attr:`size`, how many."""
        return len(self.artifacts) + self._listed("files")

    def _listed(self, what: str) -> int:
        found = self.details.get(what) if LISTINGS in self.details else 0
        return found if isinstance(found, int) else 0

    @property
    def rows(self) -> int:
        """Rows of all tables at the capture."""
        return sum(table.rows for table in self.tables)

    @property
    def quiesced(self) -> bool:
        """Whether the window stopped everybody who writes to it; the Auditor's store is not, outside strict mode."""
        return self.details.get("quiesced") is not False

    @property
    def restorable_until(self) -> datetime | None:
        """When its service drops the history that it is restored from, by what was set at the mark; None where we keep all that is needed."""
        said = self.details.get(RESTORABLE_UNTIL)
        return from_rfc3339(said) if said else None

    @property
    def fence(self) -> dict[str, Any]:
        """``{namespace, before, after, why}``: where and when the window's fence rows were written, and why not; empty without a window."""
        return dict(self.details.get("fence", {}))


class Origin(Record):
    """Who made a restore point."""

    midtime_version: str
    dag_id: str
    run_id: str
    host: str


class Sealed(Record):
    """A record in a file of its own, which is written once and says by a digest whether it is still what was written."""

    version: Literal[1] = 1

    @property
    def digest(self) -> str:
        """SHA-256 of the whole record."""
        return digest_of(self.model_dump(mode="json"))

    def seal(self) -> bytes:
        """The file: the record with a SHA-256 over its canonical JSON."""
        body = self.model_dump(mode="json")
        return json.dumps({**body, "digest": digest_of(body)}, indent=2, sort_keys=True).encode() + b"\n"

    @classmethod
    def unseal(cls, raw: bytes, *, where: str) -> Self:
        """Read such a file and check its digest.

        :param where: the file's address, for the message
        :raises ManifestError: unreadable, edited, or of a version that this code does not know
        :raises ForeignManifestError: whole, but not as this code writes it: another Midtime wrote it, which may read it
        """
        try:
            body = json.loads(raw)
            claimed = body.pop("digest")
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise ManifestError(f"{where} is unreadable ({error})", fix="use another restore point; keep the file for diagnosis") from error
        if (version := body.get("version")) != MANIFEST_VERSION:
            kind = ForeignManifestError if isinstance(version, int) and version > MANIFEST_VERSION else ManifestError
            raise kind(f"{where} is of version {version!r}, known is {MANIFEST_VERSION}", fix="use a newer Midtime")
        if digest_of(body) != claimed:
            raise ManifestError(f"{where} was edited after it was written: its digest does not fit", fix="use another restore point")
        try:
            return cls.model_validate(body)
        except ValidationError as error:
            # Nobody edited it: to this code it is broken, to a newer one that has more fields it is good.
            said = f"{where} breaks the manifest's rules as this Midtime knows them: {error}"
            raise ForeignManifestError(said, fix="use the Midtime that wrote it, or another restore point") from error


class RestorePoint(Sealed):
    """One backup of a whole topology, brought to one instant: its manifest."""

    id: Annotated[str, Field(pattern=RESTORE_POINT_ID.pattern)]
    topology: str
    topology_digest: str
    midtime: Instant
    started_at: Instant
    finished_at: Instant
    stores: Annotated[tuple[StoreBackup, ...], Field(min_length=1)]
    evidence: dict[str, Any] = Field(default_factory=dict)
    """Why the instant may be believed: for a single transaction its snapshot, for a pause window its polls."""
    origin: Origin
    whole: bool = True
    """Whether it is the whole set at one instant. Snapshots without a pause are not: they are only good to bring back one lost node."""
    topology_file: str | None = None
    """The topology as a file, so that this catalog alone is enough to rebuild a lost Airflow; None in manifests of older versions."""

    @property
    def size(self) -> int:
        """Bytes of all artifacts of all stores."""
        return sum(store.size for store in self.stores)

    @property
    def point_in_time(self) -> bool:
        """Whether a store of it is restored to a point of its own history, which may be reached later than the manifest is written."""
        return any(store.method == "pitr" for store in self.stores)

    @property
    def restorable_until(self) -> datetime | None:
        """When the first of its stores can be restored no more; None where all of it lies at the destination."""
        return min(filter(None, (store.restorable_until for store in self.stores)), default=None)

    def store(self, name: str) -> StoreBackup:
        """The part of the named store."""
        for backup in self.stores:
            if backup.store == name:
                return backup
        raise ManifestError(
            f"restore point {self.id} has no store {name!r}", fix="choose one of " + ", ".join(s.store for s in self.stores)
        )

    def artifacts(self) -> tuple[Artifact, ...]:
        """All artifacts, store after store."""
        return tuple(artifact for store in self.stores for artifact in store.artifacts)


def digest_of(body: Any) -> str:
    """SHA-256 of the canonical JSON of a JSON-able value."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class DrillReport(Record):
    """What one drill (or restore) of a restore point measured; lies beside the manifest, in ``drills/``."""

    version: Literal[1] = 1
    restore_point: str
    topology: str
    started_at: Instant
    finished_at: Instant
    rto_seconds: float
    """From the start of the run to a verified set."""
    rpo_seconds: float
    """Age of the restore point when the drill began, or at ``as_of``: what a loss at that moment would have cost."""
    store_seconds: dict[str, float]
    bytes: int
    rows: int
    verdict: dict[str, Any]
    good: bool
    dag_id: str
    run_id: str
    as_of: Instant | None = None
    """The date that a backfilled drill stands for; None where it stands for the moment at which it began."""

    @property
    def stands_for(self) -> datetime:
        """The moment of which this drill says whether, and how fast, what was lost then would have come back."""
        return self.as_of or self.started_at

"""What all stores have in common, whatever their engine."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from midtime.model.durations import PositiveDuration, parse_duration
from midtime.model.topology.base import AbsolutePath, Count, Flag, Many, Name, Namespace, Section, broken, distinct, matching


class StoreBase(Section):
    """Keys of every store."""

    relational: ClassVar[bool] = False
    """One transaction of the engine can read everything that the store holds."""
    takes_queries: ClassVar[bool] = True
    """Whether `checks` can ask it."""
    only_for: ClassVar[dict[str, str]] = {}
    """Keys that make sense with one method only."""
    target_keys: ClassVar[frozenset[str]] = frozenset()
    """What a target of a drill may say, beside the plain-text form."""
    identity_keys: ClassVar[tuple[str, ...]] = ()
    """The keys by which two stores turn out to be one and the same database."""
    lost_in_place: ClassVar[str] = ""
    """What a restore in place ends for good, in words."""

    name: Name = Field(description="Name of the store within the topology; task ids, artifacts and reports use it.")
    namespaces: Annotated[Many[Namespace], AfterValidator(distinct)] = Field(
        default=(), description="ScalarDB namespaces in this store, without the Coordinator's and the metadata's."
    )
    fence: Flag = Field(
        default=True,
        description="Write a fence row before and after the pause: the only proof against a restore that lands too early. "
        "Needs a small table and the right to write to it.",
    )

    @model_validator(mode="after")
    def _keys_fit_method(self) -> Self:
        method = getattr(self, "method", "")
        for key in sorted(self.model_fields_set & self.only_for.keys()):
            if self.only_for[key] != method:
                broken(f"belongs to `method: {self.only_for[key]}`; this store has `method: {method}`", key)
        return self

    @property
    def fitting_targets(self) -> frozenset[str]:
        """Those of :attr:`target_keys` that make sense with the store's method."""
        return self.target_keys

    @property
    def data_connection(self) -> str:
        """Airflow connection through which the data themselves are read and written; a managed service's `conn_id` only governs it."""
        return getattr(self, "data_conn_id", None) or getattr(self, "conn_id", None) or ""

    @property
    def wished(self) -> str:
        """What a run's `targets` may say of it, in words."""
        return "a connection, or the new database's name"

    @property
    def beside_only(self) -> bool:
        """A restore in place is refused: what comes back has an address of its own."""
        return False

    @property
    def lists_namespaces(self) -> bool:
        """The engine has no notion of "the whole database": what is not listed in `namespaces` is not backed up."""
        return False

    @property
    def identity(self) -> tuple[object, ...] | None:
        """What names the database to the outside, as far as the file tells."""
        values = tuple(getattr(self, key) for key in self.identity_keys)
        return values if any(values) else None

    @property
    def captured(self) -> bool:
        """Midtime fixes the instant itself, by a capture inside the window; no clock is involved."""
        return getattr(self, "method", "") in ("dump", "snapshot")

    @property
    def point_in_time(self) -> bool:
        """Restored to a point of its own history, which can be missed; what was dumped comes back whole or not at all."""
        return getattr(self, "method", "") == "pitr"


Compression = Annotated[
    str,
    *matching(
        r"auto|none|gzip(:[1-9])?|lz4(:([1-9]|1[0-2]))?|zstd(:([1-9]|1[0-9]|2[0-2]))?",
        "auto, none, gzip, lz4 or zstd, with a level such as zstd:3",
    ),
]


class DumpKeys(Section):
    """Keys of stores that are copied by a dump client."""

    jobs: Count = Field(default=2, le=64, description="Parallel jobs of dump and restore, where the client has them.")
    compression: Compression = Field(
        default="auto",
        description="`auto` (what client and restorer both have), `none`, `gzip`, `lz4`, `zstd`; a level may follow: `zstd:3`.",
    )
    client_path: AbsolutePath | None = Field(
        default=None, description="Folder of the client tools on the workers. Default: the search path."
    )
    staging: AbsolutePath | None = Field(
        default=None, description="Folder on the workers for what must stand on disk before it is uploaded. Default: the temporary folder."
    )


class ManagedKeys(Section):
    """Keys of services that restore to a point in time by themselves."""

    restorable_timeout: PositiveDuration = Field(
        default=parse_duration("1h"), description="How long to wait until the service says that it can restore to the midtime."
    )
    restore_timeout: PositiveDuration = Field(default=parse_duration("12h"), description="How long one restore may take.")


MysqlClient = Literal["auto", "mysqldump", "mariadb-dump"]
Region = Annotated[str, *matching(r"[a-z]{2,}(-[a-z]+)+-[0-9]+", "an AWS region, such as ap-northeast-1")]
SubscriptionId = Annotated[
    str,
    *matching(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", "a subscription id has the form 00000000-0000-0000-0000-000000000000"),
]

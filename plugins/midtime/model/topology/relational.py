"""Relational databases that Midtime copies itself: PostgreSQL, MySQL and MariaDB, SQLite."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from midtime.model.durations import PositiveDuration, parse_duration
from midtime.model.topology.base import AbsolutePath, ConnId, ObjectUrl, Section, Text, broken
from midtime.model.topology.store import DumpKeys, MysqlClient, StoreBase


class WalArchive(Section):
    """The WAL archive of a self-managed PostgreSQL."""

    archive: ObjectUrl = Field(description="Folder into which the server's `archive_command` puts its WAL segments.")
    restore_command: Text | None = Field(
        default=None, description="`restore_command` of the restored server (`%f`, `%p`). Default: fetches the segment from `archive`."
    )
    base_backup_every: PositiveDuration = Field(default=parse_duration("7d"), description="Age at which a new base backup is taken.")


class BinlogArchive(Section):
    """The binary log of a self-managed MySQL or MariaDB."""

    archive: ObjectUrl | None = Field(
        default=None, description="Folder that keeps the binary logs. Default: they are fetched from the server."
    )
    full_every: PositiveDuration = Field(default=parse_duration("7d"), description="Age at which a new full dump is taken.")


class Postgresql(DumpKeys, StoreBase):
    """A PostgreSQL database. The whole database is dumped, so `namespaces` only says what must be in it."""

    relational: ClassVar[bool] = True
    only_for: ClassVar[dict[str, str]] = {"wal": "pitr", "jobs": "dump"}
    target_keys: ClassVar[frozenset[str]] = frozenset({"conn_id", "database", "data_dir", "port"})
    identity_keys: ClassVar[tuple[str, ...]] = ("conn_id", "database")

    engine: Literal["postgresql"] = Field(description="PostgreSQL.")
    method: Literal["dump", "pitr"] = Field(
        default="dump",
        description="`dump`: one `pg_dump` of one snapshot. `pitr`: WAL archive and base backups, restored to a named point.",
    )
    conn_id: ConnId = Field(description="Airflow connection of type `postgres`.")
    database: Text | None = Field(default=None, description="Database. Default: the connection's.")
    wal: WalArchive | None = Field(default=None, description="Needed by `method: pitr`.")

    @property
    def captured(self) -> bool:
        """Also with `method: pitr`: the point is written into the WAL inside the window."""
        return True

    @property
    def wished(self) -> str:
        """With `method: pitr` a server of its own."""
        return "`/folder/on/the/worker:port`" if self.method == "pitr" else super().wished

    @property
    def beside_only(self) -> bool:
        """A server of its own has a port of its own."""
        return self.method == "pitr"

    @model_validator(mode="after")
    def _archive(self) -> Self:
        if self.method == "pitr" and self.wal is None:
            broken("`method: pitr` needs `wal: {archive: ...}`")
        return self


class Mysql(DumpKeys, StoreBase):
    """MySQL or MariaDB; a ScalarDB namespace is a MySQL database, and all of them go into one dump."""

    relational: ClassVar[bool] = True
    only_for: ClassVar[dict[str, str]] = {"binlog": "pitr"}
    target_keys: ClassVar[frozenset[str]] = frozenset({"conn_id", "prefix"})
    identity_keys: ClassVar[tuple[str, ...]] = ("conn_id",)

    engine: Literal["mysql"] = Field(description="MySQL or MariaDB.")
    method: Literal["dump", "pitr"] = Field(
        default="dump",
        description="`dump`: one dump of one snapshot of all namespaces. `pitr`: full dumps and the binary log up to a position.",
    )
    conn_id: ConnId = Field(description="Airflow connection of type `mysql`.")
    client: MysqlClient = Field(default="auto", description="Dump client. `auto`: the one of the server's family.")
    binlog: BinlogArchive = Field(default=BinlogArchive(), description="Used by `method: pitr`.")

    @property
    def captured(self) -> bool:
        """Also with `method: pitr`: the position in the binary log is taken inside the window."""
        return True

    @property
    def wished(self) -> str:
        """Every namespace keeps its name, or gets a new one."""
        return "a connection, or what the new databases' names begin with"

    @property
    def lists_namespaces(self) -> bool:
        """Each namespace is a database of the server."""
        return True


class Sqlite(DumpKeys, StoreBase):
    """A SQLite file, copied by SQLite's own online backup."""

    relational: ClassVar[bool] = True
    target_keys: ClassVar[frozenset[str]] = frozenset({"conn_id", "path"})
    identity_keys: ClassVar[tuple[str, ...]] = ("path", "conn_id")

    engine: Literal["sqlite"] = Field(description="SQLite.")
    method: Literal["dump"] = Field(default="dump", description="`dump`: SQLite's online backup.")
    path: AbsolutePath | None = Field(default=None, description="The database's file on the workers. Give `path` or `conn_id`.")
    conn_id: ConnId | None = Field(default=None, description="Airflow connection of type `sqlite`. Give `path` or `conn_id`.")

    @property
    def wished(self) -> str:
        """A file."""
        return "a connection, or the absolute path of a file"

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.conn_id is None):
            broken("needs exactly one of `path` and `conn_id`")
        return self

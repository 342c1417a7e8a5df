"""PostgreSQL's programs on this worker: the client that takes base backups, and the server that is restored into."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from midtime.errors import ToolError
from midtime.stores.postgresql.tools import FOLDERS
from midtime.stores.processes import candidates, version_of


@dataclass(frozen=True, slots=True)
class BackupClient:
    """``pg_basebackup``."""

    path: Path
    version: tuple[int, ...]

    @property
    def version_text(self) -> str:
        """As ``18.6``."""
        return ".".join(map(str, self.version))


@dataclass(frozen=True, slots=True)
class ServerPrograms:
    """``postgres`` and what lies beside it."""

    postgres: Path
    pg_ctl: Path
    version: tuple[int, ...]

    @property
    def verifier(self) -> Path | None:
        """``pg_verifybackup``, where it is packaged."""
        found = self.postgres.with_name("pg_verifybackup")
        return found if found.exists() else None


def find_backup_client(server: int, *, folder: str | None = None) -> BackupClient:
    """The first ``pg_basebackup`` that is new enough.

    :param server: the server's version as libpq numbers it, e.g. 180006
    :param folder: the topology's ``client_path``
    :raises ToolError: there is none
    """
    major, older = server // 10000, []
    for path in candidates("pg_basebackup", folder=folder, patterns=FOLDERS):
        try:
            version = version_of(path)
        except ToolError as error:
            older.append(error.message)
            continue
        if version[0] >= major:
            return BackupClient(path, version)
        older.append(f"{path} is version {version[0]}")
    raise _none("pg_basebackup", major, folder, older, f"postgresql-client-{major}")


def find_server(major: int, *, folder: str | None = None) -> ServerPrograms:
    """The first server of exactly this major version: no other reads such a data directory.

    :raises ToolError: there is none
    """
    others = []
    for postgres in candidates("postgres", folder=folder, patterns=FOLDERS):
        try:
            version = version_of(postgres)
        except ToolError as error:
            others.append(error.message)
            continue
        pg_ctl = postgres.with_name("pg_ctl")
        if version[0] == major and pg_ctl.exists():
            return ServerPrograms(postgres, pg_ctl, version)
        others.append(f"{postgres} is version {version[0]}" if version[0] != major else f"{postgres} has no pg_ctl beside it")
    raise _none("postgres", major, folder, others, f"postgresql-{major}")


def _none(program: str, major: int, folder: str | None, found: list[str], package: str) -> ToolError:
    said = f"the server is PostgreSQL {major}, but " + ", ".join(found) if found else f"there is no {program} in {folder or 'PATH'}"
    return ToolError(said, fix=f"install {package} on the worker, or name its folder in client_path")

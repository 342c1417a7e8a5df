"""A restored server on its way: under its working name, placed, put back, removed. On one worker from the beginning to the end.

Which one it is, is written into the catalog before anything else: another worker that was told to remove it would find nothing, and believe
that nothing is there.
"""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from midtime.catalog import Catalog, objects
from midtime.errors import RestoreFailedError, StoreUnreachableError, TargetExistsError
from midtime.stores.base import Target
from midtime.stores.naming import require_working_name
from midtime.stores.postgresql_pitr.cluster import DATA, Cluster, kill_all_in, owner_of
from midtime.stores.postgresql_pitr.config import Doors, write_config
from midtime.stores.postgresql_pitr.programs import ServerPrograms
from midtime.stores.postgresql_pitr.targets import PORT

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

NOTE = "midtime.json"
"""In a server's folder: by what name it was made. Written once it has reached its point."""


@dataclass(frozen=True)
class RestoredServer:
    """One target's server.

    :param login: the database user that verifies
    :param settings: the original's that matter
    """

    catalog: Catalog
    target: Target
    programs: ServerPrograms
    login: str
    settings: Mapping[str, str]

    @cached_property
    def working(self) -> Cluster:
        """Where it is made and verified."""
        return Cluster(Path(self.target.working), owner_of(Path(self.target.working).parent), self.programs)

    @cached_property
    def final(self) -> Cluster:
        """Where it is placed."""
        return Cluster(Path(self.target.final), self.working.owner, self.programs)

    def doors(self, cluster: Cluster, *, is_open: bool = False) -> Doors:
        """Who may come in."""
        return Doors(cluster.folder, self.target.port or PORT, self.login, is_open)

    def note(self) -> None:
        """The recovery has ended where it should."""
        path = self.working.folder / NOTE
        path.write_text(json.dumps({"working": self.target.working}) + "\n")
        self.working.owner.give(path)

    def require_up(self) -> None:
        """See that the server under the working name runs; after a restart of the machine it is started again.

        :raises StoreUnreachableError: it is on another worker
        :raises RestoreFailedError: it is not there, or has not reached its point
        """
        require_here(self.catalog, self.target)
        self._require_made()
        if not self.working.ready:
            self.working.stop()
            self.working.start()

    def place(self) -> None:
        """Give it its final folder, open it on the loopback address, and let it run. Idempotent.

        :raises TargetExistsError: the final folder is somebody else's
        """
        if not _made_by(self.final.folder, self.target):
            require_here(self.catalog, self.target)
            if self.final.folder.exists():
                raise TargetExistsError(f"{self.target.final} appeared since the run was planned", fix="start a new run")
            self._move(self.working, self.final)
        self.open(self.final, is_open=True)
        forget(self.catalog, self.target)

    def put_back(self) -> None:
        """The other way round; what was not placed stays as it is.

        :raises RestoreFailedError: neither folder holds it
        """
        if _made_by(self.final.folder, self.target):
            record(self.catalog, self.target)
            self._move(self.final, self.working)
            self.open(self.working, is_open=False)
        else:
            require_here(self.catalog, self.target)
            self._require_made()
            self.open(self.working, is_open=False)

    def _require_made(self) -> None:
        if not _made_by(self.working.folder, self.target):
            raise RestoreFailedError(f"there is no restored server in {self.target.working}", fix="run the restore again")

    def _move(self, source: Cluster, target: Cluster) -> None:
        source.stop()
        source.folder.rename(target.folder)

    def open(self, cluster: Cluster, *, is_open: bool) -> None:
        """Configure it without a goal, and let it run; nothing is done where that is so already."""
        doors = self.doors(cluster, is_open=is_open)
        before = _configured(cluster)
        write_config(cluster.data, doors, self.settings)
        cluster.owner.give(cluster.data)
        if not cluster.ready or before != _configured(cluster):
            cluster.stop()
            cluster.start()


def _configured(cluster: Cluster) -> list[bytes]:
    return [path.read_bytes() for path in sorted(cluster.data.glob("*.conf"))]


def _made_by(folder: Path, target: Target) -> bool:
    try:
        return bool(json.loads((folder / NOTE).read_text())["working"] == target.working)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def discard(catalog: Catalog, target: Target) -> None:
    """Stop and remove what stands under the working name, and nothing else; idempotent.

    :raises StoreUnreachableError: it is on another worker
    """
    folder = Path(target.working)
    require_working_name(folder.name)
    require_here(catalog, target)
    kill_all_in(folder / DATA)
    if folder.exists():
        shutil.rmtree(folder)
    forget(catalog, target)


def record(catalog: Catalog, target: Target) -> None:
    """Write down that this worker has it.

    :raises StoreUnreachableError: another one has
    """
    require_here(catalog, target)
    objects.replace(_record(catalog, target), json.dumps({"host": socket.gethostname(), "folder": target.working}).encode() + b"\n")


def forget(catalog: Catalog, target: Target) -> None:
    """Nothing is there any more that would have to be removed."""
    objects.remove_tree(_record(catalog, target))


def require_here(catalog: Catalog, target: Target) -> None:
    """Refuse to go on anywhere but on the worker that has the server.

    :raises StoreUnreachableError: that is another one
    """
    try:
        body = json.loads(objects.read(_record(catalog, target)))
    except (FileNotFoundError, ValueError):
        return
    if (host := body.get("host")) != (here := socket.gethostname()):
        raise StoreUnreachableError(
            f"the restored server of store {target.store!r} is in {target.working} on worker {host}, and this is {here}",
            fix=f"let the topology's tasks run on one worker; if {host} is gone for good, remove {_record(catalog, target)}",
        )


def _record(catalog: Catalog, target: Target) -> ObjectStoragePath:
    return catalog.root / ".servers" / f"{Path(target.working).name}.json"

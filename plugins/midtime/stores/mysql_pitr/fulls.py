"""Full dumps as bases: a dump as the dump store takes it, and the position of its very snapshot in the binary log.

MariaDB's server tells its own snapshot's position, and nobody is locked out; with MySQL the client locks all tables for that moment. The
client writes the position into the dump.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from midtime.catalog.bases import Base, Bases
from midtime.errors import CopyError
from midtime.model.restore_point import StoreBackup
from midtime.stores.base import Say, Shelf
from midtime.stores.mysql.connections import connect
from midtime.stores.mysql.store import MysqlStore
from midtime.stores.mysql_pitr.fetching import ServerLog
from midtime.stores.mysql_pitr.reading import LogFile, Position

_POSITION = re.compile(rb"^-- CHANGE [A-Z ]+ TO [A-Z]+_LOG_FILE='([^'\n]+)', [A-Z]+_LOG_POS=(\d+);\s*$", re.MULTILINE)
_LIMIT = 1 << 20
"""Bytes of a dump within which the position stands."""


@dataclass
class Seen:
    """Finds the position in a dump that passes."""

    position: Position | None = None
    _beginning: bytes = field(default=b"")

    def passing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The same chunks."""
        for chunk in chunks:
            if self.position is None and len(self._beginning) < _LIMIT:
                self._beginning += chunk
                if match := _POSITION.search(self._beginning):
                    self.position, self._beginning = Position(match[1].decode(), int(match[2])), b""
            yield chunk


def take(store: MysqlStore, bases: Bases, say: Say) -> Base:
    """Take a full dump and publish it.

    :param store: one whose dumps are ``positioned``
    :raises CopyError: it failed, or does not say its position
    """
    say("taking a full dump")
    with bases.taking(f"store {store.name}") as (base, folder):
        seen = Seen()
        with store.capture() as snapshot:
            backup = store.copy(replace(snapshot, chunks=seen.passing(snapshot.chunks)), Shelf(folder, store.name), say)
        if seen.position is None:
            raise CopyError(
                "the dump does not say its position in the binary log", fix="report this with the versions of server and client"
            )
        made = _base(base, bases, backup, seen.position, _born(store.spec.data_connection, seen.position))
        bases.publish(made)
    say(f"full dump {base} taken at {seen.position}")
    return made


def _base(base: str, bases: Bases, backup: StoreBackup, position: Position, born: int) -> Base:
    said = {"position": {"file": position.file, "at": position.at}, "born": born, "tables": [table.name for table in backup.tables]}
    return Base(
        id=base,
        topology=bases.catalog.topology,
        store=backup.store,
        engine=backup.engine,
        taken_at=backup.midtime,
        server=backup.server,
        client=backup.client,
        seconds=backup.seconds,
        artifacts=backup.artifacts,
        details={**backup.details, **said},
    )


def position_of(base: Base) -> Position:
    """Where in the log its snapshot is."""
    return Position(**base.details["position"])


def _born(conn_id: str, position: Position) -> int:
    """When the server began that file."""
    with connect(conn_id, pure=True) as session:
        for _, raws in ServerLog(session, position).files():
            log = LogFile(position)
            next(log.events(raws))
            return log.born
    raise CopyError(f"the server has no binary log at {position} any more", fix="run the backup again")

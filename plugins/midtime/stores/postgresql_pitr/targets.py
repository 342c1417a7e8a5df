"""What a person wrote of a target, turned into a folder and a port; and whether a server can be put there."""

from __future__ import annotations

import os
import re
import shutil
import socket
from pathlib import Path

from midtime.errors import RequestError, StagingSpaceError, StoreAccessError, TargetExistsError
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import Target
from midtime.stores.naming import fit, working_name
from midtime.stores.postgresql_pitr.config import HOST, LONGEST_SOCKET, require_plain

PORT = 5432
"""Names the socket of a server that has no port of its own: a drill's never listens on one."""
LONGEST_NAME = 48
_HOW = 'say where: {"targets": {"%s": "/folder/on/the/worker:5433"}}, or data_dir and port in drill.targets'
_TO = re.compile(r"(?P<folder>/.*?)/*(:(?P<port>[0-9]{1,5}))?", re.DOTALL)


def target_of(store: str, conn_id: str, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
    """Folders for a run, below ``data_dir``.

    :param wish: ``to`` is a folder, a port may follow: ``/srv/restored:5433``
    :raises RequestError: in place, no folder, or no port for what is to stay
    """
    if in_place:
        raise RequestError(
            f"store {store!r} is a self-managed server with method: pitr; Midtime does not replace it in place",
            fix="restore beside, and point the products at the restored server (docs/point-in-time.md)",
        )
    folder, port = _where(store, wish)
    working = f"{folder}/{fit(working_name(store, run), limit=LONGEST_NAME)}"
    if drill:
        return Target(store, conn_id, working, working, port=port)
    if port is None:
        raise RequestError(f"the restored server of store {store!r} needs a port", fix=_HOW % store)
    return Target(store, conn_id, working, f"{folder}/{fit(store.replace('-', '_'), f'_restored_{run}', limit=LONGEST_NAME)}", port=port)


def _where(store: str, wish: TargetWish | None) -> tuple[str, int | None]:
    if wish and wish.database:
        raise RequestError(f"store {store!r} is restored as a whole server: its databases keep their names", fix="leave database out")
    if wish and wish.to:
        if not (match := _TO.fullmatch(wish.to)):
            raise RequestError(f"the target of store {store!r} is {wish.to!r}, which is no folder", fix=_HOW % store)
        port = int(match["port"]) if match["port"] else wish.port
        if port is not None and not 0 < port < 1 << 16:
            raise RequestError(f"{port} is no port", fix=_HOW % store)
        return os.path.normpath(match["folder"]), port
    if wish and wish.data_dir:
        return os.path.normpath(wish.data_dir), wish.port
    raise RequestError(f"store {store!r} is restored into a server of its own, and nobody says where", fix=_HOW % store)


def require_names(target: Target) -> None:
    """Refuse a folder whose name PostgreSQL, a shell or the kernel cannot take.

    :raises StoreAccessError: it is so
    """
    for folder in {target.working, target.final}:
        require_plain(folder, "the folder")
        if len(f"{folder}/.s.PGSQL.{target.port or PORT}".encode()) > LONGEST_SOCKET:
            raise StoreAccessError(f"{folder} is too long for a socket in it", fix="choose a shorter data_dir")


def room_in(target: Target, needed: int) -> str:
    """Whether the disk holds the server.

    :param needed: bytes
    :raises StagingSpaceError: it does not
    """
    from rich.filesize import decimal

    folder = Path(target.working).parent
    if (free := shutil.disk_usage(folder).free) < needed:
        raise StagingSpaceError(
            f"data_dir {folder} has {free:,} bytes free, about {needed:,} are needed", fix="make room, or choose another data_dir"
        )
    return f"about {decimal(needed)} needed, {decimal(free)} free in {folder}"


def what_it_will_be(target: Target) -> str:
    """The answer to :data:`midtime.stores.base.WILL_BE`.

    :raises TargetExistsError: the folder is there, or somebody listens on the port
    """
    if target.final == target.working:
        return f"a server in {target.working} without a network address, removed afterwards"
    if Path(target.final).exists():
        raise TargetExistsError(f"{target.final} exists already", fix="start a new run, or remove it if nobody needs it")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, target.port or 0))
        except OSError as error:
            raise TargetExistsError(f"port {target.port} of this worker is taken: {error.strerror}", fix="choose another port") from error
    return f"a new server in {target.final}, on {HOST}:{target.port} of this worker"

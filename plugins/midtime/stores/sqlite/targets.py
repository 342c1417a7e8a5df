"""What a person wrote of a target, turned into files; and whether they can be written."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from midtime.errors import RequestError, StagingSpaceError, StoreAccessError, TargetExistsError, ToolError
from midtime.model.restore_point import StoreBackup
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import Target
from midtime.stores.naming import airflow_connection, fit, working_name
from midtime.stores.sqlite.files import SIDECARS, connection_path
from midtime.stores.sqlite.placing import SPARE, taken

LONGEST_NAME = 255 - max(len(end) for end in (*SIDECARS, SPARE))
"""Bytes; of a file's name without what SQLite and we put behind it."""


def target_of(store: str, conn_id: str, origin: str, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
    """Files for a run. The working copy lies beside the final one: a rename must be one.

    :param conn_id: the store's connection, if it has one
    :param origin: its file
    :param wish: names a file, or a folder for a file whose name is generated
    :raises RequestError: what a person wrote is neither a connection nor an absolute path
    """
    conn_id, wanted = _wanted(store, conn_id, wish)
    # A link is followed, here and once: a rename would put a file in its place.
    path = os.path.realpath(wanted or origin)
    if wanted and os.path.isdir(path):
        path, wanted = os.path.join(path, os.path.basename(origin)), None
    folder, name = os.path.split(path)
    stem, ending = os.path.splitext(name)

    def beside(base: str, end: str) -> str:
        return os.path.join(folder, fit(base, f"{end}{ending}", limit=LONGEST_NAME))

    working = beside(working_name(store, run), "")
    if drill:
        return Target(store, conn_id, working, working)
    if in_place:
        return Target(store, conn_id, working, path, beside(stem, f"_before_{run}"))
    return Target(store, conn_id, working, path if wanted else beside(stem, f"_restored_{run}"))


def _wanted(store: str, conn_id: str, wish: TargetWish | None) -> tuple[str, str | None]:
    if wish is None:
        return conn_id, None
    if wish.to and os.path.isabs(wish.to):
        return conn_id, wish.to
    if wish.path:
        return conn_id, wish.path
    named = wish.to or wish.conn_id
    if named is None:
        return conn_id, None
    if wish.to and airflow_connection(wish.to) is None:
        raise RequestError(
            f"the target of store {store!r} is {wish.to!r}, which is neither an Airflow connection nor an absolute path",
            fix=f"write /folder/{wish.to}, or the id of a connection of type sqlite",
        )
    return named, connection_path(named)


def check_folder(target: Target) -> str:
    """Whether the working copy can be made and renamed.

    :raises StoreAccessError: no such folder, not ours to write, or a live file of somebody else
    """
    folder = Path(target.working).parent
    if not folder.is_dir():
        raise StoreAccessError(f"there is no folder {folder} on this worker", fix="create it, or choose another target")
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise StoreAccessError(f"the worker's user may not write to {folder}", fix="let it, or choose another target")
    if target.aside and os.path.lexists(target.final):
        _check_owner(target.final)
    return str(folder)


def _check_owner(final: str) -> None:
    owner, us = os.stat(final).st_uid, os.geteuid()
    if us not in (0, owner):
        raise StoreAccessError(
            f"{final} belongs to user {owner}; what user {us} puts in its place would not",
            fix="run the restore as its owner (run_as_user) or root, or restore beside",
        )


def check_free(target: Target) -> str:
    """Whether the names are free, or may be replaced.

    :raises TargetExistsError: somebody has one of them
    """
    found = taken(target.final) if target.final != target.working else []
    if found and not target.aside:
        raise TargetExistsError(f"{found[0]} exists", fix="choose another target, or set in_place to replace it after approval")
    if target.aside and (kept := taken(target.aside)):
        raise TargetExistsError(f"{kept[0]} exists already", fix="remove it once nobody needs it, or start a new run")
    if found:
        return f"{target.final}, replacing the live one, which is kept as {target.aside}"
    return f"{target.final}, a new file"


def check_space(target: Target, needed: int) -> str:
    """Whether the target's disk can hold the file.

    :raises StagingSpaceError: it cannot
    """
    from rich.filesize import decimal

    folder = Path(target.working).parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StagingSpaceError(f"{folder} has {free:,} bytes free, about {needed:,} are needed", fix="make room, or choose another target")
    return f"about {decimal(needed)} needed, {decimal(free)} free in {folder}"


def check_library(backup: StoreBackup) -> str:
    """Whether this worker's SQLite understands the file.

    :raises ToolError: it is too old
    """
    needs = str(backup.details["needs"])
    if sqlite3.sqlite_version_info < tuple(map(int, needs.split("."))):
        raise ToolError(f"the file needs SQLite {needs}, this worker's Python has {sqlite3.sqlite_version}", fix="use a newer Python image")
    return f"SQLite {sqlite3.sqlite_version}, {needs} is needed"

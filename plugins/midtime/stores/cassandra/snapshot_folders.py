"""A snapshot as it lies in the folders of a node's tables."""

from __future__ import annotations

import re

from midtime.errors import CopyError
from midtime.stores.cassandra.cluster import Member

_FOLDERS = """
tag=$1; shift
for root; do
    if test -d "$root"; then
        find -H "$root" -mindepth 4 -maxdepth 4 -type d -name "$tag" -path '*/snapshots/*' -printf '%P\\0'
    fi
done
"""
_TABLE = re.compile(r"(?P<keyspace>[^/]+)/(?P<table>[^/]+)-(?P<id>[0-9a-f]{32})/snapshots/[^/]+")


def folders_of(member: Member, tag: str) -> list[str]:
    """A snapshot's folders, one a table, below the data directories. None: it is not there, and no JVM has to be started to learn so."""
    found = member.node.shell(_FOLDERS, tag, *member.layout.data).split("\0")[:-1]
    return [folder for folder in found if folder.split("/")[2] == "snapshots"]  # not a keyspace or a table of that name


def tables_in(member: Member, tag: str) -> dict[str, str]:
    """``keyspace.table`` -> id of all that lies in a snapshot's folders.

    :raises CopyError: a folder is that of no table, or two are of one
    """
    found: dict[str, str] = {}
    for folder in folders_of(member, tag):
        if not (table := _TABLE.fullmatch(folder)):
            raise CopyError(f"node {member.label}: folder {folder!r} is that of no table", fix="see what it is; then run the backup again")
        name = f"{table['keyspace']}.{table['table']}"
        if found.setdefault(name, table["id"]) != table["id"]:
            raise CopyError(f"node {member.label}: snapshot {tag} has two tables {name}", fix="run the backup again")
    return found

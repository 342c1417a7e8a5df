"""After the window: does every node have all of the snapshot, and is the cluster still the one that was armed?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from midtime.errors import CopyError, WindowVoidError
from midtime.stores.cassandra.capture import Snapshot
from midtime.stores.cassandra.cluster import Cluster, Member
from midtime.stores.cassandra.listing import ClusterFacts
from midtime.stores.cassandra.nodetool import Nodetool, Tool
from midtime.stores.cassandra.ring import Ring, read_ring
from midtime.stores.cassandra.snapshot_folders import tables_in

SYSTEM = ("system", "system_schema", "system_auth")
"""Keyspaces that a restore needs beside ScalarDB's."""
_OWN = re.compile(r"system(_|$)")
SHOWN = 5
"""Tables that an error names."""
_SCHEMAS = """
tag=$1; shift
for root; do
    if test -d "$root"; then
        find -H "$root" -mindepth 5 -maxdepth 5 -type f -path "*/snapshots/$tag/schema.cql" -printf '%P\\0' -exec cat -- {} \\; -printf '\\0'
    fi
done
"""
_VIEW = re.compile(r"^CREATE MATERIALIZED VIEW", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found on all nodes."""

    facts: ClusterFacts
    schema: str
    """CQL."""


def is_cassandras(keyspace: str) -> bool:
    """Whether a keyspace is Cassandra's own."""
    return _OWN.match(keyspace) is not None


def prove(cluster: Cluster, tool: Tool, snapshot: Snapshot) -> Proof:
    """Ask every node.

    :raises WindowVoidError: the ring or the schema has changed since the nodes were armed
    :raises CopyError: a node lacks a table
    """
    ring = read_ring(cluster, tool)
    if changed := snapshot.ring.difference(ring):
        raise WindowVoidError(f"store {cluster.name!r}: {changed}, since the snapshot was prepared", fix="run the backup again")
    wanted = tool(cluster.members[0]).tables(snapshot.keyspaces)
    ids = cluster.each(lambda member: _tables(member, tool(member), wanted, snapshot.tag))
    facts = ClusterFacts(
        store=cluster.name,
        name=ring.name,
        partitioner=ring.partitioner,
        tag=snapshot.tag,
        keyspaces=snapshot.keyspaces,
        tables=_agreed(ids),
        nodes=ring.facts,
    )
    return Proof(facts, _schema(cluster.members[0], ring, snapshot))


def _tables(member: Member, nodetool: Nodetool, wanted: frozenset[str], tag: str) -> dict[str, str]:
    """``keyspace.table`` -> id of all that the node has in the snapshot: by what its server says, and by what lies in its folders."""
    listed = nodetool.snapshots().get(tag, frozenset())
    found = tables_in(member, tag)
    for where, there in (("nodetool listsnapshots", listed), (f"folders {', '.join(member.layout.data)}", found.keys())):
        if missing := sorted(wanted - there):
            more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
            raise CopyError(
                f"node {member.label}: snapshot {tag} lacks {', '.join(missing[:SHOWN])}{more}, according to {where}",
                fix="see the node's log, and whether the topology names all of its data directories; then run the backup again",
            )
    if strange := sorted(found.keys() - wanted):
        raise WindowVoidError(
            f"node {member.label}: {', '.join(strange[:SHOWN])} was dropped since the snapshot", fix="run the backup again"
        )
    return found


def _agreed(ids: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    (first, tables), *others = ids.items()
    for label, found in others:
        if differing := sorted({name for name, _ in found.items() ^ tables.items()}):
            raise CopyError(
                f"nodes {first} and {label} do not have the same tables, or the same ids of them: {', '.join(differing[:SHOWN])}",
                fix="see system_schema.tables on both; two tables of one name were made at once, perhaps",
            )
    return dict(sorted(tables.items()))


def _schema(member: Member, ring: Ring, snapshot: Snapshot) -> str:
    """The schema as CQL that can be executed, with ids and all options of tables, their types and indexes.

    Tables are as Cassandra itself writes them into each snapshot, keyspaces as ``nodetool describecluster`` shows them: so it needs no login
    for CQL. What neither has, functions and aggregates of users, is in ``system_schema``, which is in the snapshot, too.
    """
    said = member.node.shell(_SCHEMAS, snapshot.tag, *member.layout.data).split("\0")[:-1]
    tables = dict(zip(said[::2], said[1::2], strict=True))
    ordered = sorted(tables.items(), key=lambda each: (bool(_VIEW.search(each[1])), each[0]))
    wanted = [(path, text) for path, text in ordered if path.split("/")[0] not in SYSTEM]
    return "\n".join([*_keyspaces(ring, snapshot.keyspaces), *(text.strip() for _, text in wanted), ""])


def _keyspaces(ring: Ring, names: Sequence[str]) -> Iterable[str]:
    for name in names:
        if name not in SYSTEM:
            said = ring.keyspaces[name]
            options = ", ".join(f"'{key}': '{value}'" for key, value in (("class", said.strategy), *said.options))
            yield f'CREATE KEYSPACE IF NOT EXISTS "{name}" WITH replication = {{{options}}};'

"""A cluster of another size: emptied, given the schema with its ids and options, and loaded by ``sstableloader`` with every node's files.

What the cluster was is kept aside and comes back, as for one of the same size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from midtime.catalog.pool import Pool
from midtime.errors import RequestError, RestoreFailedError, ToolError
from midtime.model.words import counted
from midtime.stores.cassandra.cluster import Cluster, Member
from midtime.stores.cassandra.cql import session_to
from midtime.stores.cassandra.facts import BackupFacts
from midtime.stores.cassandra.listing import SnapshotFile
from midtime.stores.cassandra.moving import Moving
from midtime.stores.cassandra.proving import is_cassandras
from midtime.stores.cassandra.restored import PATIENCE, addresses, login_of
from midtime.stores.cassandra.ring import Ring
from midtime.stores.cassandra.staging import Staging
from midtime.stores.naming import airflow_connection

LOADED = ".midtime_load"
"""Folder in the working one, from which the loader reads; it is never moved in."""
HOUR = 3600.0
_STATEMENT = re.compile(r"""(?:'(?:[^']|'')*'|"(?:[^"]|"")*"|\$\$.*?\$\$|/\*.*?\*/|[^;'"])+""", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_REPLICAS = re.compile(r"'(?P<key>[^']+)': '(?P<count>\d+)(?:/\d+)?'")


def require_loadable(cluster: Cluster) -> str:
    """Whether the loader can log in: it takes a password nowhere but on its command line, where everybody on the node sees it.

    :raises RequestError: it would have to
    """
    connection = airflow_connection(cluster.conn_id) if cluster.conn_id else None
    if connection and connection.login:
        raise RequestError(
            f"the cluster of {cluster.conn_id!r} asks for a login, which sstableloader takes only on its command line",
            fix="drill on a cluster of the same size, or on one without login",
        )
    return "without login"


def load(moving: Moving, facts: BackupFacts, pool: Pool) -> None:
    """Stage, empty the cluster, make the schema, load: from all nodes at once."""
    cluster = moving.cluster
    require_loadable(cluster)
    dealt = {member.label: wanted for member, wanted in shares(cluster, facts)}

    def stage(member: Member) -> None:
        if wanted := dealt.get(member.label):
            roots = (_folder(moving, member),)
            staging = Staging(member.node, roots, pool.root, cluster.owner or None, cluster.spec.uploads, distrust=pool.distrust)
            staging.bring(wanted, moving.say)

    def load_all(member: Member) -> None:
        for table in sorted({file.path.rpartition("/")[0] for file in dealt.get(member.label, ())}):
            _load(moving, member, f"{_folder(moving, member)}/{table}")
            moving.say(f"node {member.label}: {table} loaded")

    cluster.each(stage)
    moving.ready()
    ring = moving.forward({member.label: ("auto_bootstrap: false",) for member in cluster.members})
    count = make_schema(cluster, facts.schema(), ring)
    moving.say(f"Schema made: {counted(count, 'statement')}")
    cluster.each(load_all)


def shares(cluster: Cluster, facts: BackupFacts) -> Iterator[tuple[Member, list[SnapshotFile]]]:
    """Which files are loaded from which node: those of the backup's nodes, dealt out, under the names that the loader wants."""
    nodes = [node.label for node in facts.cluster().nodes]
    for number, member in enumerate(cluster.members):
        mine = nodes[number :: len(cluster.members)]
        if mine:
            yield member, renamed((label, file) for label in mine for file in facts.listing(label).files if _loadable(file))


def renamed(found: Iterable[tuple[str, SnapshotFile]]) -> list[SnapshotFile]:
    """As ``keyspace/table/name``. SSTables of several nodes meet in one folder, so each gets a number of its own."""
    numbers: dict[tuple[str, str, str], int] = {}
    named = []
    for label, file in found:
        keyspace, table, name = file.path.split("/")
        version, number, rest = name.split("-", 2)
        own = numbers.setdefault((label, table, number), len(numbers) + 1)
        named.append(file.model_copy(update={"path": f"{keyspace}/{table.rpartition('-')[0]}/{version}-{own}-{rest}"}))
    return named


def _folder(moving: Moving, member: Member) -> str:
    return f"{member.layout.data[0]}/{moving.target.working}/{LOADED}"


def _loadable(file: SnapshotFile) -> bool:
    """Not the system's, and no index of its own files: whoever receives rows indexes them."""
    parts = file.path.split("/")
    return len(parts) == 3 and parts[2].count("-") > 1 and not is_cassandras(parts[0])


def make_schema(cluster: Cluster, text: str, ring: Ring) -> int:
    """Run the backup's schema; no keyspace gets more replicas than there are nodes for them.

    :return: how many statements it has
    """
    wanted = [capped(statement, ring) for statement in statements(text)]
    with session_to(addresses(cluster), login_of(cluster), patience=PATIENCE) as session:
        for statement in wanted:
            session.execute(statement, seconds=120)
    return len(wanted)


def statements(text: str) -> Iterator[str]:
    """The statements of a text; a semicolon in a string or a comment ends none."""
    for found in _STATEMENT.findall(text):
        if statement := _COMMENT.sub("", found).strip():
            yield statement


def capped(statement: str, ring: Ring) -> str:
    """A ``CREATE KEYSPACE`` that this ring can fulfil; every other statement as it is.

    :raises RequestError: it names a data centre that the ring has not
    """
    if not statement.startswith("CREATE KEYSPACE"):
        return statement
    nodes: dict[str, int] = {}
    for node in ring.nodes:
        nodes[node.data_center] = nodes.get(node.data_center, 0) + 1
    return _REPLICAS.sub(lambda found: _fewer(found, nodes), statement)


def _fewer(found: re.Match[str], nodes: Mapping[str, int]) -> str:
    key, count = found["key"], int(found["count"])
    if key == "replication_factor":
        return f"'{key}': '{min(count, min(nodes.values()))}'"
    if key not in nodes:
        raise RequestError(
            f"the backup keeps replicas in data centre {key!r}, the target has {', '.join(sorted(nodes))}",
            fix="give the drill's nodes the same data centres",
        )
    return f"'{key}': '{min(count, nodes[key])}'"


def _load(moving: Moving, member: Member, folder: str) -> None:
    cluster = moving.cluster
    hosts = ",".join(each.host for each in cluster.members)
    command = [*cluster.spec.sstableloader, "-d", hosts, "-p", str(member.cql_port), folder]
    try:
        member.node.run(command, timeout=HOUR)
    except ToolError as error:
        raise RestoreFailedError(f"node {member.label}: sstableloader failed on {folder}: {error.message}", fix="see its log") from error

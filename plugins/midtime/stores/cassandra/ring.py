"""The ring: what all nodes of all data centres say of each other. They must agree, and be the nodes that the topology lists."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from midtime.errors import StoreAccessError, StoreUnreachableError
from midtime.stores.cassandra.cluster import Cluster, Member
from midtime.stores.cassandra.listing import NodeFacts
from midtime.stores.cassandra.nodetool import Nodetool
from midtime.stores.cassandra.nodetool_output import UNREACHABLE, UP_AND_NORMAL, Described, Info, Replication, RingMember, bare

OLDEST = (4, 0)
"""Version of Cassandra that is supported."""


@dataclass(frozen=True, slots=True)
class View:
    """The ring as one node sees it."""

    members: tuple[RingMember, ...]
    own: Info


class RingNode(NodeFacts):
    """One node, as all see it and as it says itself."""

    generation: int
    """Another one after a restart."""


@dataclass(frozen=True, slots=True)
class Ring:
    """What all agree on."""

    name: str
    partitioner: str
    schema_version: str
    nodes: tuple[RingNode, ...]
    """In the topology's order."""
    keyspaces: Mapping[str, Replication]

    @property
    def version(self) -> str:
        """The oldest of the nodes' versions of Cassandra."""
        return min((node.version for node in self.nodes), key=numbers)

    @property
    def facts(self) -> tuple[NodeFacts, ...]:
        """As a restore point keeps them."""
        return tuple(NodeFacts.model_validate(node.model_dump(exclude={"generation"})) for node in self.nodes)

    def difference(self, later: Ring) -> str:
        """What has happened since, in a sentence; empty: nothing."""
        return "; ".join(self._differences(later))

    def _differences(self, later: Ring) -> Iterator[str]:
        before, after = ({node.host_id: node for node in ring.nodes} for ring in (self, later))
        for host_id in before.keys() - after.keys():
            yield f"node {before[host_id].host} ({host_id}) has left the ring"
        for host_id in after.keys() - before.keys():
            yield f"node {after[host_id].host} ({host_id}) has joined the ring"
        for host_id in sorted(before.keys() & after.keys()):
            yield from _changes(before[host_id], after[host_id])
        if self.schema_version != later.schema_version:
            yield f"the schema has changed ({self.schema_version} is now {later.schema_version})"
        elif self.keyspaces != later.keyspaces:
            yield "keyspaces have changed"


def _changes(before: RingNode, after: RingNode) -> Iterator[str]:
    if before.generation != after.generation:
        yield f"node {before.label} was restarted"
    for what in ("host", "data_center", "rack", "tokens", "version"):
        if getattr(before, what) != getattr(after, what):
            yield f"node {before.label} has another {what.replace('_', ' ')}"


def view(nodetool: Nodetool) -> View:
    """Ask one node."""
    return View(nodetool.status(), nodetool.info())


def read_ring(cluster: Cluster, tool: Callable[[Member], Nodetool]) -> Ring:
    """Ask all nodes; what the whole cluster has in common is asked of one, which asks the others.

    :raises StoreUnreachableError: one is down, or takes no part
    :raises StoreAccessError: they do not agree, or are not the nodes of the topology
    """
    views = cluster.each(lambda member: view(tool(member)))
    return agreed(cluster, views, lambda: tool(cluster.members[0]).describecluster())


def agreed(cluster: Cluster, views: Mapping[str, View], described: Callable[[], Described]) -> Ring:
    """What all see.

    :param views: by label
    :raises StoreError: as for :func:`read_ring`
    """
    _all_up(views)
    ring = {member.host_id: member for member in _same(views)}
    _in_topology(cluster, views, ring)
    common = described()
    schema = _one_schema(common)
    versions = {host: version for version, hosts in common.versions.items() for host in hosts}
    nodes = tuple(_node(member, views[member.label].own, ring, versions, schema) for member in cluster.members)
    _supported(nodes)
    return Ring(common.name, common.partitioner, schema, nodes, common.keyspaces)


def _all_up(views: Mapping[str, View]) -> None:
    down: dict[str, set[str]] = {}
    for label, each in views.items():
        for member in each.members:
            if member.state != UP_AND_NORMAL:
                down.setdefault(f"node {member.host} ({member.data_center}, {member.rack}) is {member.state}", set()).add(label)
        if not each.own.gossips:
            down.setdefault(f"node {label} does not gossip", set()).add(label)
    if down:
        told = "; ".join(f"{what} as seen by {', '.join(sorted(by))}" for what, by in down.items())
        raise StoreUnreachableError(
            told, fix="a backup needs every node of every data centre up and normal (UN): start, finish or remove it"
        )


def _one_schema(common: Described) -> str:
    found = common.schema_versions
    if len(found) != 1 or UNREACHABLE in found:
        told = "; ".join(f"{version} on {', '.join(hosts)}" for version, hosts in sorted(found.items()))
        raise StoreUnreachableError(
            f"the nodes do not agree on one schema: {told}", fix="wait until nodetool describecluster shows one version"
        )
    return next(iter(found))


def _same(views: Mapping[str, View]) -> tuple[RingMember, ...]:
    (label, first), *others = views.items()
    for other, each in others:
        if each.members != first.members:
            differing = ", ".join(sorted({member.host for member in {*each.members} ^ {*first.members}}))
            raise StoreAccessError(
                f"nodes {label} and {other} do not agree on the nodes of the ring: {differing}",
                fix="see nodetool status on both; wait until gossip has settled",
            )
    return first.members


def _in_topology(cluster: Cluster, views: Mapping[str, View], ring: Mapping[str, RingMember]) -> None:
    listed: dict[str, str] = {}
    for member in cluster.members:
        host_id = views[member.label].own.host_id
        if host_id in listed:
            raise StoreAccessError(
                f"nodes {listed[host_id]} and {member.label} of the topology are the same node of the ring ({host_id})",
                fix="correct their host or jmx_port",
            )
        listed[host_id] = member.label
        if host_id in ring and is_address(member.host) and ring[host_id].host != bare(member.host):
            raise StoreAccessError(
                f"JMX of node {member.label} is that of {ring[host_id].host}", fix="correct host or jmx_port of the topology's nodes"
            )
    if strangers := sorted(f"{each.host} ({each.data_center}, {each.rack})" for each in ring.values() if each.host_id not in listed):
        raise StoreAccessError(
            f"the ring has nodes that the topology does not list: {', '.join(strangers)}",
            fix=f"add them to the nodes of store {cluster.name!r}: every node of every data centre must be in a backup",
        )
    if lost := sorted(label for host_id, label in listed.items() if host_id not in ring):
        raise StoreAccessError(f"the ring has no node {', '.join(lost)}", fix="remove it from the topology, or let it join")


def is_address(host: str) -> bool:
    """Whether it is an address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _node(member: Member, own: Info, ring: Mapping[str, RingMember], versions: Mapping[str, str], schema: str) -> RingNode:
    seen = ring[own.host_id]
    if (seen.data_center, seen.rack, seen.tokens) != (own.data_center, own.rack, len(own.tokens)):
        raise StoreAccessError(
            f"node {member.label} and the others do not agree on its rack or tokens", fix="wait until gossip has settled"
        )
    return RingNode(
        label=member.label,
        host=seen.host,
        host_id=own.host_id,
        data_center=own.data_center,
        rack=own.rack,
        tokens=own.tokens,
        version=versions.get(seen.host, "0"),
        schema_version=schema,
        generation=own.generation,
    )


def _supported(nodes: tuple[RingNode, ...]) -> None:
    found = {numbers(node.version)[:2]: node for node in nodes}
    if len(found) > 1:
        told = ", ".join(f"{node.version} on {node.label}" for _, node in sorted(found.items()))
        raise StoreAccessError(f"the nodes run different versions of Cassandra: {told}", fix="finish the upgrade first")
    if min(found) < OLDEST:
        raise StoreAccessError(f"the nodes run Cassandra {nodes[0].version}", fix="4.0 is the oldest that is supported")


def numbers(version: str) -> tuple[int, ...]:
    """``5.0.4`` as numbers that can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])

"""What all nodes must agree on, and what is told when they do not."""

from __future__ import annotations

import re

import pytest

from midtime.errors import MidtimeError, StoreAccessError, StoreUnreachableError
from midtime.stores.cassandra.cluster import Cluster
from midtime.stores.cassandra.ring import read_ring
from tests.unit.stores.cassandra.fake_ring import HOSTS, IDS, Ring3, member_of

SCHEMA = "a9e18207-0d4b-371d-9bd7-df5fc3442dbf"
OTHER = "11111111-0d4b-371d-9bd7-df5fc3442dbf"


def test_ring_that_agrees() -> None:
    three = Ring3()
    ring = read_ring(three.cluster, three.tool)
    assert [(node.label, node.host_id, node.data_center, node.rack, node.version) for node in ring.facts] == [
        (host, host_id, "dc1", f"r{number}", "5.0.4") for number, (host, host_id) in enumerate(zip(HOSTS, IDS, strict=True), 1)
    ]
    assert all(len(node.tokens) == 4 for node in ring.facts)
    assert (ring.name, ring.schema_version, ring.version) == ("Mid Time", SCHEMA, "5.0.4")


@pytest.mark.parametrize(
    ("number", "key", "old", "new", "kind", "told"),
    [
        (0, "status", "UN  127.0.0.3", "DN  127.0.0.3", StoreUnreachableError, "node 127.0.0.3 (dc1, r3) is DN as seen by 127.0.0.1"),
        (None, "status", "UN  127.0.0.2", "UJ  127.0.0.2", StoreUnreachableError, "is UJ as seen by 127.0.0.1, 127.0.0.2, 127.0.0.3"),
        (2, "info", "Gossip active          : true", "Gossip active          : false", StoreUnreachableError, "127.0.0.3 does not gossip"),
        (0, "describecluster", "127.0.0.2, 127.0.0.3]", f"127.0.0.2]\n\t\t{OTHER}: [127.0.0.3]", StoreUnreachableError, "do not agree on one schema"),
        (0, "describecluster", "127.0.0.2, 127.0.0.3]", "127.0.0.2]\n\t\tUNREACHABLE: [127.0.0.3]", StoreUnreachableError, "UNREACHABLE on 127.0.0.3"),
        (1, "status", IDS[2], "99999999-c442-4dee-8be2-48909eb29cc7", StoreAccessError, "do not agree on the nodes of the ring"),
        (None, "describecluster", "\t5.0.4: [127.0.0.1:7000, ", "\t4.1.3: [127.0.0.1:7000]\n\t5.0.4: [", StoreAccessError, "different versions"),
        (None, "describecluster", "\t5.0.4:", "\t3.11.9:", StoreAccessError, "run Cassandra 3.11.9"),
        (1, "info", IDS[1], IDS[0], StoreAccessError, "127.0.0.1 and 127.0.0.2 of the topology are the same node"),
        (None, "status", f"{IDS[2]}  r3", f"{IDS[2]}  r9", StoreAccessError, "do not agree on its rack or tokens"),
    ],
)  # fmt: skip
def test_what_spoils_a_backup_is_told(number: int | None, key: str, old: str, new: str, kind: type[MidtimeError], told: str) -> None:
    three = Ring3()
    three.replace(number, key, old, new)
    with pytest.raises(kind, match=re.escape(told)):
        read_ring(three.cluster, three.tool)


def test_swapped_jmx_ports_are_told() -> None:
    three = Ring3()
    three.nodes[0].answers["info"], three.nodes[1].answers["info"] = three.nodes[1].answers["info"], three.nodes[0].answers["info"]
    with pytest.raises(StoreAccessError, match=r"JMX of node 127\.0\.0\.1 is that of 127\.0\.0\.2"):
        read_ring(three.cluster, three.tool)


def test_node_that_the_topology_does_not_list_is_named() -> None:
    three = Ring3()
    two = Cluster("ring", three.cluster.spec, three.cluster.members[:2], conn_id=None, jmx_conn_id=None)
    with pytest.raises(StoreAccessError, match=re.escape("the topology does not list: 127.0.0.3 (dc1, r3)")):
        read_ring(two, three.tool)


def test_node_that_the_ring_does_not_have_is_named() -> None:
    three = Ring3()
    stranger = Ring3().nodes[2]
    stranger.label = stranger.host = "127.0.0.9"
    stranger.answers["info"] = str(stranger.answers["info"]).replace(IDS[2], "99999999-c442-4dee-8be2-48909eb29cc7")
    four = Cluster("ring", three.cluster.spec, [*three.cluster.members, member_of(stranger)], conn_id=None, jmx_conn_id=None)
    with pytest.raises(StoreAccessError, match=re.escape("the ring has no node 127.0.0.9")):
        read_ring(four, three.tool)


@pytest.mark.parametrize(
    ("key", "old", "new", "told"),
    [
        ("describecluster", SCHEMA, OTHER, f"the schema has changed ({SCHEMA} is now {OTHER})"),
        ("describecluster", "bank -> Replication class: NetworkTopologyStrategy {dc1=3}", "bank -> Replication class: SimpleStrategy {}", "keyspaces have"),
        ("info", "Generation No          : 1795903321", "Generation No          : 1795999999", "node 127.0.0.2 was restarted"),
        ("info", "-8186439879886543666", "-8186439879886543667", "node 127.0.0.1 has another tokens"),
    ],
)  # fmt: skip
def test_what_has_changed_since_is_told(key: str, old: str, new: str, told: str) -> None:
    three = Ring3()
    before = read_ring(three.cluster, three.tool)
    assert before.difference(read_ring(three.cluster, three.tool)) == ""
    three.replace(1 if "Generation" in old else None, key, old, new)
    assert told in before.difference(read_ring(three.cluster, three.tool))


def test_replaced_node_is_told_even_under_its_old_address() -> None:
    three = Ring3()
    before = read_ring(three.cluster, three.tool)
    new = "99999999-c442-4dee-8be2-48909eb29cc7"
    three.replace(None, "status", IDS[2], new)
    three.replace(2, "info", IDS[2], new)
    difference = before.difference(read_ring(three.cluster, three.tool))
    assert f"node 127.0.0.3 ({IDS[2]}) has left the ring" in difference
    assert f"node 127.0.0.3 ({new}) has joined the ring" in difference

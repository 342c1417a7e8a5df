"""nodetool's output, as real ones printed it."""

from __future__ import annotations

import pytest

from midtime.errors import ToolError
from midtime.stores.cassandra import nodetool_output as output
from midtime.stores.cassandra.nodetool_output import Replication, RingMember
from tests.unit.stores.cassandra.fake_ring import HOSTS, IDS, recorded

TWO_CENTERS = """
Datacenter: eu west
===================
Status=Up/Down
|/ State=Normal/Leaving/Joining/Moving
--  Address                                 Load       Tokens       Owns    Host ID                               Rack
UN  2001:db8::1                             1,02 GiB   256          ?       60e59fae-6118-406e-a363-7abec45ef2dd  rack one
DN  10.0.0.2                                ?          16           ?       4d036bc2-b7a9-454a-a9da-c55c74a1bb62  r2

Datacenter: us
==============
UJ  10.0.0.3                                30.89 KiB  16           33.3%   2bb87faf-c442-4dee-8be2-48909eb29cc7  r3

Note: Non-system keyspaces don't have the same replication settings, effective ownership information is meaningless
"""


def test_status_of_a_real_ring() -> None:
    assert output.status(recorded("status-5.0.txt")) == tuple(
        RingMember(host, host_id, "dc1", f"r{number}", 4, "UN") for number, (host, host_id) in enumerate(zip(HOSTS, IDS, strict=True), 1)
    )


def test_status_knows_data_centers_ipv6_unknown_loads_and_states() -> None:
    found = {member.host: member for member in output.status(TWO_CENTERS)}
    assert found["2001:db8::1"] == RingMember("2001:db8::1", IDS[0], "eu west", "rack one", 256, "UN")
    assert (found["10.0.0.2"].state, found["10.0.0.2"].data_center) == ("DN", "eu west")
    assert (found["10.0.0.3"].state, found["10.0.0.3"].data_center) == ("UJ", "us")


def test_status_passes_over_no_node_that_it_cannot_read() -> None:
    said = TWO_CENTERS.replace(IDS[2], "null")
    with pytest.raises(ToolError, match=r"UJ  10\.0\.0\.3"):
        output.status(said)


def test_status_of_nodes_with_one_token_each_shows_it_instead_of_a_number() -> None:
    said = f"""Datacenter: dc1
--  Address    Load        Owns (effective)  Host ID                               Token                  Rack
UN  127.0.0.1  1.5 MiB     ?                 {IDS[0]}  -9223372036854775808   r1
UN  127.0.0.2  1.5 MiB     33.3%             {IDS[1]}  0                      r2
"""
    assert [(member.host, member.tokens, member.rack) for member in output.status(said)] == [("127.0.0.1", 1, "r1"), ("127.0.0.2", 1, "r2")]


def test_describecluster_of_a_ring_of_ipv6() -> None:
    said = recorded("describecluster-5.0.txt").replace("5.0.4: [127.0.0.1:7000", "5.0.4: [[2001:db8:0:0:0:0:0:1]:7000")
    assert "2001:db8::1" in output.describecluster(said).versions["5.0.4"]


def test_describecluster_of_a_real_ring() -> None:
    found = output.describecluster(recorded("describecluster-5.0.txt"))
    assert (found.name, found.partitioner) == ("Mid Time", "org.apache.cassandra.dht.Murmur3Partitioner")
    assert found.schema_versions == {"a9e18207-0d4b-371d-9bd7-df5fc3442dbf": HOSTS}
    assert found.versions == {"5.0.4": HOSTS}
    assert found.keyspaces["Mixed_Case"] == Replication("NetworkTopologyStrategy", (("dc1", "3"),))
    assert found.keyspaces["system"] == Replication("LocalStrategy", ())


def test_describecluster_says_who_does_not_answer() -> None:
    said = recorded("describecluster-5.0.txt").replace("127.0.0.2, 127.0.0.3]", "127.0.0.2]\n\n\t\tUNREACHABLE: [127.0.0.3]", 1)
    assert output.describecluster(said).schema_versions[output.UNREACHABLE] == ("127.0.0.3",)


def test_info_of_a_real_node() -> None:
    found = output.info(recorded("info-5.0.txt"))
    assert (found.host_id, found.generation, found.data_center, found.rack, found.gossips) == (IDS[0], 1795903321, "dc1", "r1", True)
    assert found.tokens == tuple(sorted(("-8186439879886543666", "-3839147696289149804", "-948103314905074967", "5449954234581108515")))


def test_listsnapshots_of_a_real_node() -> None:
    found = output.listsnapshots(recorded("listsnapshots-5.0.txt"))
    assert found["with space"] == {"bank.acct", "bank.empty"}
    assert {"Mixed_Case.Tab", "bank.empty", "system.IndexInfo", "system_auth.resource_role_permissons_index"} <= found["cold1"]
    assert found["dropped-1795903402989-dropped"] == {"bank.dropped"}
    assert len(found) == 3


def test_listsnapshots_of_4_0_has_no_times() -> None:
    said = """Snapshot Details:
Snapshot name    Keyspace name Column family name True size Size on disk
another_snapshot system_auth   roles              4.95 KiB  4.98 KiB
1545060459       system_traces events             0 bytes   13 bytes

Total TrueDiskSpaceUsed: 4.95 KiB
"""
    assert output.listsnapshots(said) == {"another_snapshot": {"system_auth.roles"}, "1545060459": {"system_traces.events"}}
    assert output.listsnapshots("Snapshot Details: \nThere are no snapshots\n") == {}


def test_tablestats_leaves_indexes_out() -> None:
    found = output.tablestats(recorded("tablestats-5.0.json"))
    assert {"bank.acct", "bank.empty"} <= found
    assert "bank.acct.bal" not in found


@pytest.mark.parametrize("read", [output.status, output.describecluster, output.info, output.tablestats])
def test_what_is_something_else_is_refused(read: object) -> None:
    with pytest.raises(ToolError, match="cannot be read"):
        read("Java says hello\n")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("address", "host"),
    [("127.0.0.1:7000", "127.0.0.1"), ("[::1]:7000", "::1"), ("2001:db8:0:0::1", "2001:db8::1"), ("name/10.0.0.1", "10.0.0.1")],
)
def test_addresses_lose_their_ports(address: str, host: str) -> None:
    assert output.bare(address) == host

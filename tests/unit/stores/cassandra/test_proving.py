"""What must be seen on every node before a snapshot counts."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from midtime.errors import CopyError, WindowVoidError
from midtime.model.instants import utc_now
from midtime.model.topology.cassandra import Directories
from midtime.stores.cassandra import proving, snapshot_folders
from midtime.stores.cassandra.capture import Snapshot
from midtime.stores.cassandra.nodes.local import LocalNode
from midtime.stores.cassandra.ring import read_ring
from tests.unit.stores.cassandra.fake_ring import HOSTS, Ring3, member_of

TAG = "cold1"
KEYSPACES = ("bank", "Mixed_Case", "system", "system_schema", "system_auth")
IDS = {
    "bank.acct": "7e902ed0eb7711f1ac6e47987d5abb22",
    "bank.empty": "7fbf38f0eb7711f1bfaac78e1d15b675",
    "system.paxos": "b7b7f0c2fd0a34108c053ef614bb7c2d",
}
SCHEMAS = (
    f"bank/acct-{IDS['bank.acct']}/snapshots/{TAG}/schema.cql\0CREATE TABLE IF NOT EXISTS bank.acct (id int) WITH ID = 1;\n\0"
    f"bank/a_view-{IDS['bank.acct']}/snapshots/{TAG}/schema.cql\0CREATE MATERIALIZED VIEW IF NOT EXISTS bank.a_view AS SELECT;\n\0"
    f"system_auth/roles-{IDS['bank.acct']}/snapshots/{TAG}/schema.cql\0CREATE TABLE IF NOT EXISTS system_auth.roles ();\n\0"
)


def folders(**changes: str) -> str:
    """The snapshot's folders, each in both data directories, as find prints them."""
    names = [
        name.replace(".", "/") + "-" + id_ for name, id_ in (IDS | {key.replace("__", "."): id_ for key, id_ in changes.items()}).items()
    ]
    return "".join(f"{name}/snapshots/{TAG}\0" for name in [*names, *names])


def three_with_snapshot() -> Ring3:
    three = Ring3()
    for node in three.nodes:
        tables = {"bank": {"tables": {"acct": {}, "acct.bal": {}, "empty": {}}}, "system": {"tables": {"paxos": {}}}}
        node.answers["tablestats"] = json.dumps(tables)
        node.answers[snapshot_folders._FOLDERS] = lambda command: folders() if TAG in command else ""
        node.answers[proving._SCHEMAS] = SCHEMAS
    return three


def taken(three: Ring3) -> Snapshot:
    return Snapshot(TAG, utc_now(), 0.5, KEYSPACES, read_ring(three.cluster, three.tool))


def test_proof_says_all_of_the_cluster() -> None:
    three = three_with_snapshot()
    proof = proving.prove(three.cluster, three.tool, taken(three))
    assert proof.facts.tables == IDS
    assert [node.host for node in proof.facts.nodes] == list(HOSTS)
    assert (proof.facts.name, proof.facts.tag, proof.facts.keyspaces) == ("Mid Time", TAG, KEYSPACES)


def test_schema_has_keyspaces_first_views_last_and_nothing_of_the_systems() -> None:
    three = three_with_snapshot()
    lines = proving.prove(three.cluster, three.tool, taken(three)).schema.splitlines()
    assert lines == [
        "CREATE KEYSPACE IF NOT EXISTS \"bank\" WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': '3'};",
        "CREATE KEYSPACE IF NOT EXISTS \"Mixed_Case\" WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': '3'};",
        "CREATE TABLE IF NOT EXISTS bank.acct (id int) WITH ID = 1;",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS bank.a_view AS SELECT;",
    ]


def test_changed_ring_voids() -> None:
    three = three_with_snapshot()
    capture = taken(three)
    three.replace(2, "info", "Generation No          : 1795903322", "Generation No          : 1795999999")
    with pytest.raises(WindowVoidError, match=re.escape("node 127.0.0.3 was restarted, since the snapshot was prepared")):
        proving.prove(three.cluster, three.tool, capture)


def test_table_that_listsnapshots_lacks_is_named() -> None:
    three = three_with_snapshot()
    three.replace(
        1, "listsnapshots", "cold1                         bank          empty", "other                         bank          empty"
    )
    with pytest.raises(CopyError, match=re.escape("node 127.0.0.2: snapshot cold1 lacks bank.empty, according to nodetool listsnapshots")):
        proving.prove(three.cluster, three.tool, taken(three))


def test_table_that_the_folders_lack_is_named_with_them() -> None:
    three = three_with_snapshot()
    three.nodes[2].answers[snapshot_folders._FOLDERS] = folders().replace(f"bank/acct-{IDS['bank.acct']}/snapshots/{TAG}\0", "")
    with pytest.raises(CopyError, match=re.escape("node 127.0.0.3: snapshot cold1 lacks bank.acct, according to folders /data_a, /data_b")):
        proving.prove(three.cluster, three.tool, taken(three))


def test_table_of_another_id_on_one_node_is_named() -> None:
    three = three_with_snapshot()
    three.nodes[1].answers[snapshot_folders._FOLDERS] = folders(bank__acct="0" * 32)
    with pytest.raises(
        CopyError, match=re.escape("127.0.0.1 and 127.0.0.2 do not have the same tables, or the same ids of them: bank.acct")
    ):
        proving.prove(three.cluster, three.tool, taken(three))


def test_table_dropped_meanwhile_voids() -> None:
    three = three_with_snapshot()
    three.nodes[0].answers[snapshot_folders._FOLDERS] = folders(bank__gone="1" * 32)
    with pytest.raises(WindowVoidError, match=re.escape("bank.gone was dropped since the snapshot")):
        proving.prove(three.cluster, three.tool, taken(three))


def test_scripts_find_what_is_a_snapshot_of_that_tag(tmp_path: Path) -> None:
    """In several data directories, one of which is not there; a table called `snapshots` is none."""
    table = tmp_path / "a" / "bank" / f"acct-{IDS['bank.acct']}" / "snapshots"
    for folder in (table / "tag" / ".index", table / "other", tmp_path / "b" / "snapshots" / "tag-1" / "tag" / "tag"):
        folder.mkdir(parents=True)
    (table / "tag" / "schema.cql").write_text("CREATE TABLE ü;")
    (table / "other" / "schema.cql").write_text("no")
    roots = tuple(str(tmp_path / name) for name in ("a", "b", "c"))
    directories = Directories(data=roots, commitlog="/c", hints="/h", saved_caches="/s", cdc_raw="/cdc")
    member = member_of(LocalNode("n", "n"), directories=directories)
    assert snapshot_folders.tables_in(member, "tag") == {"bank.acct": IDS["bank.acct"]}
    schemas = member.node.shell(proving._SCHEMAS, "tag", *roots)
    assert schemas == f"bank/acct-{IDS['bank.acct']}/snapshots/tag/schema.cql\0CREATE TABLE ü;\0"

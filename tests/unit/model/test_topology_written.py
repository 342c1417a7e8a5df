"""A topology written as a file again says what it said, and names every connection that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.model.topology import Topology, load_topology, needed_connections, read_topology, written
from tests.unit.builders import topology

EXAMPLES = sorted((Path(__file__).parents[3] / "include" / "topologies" / "examples").glob("*.yaml"))
NOWHERE = Path("/nowhere/bank.yaml")


def needed(of: Topology) -> dict[str, str]:
    return {each.conn_id: each.conn_type for each in needed_connections(of)}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_comes_back(file: Path) -> None:
    original = load_topology(file)
    again = read_topology(written(original), NOWHERE)
    assert again.digest == original.digest
    assert again.model_dump() == original.model_dump()
    assert written(again) == written(original)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40),
    st.sampled_from(
        ["1:30", "on", "yes", "null", "~", "2026-11-21", "0x1f", "1e3", "- a", "a: b", "#", "'", '"', "%", "@", "日本", "{{ x }}"]
    ),
    st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_values_that_yaml_would_read_as_something_else(text: str, odd: str, expect: Any) -> None:
    checks = [{"store": "accounts", "sql": odd, "expect": odd}, {"store": "accounts", "sql": text, "expect": expect}]
    original = topology(description=text, owner=odd, checks=checks)
    assert read_topology(written(original), NOWHERE).digest == original.digest


def test_another_destination() -> None:
    moved = read_topology(written(topology(), destination="s3://b@c/d"), NOWHERE)
    assert moved.destination == "s3://b@c/d"
    assert moved.stores == topology().stores


def test_the_connections_of_a_database() -> None:
    found = topology(
        destination="s3://backup_s3@bucket/x",
        drill={"targets": {"accounts": "drill_pg"}},
        products=[
            {"kind": "application", "endpoints": {"static": ["a:1"]}, "stop": {"command": "x", "ssh_conn_id": "app_ssh"}, "start": "y"}
        ],
        notifications={"on_failure": [{"notifier": "a.B", "args": {"smtp_conn_id": "mail", "to": "x@y.z"}}]},
    )
    assert needed(found) == {"backup_s3": "aws", "accounts_db": "postgres", "drill_pg": "postgres", "app_ssh": "ssh", "mail": "smtp"}


def test_the_destinations_comes_first() -> None:
    """Without it nothing else can even be looked at."""
    assert needed_connections(topology(destination="abfss://azure@container/x"))[0].conn_id == "azure"


def test_each_once() -> None:
    assert [each.conn_id for each in needed_connections(topology(drill={"targets": {"accounts": {"conn_id": "accounts_db"}}}))] == [
        "accounts_db"
    ]


@pytest.mark.parametrize(
    ("example", "connections"),
    [
        (
            "cassandra",
            {
                "backup_s3": "aws",
                "cassandra_ssh": "ssh",
                "cassandra_cql": "cassandra",
                "cassandra_jmx": "generic",
                "drill_ssh": "ssh",
                "drill_cql": "cassandra",
            },
        ),
        (
            "cosmosdb",
            {"backup_azure": "wasb", "azure_control": "azure", "tickets_cosmos": "azure_cosmos", "kubernetes_default": "kubernetes"},
        ),
        ("dynamodb", {"aws_default": "aws", "aws_control": "aws", "aws_data": "aws", "kubernetes_default": "kubernetes"}),
        (
            "azure",
            {"backup_azure": "wasb", "azure_default": "azure", "files_pg": "postgres", "payouts_mysql": "mysql", "claims_ssh": "ssh"},
        ),
        ("rds-oracle", {"aws_default": "aws", "pensions_oracle": "oracle"}),
        ("rds-sqlserver", {"aws_default": "aws"}),
        ("aurora-dump", {"backup_s3": "aws", "wallet_mysql": "mysql", "drill_mysql": "mysql"}),
        ("azure-dump", {"backup_azure": "wasb", "policies_pg": "postgres", "drill_pg": "postgres"}),
        ("sqlite", {}),
        ("two-phase-commit", {"backup_s3": "aws", "orders_db": "postgres", "payments_db": "postgres"}),
    ],
)
def test_the_connections_of_the_examples(example: str, connections: dict[str, str]) -> None:
    """A drill target's ``to`` is a connection only where it names a server."""
    assert needed(load_topology(EXAMPLES[0].with_name(f"{example}.yaml"))) == connections


@pytest.mark.parametrize(("example", "store"), [("dynamodb", "tables"), ("rds-sqlserver", "invoices"), ("cosmosdb", "tickets")])
def test_a_name_in_the_cloud_is_no_connection(example: str, store: str) -> None:
    original = load_topology(EXAMPLES[0].with_name(f"{example}.yaml"))
    body = original.model_dump(mode="json", exclude_defaults=True) | {"drill": {"targets": {store: "a_name"}}}
    assert "a_name" not in needed(Topology.model_validate(body))


def test_no_connection_field_is_passed_over() -> None:
    """Every ``conn_id`` that stands in any example's text is found."""
    for file in EXAMPLES:
        for word in file.read_text().replace(",", " ").replace("}", " ").split("conn_id: ")[1:]:
            assert word.split()[0] in needed(load_topology(file)), file.name

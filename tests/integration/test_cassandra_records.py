"""ScalarDB's records over a real Cassandra of three nodes, read as a restored set: judged, paged, asked for when a node goes down."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from midtime.errors import RequestError, StoreAccessError
from midtime.model.instants import utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores.base import Target
from midtime.stores.cassandra.cql import CqlSession, session_to
from midtime.stores.cassandra.fences import fence_of, places
from midtime.stores.cassandra.records import CassandraRecords
from midtime.stores.cassandra.restored import RestoredCluster, open_restored
from midtime.stores.fences import KEPT
from midtime.verify.facts import Bounds, TopologyFacts
from midtime.verify.judge import judge
from midtime.verify.verdict import Outcome, Rule, Verdict
from tests.integration.sets import busy
from tests.stack.bank import Bank
from tests.stack.cassandra import CassandraCluster
from tests.stack.cassandra_node import CQL_PORT
from tests.stack.scalardb import Place
from tests.stack.stack import Stack

# Every verdict of the bank (test_cassandra_bank.py) is read in the same way; this is each case of it.
pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.long]
BANK, BULK = "bank_cql", "bulk"
LOGIN = ("cassandra", "cassandra")
PARTITIONS, ROWS = 500, 100
TARGET = Target(BANK, f"{BANK}_db", BANK, BANK, aside="before")
"""In place, and placed already: what runs is what was restored."""


@pytest.fixture(scope="module")
def cluster(stack: Stack) -> Iterator[CassandraCluster]:
    """One that asks for a login; whom it knows survives the loss of a node."""
    made = CassandraCluster(stack.processes, "cassandra-cql", login=LOGIN)
    with closing(made):
        made.start()
        made.execute("ALTER KEYSPACE system_auth WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}")
        made.nodetool(0, "repair", "--full", "system_auth")
        yield made


@pytest.fixture(scope="module")
def bank(stack: Stack, cluster: CassandraCluster) -> Iterator[Bank]:
    """At rest, after some hundred transfers."""
    place = {BANK: Place(cluster)}
    with closing(stack.scalardb_over(place, "scalardb-cql")) as server:
        bank = stack.bank_over(server, place)
        with busy(bank):
            pass
        assert bank.total() == bank.expected_total, "and nothing is half done any more"
        yield bank


@pytest.fixture(autouse=True)
def connection(cluster: CassandraCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its host is none of the cluster's, and does not count."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{BANK}_DB".upper(), "cassandra://{}:{}@127.0.0.1:1".format(*LOGIN))


@pytest.fixture
def session(cluster: CassandraCluster, connection: None) -> Iterator[CqlSession]:
    with session_to([(host, CQL_PORT) for host in cluster.hosts], f"{BANK}_db") as session:
        yield session


def topology_of(cluster: CassandraCluster, **scalardb: Any) -> Topology:
    body = {
        "name": "proof",
        "destination": "file:///nowhere",
        "products": [{"kind": "scalardb-server", "endpoints": {"static": ["127.0.0.1:1"]}}],
        "scalardb": {"coordinators": [{"store": BANK}], **scalardb},
        "stores": [Place(cluster).store(BANK)],
    }
    return Topology.model_validate(body)


def backup_of(**details: Any) -> StoreBackup:
    made = {"store": BANK, "engine": "cassandra", "method": "snapshot", "server": "5.0", "client": "", "seconds": 1.0}
    return StoreBackup.model_validate({**made, "midtime": utc_now(), "artifacts": (), "tables": (), "details": details})


@pytest.fixture
def restored(cluster: CassandraCluster, bank: Bank) -> Iterator[RestoredCluster]:
    with open_restored(topology_of(cluster), backup_of(), TARGET) as restored:
        yield restored


def judged(restored: RestoredCluster, ago: float = 0) -> Verdict:
    """What the records say of a set that claims to be of this instant."""
    instant = int((time.time() - ago) * 1000)
    return judge({BANK: restored.records()}, restored.coordinators(), TopologyFacts(clock_bound_ms=0), Bounds(instant, instant))


def torn_by(verdict: Verdict) -> set[Rule]:
    assert verdict.outcome is Outcome.TORN, verdict.summary()
    return set(verdict.counts)


@contextmanager
def spoilt(cluster: CassandraCluster, table: str, where: str, statement: str) -> Iterator[None]:
    """A row is changed by hand, and is as before afterwards."""
    ((kept,),) = cluster.execute(f"SELECT JSON * FROM {table} WHERE {where}")
    cluster.execute(statement.format(table=table, where=where))
    try:
        yield
    finally:
        cluster.execute(f"INSERT INTO {table} JSON %s", (kept,))


def transfer(cluster: CassandraCluster) -> tuple[str, list[int]]:
    """A transaction that two accounts still show."""
    found: dict[str, list[int]] = {}
    for number, tx_id in cluster.execute(f"SELECT id, tx_id FROM {BANK}.acct"):
        found.setdefault(tx_id, []).append(number)
    return next((tx_id, numbers) for tx_id, numbers in found.items() if len(numbers) == 2)


# -- judged ------------------------------------------------------------------------------------------------------------------------------


def test_what_scalardb_left_is_good(restored: RestoredCluster, bank: Bank) -> None:
    verdict = judged(restored)
    assert verdict.outcome is Outcome.GOOD, verdict.summary()
    assert verdict.records_read == bank.size
    assert restored.records().tables() == [f"{BANK}.acct"]
    assert restored.scalar("SELECT sum(balance) FROM acct") == bank.expected_total
    assert restored.content() == ()


def test_a_coordinator_row_is_missing(restored: RestoredCluster, cluster: CassandraCluster) -> None:
    tx_id, _ = transfer(cluster)
    with spoilt(cluster, "coordinator.state", f"tx_id = '{tx_id}'", "DELETE FROM {table} WHERE {where}"):
        assert Rule.UNKNOWN in torn_by(judged(restored))
    assert judged(restored).outcome is Outcome.GOOD


def test_half_a_transaction_is_there(restored: RestoredCluster, cluster: CassandraCluster) -> None:
    """One account PREPARED, the other COMMITTED, and nobody knows the transaction; known, the one would only wait to be rolled forward."""
    tx_id, (number, _) = transfer(cluster)
    with spoilt(cluster, f"{BANK}.acct", f"id = {number}", "UPDATE {table} SET tx_state = 1 WHERE {where}"):
        assert judged(restored).outcome is Outcome.GOOD
        with spoilt(cluster, "coordinator.state", f"tx_id = '{tx_id}'", "DELETE FROM {table} WHERE {where}"):
            assert Rule.HALF_COMMITTED in torn_by(judged(restored))


def test_a_record_is_younger_than_the_set(restored: RestoredCluster) -> None:
    assert Rule.STAMP in torn_by(judged(restored, ago=3600))


def test_the_coordinators_table_is_missing(cluster: CassandraCluster, bank: Bank) -> None:
    topology = topology_of(cluster, coordinators=[{"store": BANK, "namespace": "elsewhere"}])
    with open_restored(topology, backup_of(), TARGET) as restored:
        assert Rule.NO_COORDINATOR in torn_by(judged(restored))


def test_tables_without_transactions_are_told(restored: RestoredCluster, cluster: CassandraCluster) -> None:
    cluster.execute(f'CREATE TABLE {BANK}."Plain" ("Id" int PRIMARY KEY, tx_id text)')
    try:
        verdict = judged(restored)
        assert f"{BANK}: {BANK}.Plain" in verdict.non_transactional
        assert verdict.outcome is Outcome.GOOD
    finally:
        cluster.execute(f'DROP TABLE {BANK}."Plain"')


def test_schema_differences(cluster: CassandraCluster, bank: Bank, session: CqlSession) -> None:
    topology = topology_of(cluster)
    ids = session.table_ids(topology.all_namespaces(BANK)) | {"system.paxos": "0"}
    with open_restored(topology, backup_of(tables=ids), TARGET) as restored:
        assert restored.schema_differences() == []
    changed = {**ids, f"{BANK}.gone": "0"}
    del changed[f"{BANK}.acct"]
    with open_restored(topology, backup_of(tables=changed), TARGET) as restored:
        assert restored.schema_differences() == [f"{BANK}.gone: missing", f"{BANK}.acct: unexpected (not captured)"]


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM acct WHERE id = 1",
        "TRUNCATE acct",
        "SELECT count(*) FROM acct; TRUNCATE acct",
        "BEGIN BATCH DELETE FROM acct WHERE id = 1 APPLY BATCH",
        "/* SELECT */ DROP TABLE acct",
        "SELECT nothing FROM acct",
    ],
)
def test_a_check_only_reads(restored: RestoredCluster, bank: Bank, query: str) -> None:
    with pytest.raises(RequestError):
        restored.scalar(query)
    assert restored.scalar("SELECT count(*) FROM acct") == bank.size


# -- fences ------------------------------------------------------------------------------------------------------------------------------


def test_fences(session: CqlSession, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """There and back; the table is made once, and forgets what is old, though no row expires."""
    fence = fence_of(session, (BANK, "coordinator"))
    window = uuid.uuid4().hex
    fence.prepare()
    made = session.table_ids([BANK])[f"{BANK}.midtime_fence"]
    began = time.monotonic()
    fence.write(window, "before")
    assert time.monotonic() - began < 1
    assert places(session, [BANK], window) == {"before"}
    fence.write(window, "after")
    assert places(session, [BANK], window) == {"before", "after"}
    fence.prepare()
    assert session.table_ids([BANK])[f"{BANK}.midtime_fence"] == made
    assert places(session, [BANK], window) == {"before", "after"}
    assert session.value(f"SELECT TTL(written_at) FROM {BANK}.midtime_fence WHERE window_id = %s", (window,)) is None
    later = int(time.time() * 1000) + int(KEPT.total_seconds() * 1000) + 1
    monkeypatch.setattr("midtime.stores.fences._milliseconds", lambda: later)
    fence.prepare()
    assert places(session, [BANK], window) == frozenset()


# -- who may ask, and whom ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("login", ["cassandra:wrong@", "nobody:cassandra@", ""])
def test_a_login_that_is_refused(cluster: CassandraCluster, monkeypatch: pytest.MonkeyPatch, login: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", f"cassandra://{login}127.0.0.1")
    with pytest.raises(StoreAccessError, match="conn_id"), session_to([(cluster.hosts[0], CQL_PORT)], "other", patience=30):
        pass


def test_no_login_at_all(cluster: CassandraCluster) -> None:
    with pytest.raises(StoreAccessError, match="authentication"), session_to([(cluster.hosts[0], CQL_PORT)], None):
        pass


def test_a_role_without_privileges(cluster: CassandraCluster, bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.execute("CREATE ROLE IF NOT EXISTS reader WITH PASSWORD = 'secret' AND LOGIN = true")
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", "cassandra://reader:secret@")
    with session_to([(host, CQL_PORT) for host in cluster.hosts], "other") as session, pytest.raises(StoreAccessError, match="SELECT"):
        session.read_back([f"{BANK}.acct"])


def test_nodes_that_the_topology_does_not_name_are_not_asked(cluster: CassandraCluster) -> None:
    """The driver hears of all three."""
    with session_to([(cluster.hosts[1], CQL_PORT)], f"{BANK}_db") as session:
        assert set(session.schema_versions()) == {cluster.hosts[1]}
    with session_to([(host, CQL_PORT) for host in cluster.hosts], f"{BANK}_db") as session:
        poll_until(lambda: set(session.schema_versions()) == set(cluster.hosts))
        assert len(set(session.schema_versions().values())) == 1


def poll_until(answer: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not answer():
        assert time.monotonic() < until
        time.sleep(0.1)


# -- many rows ---------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bulk(cluster: CassandraCluster) -> None:
    """50,000 records, in partitions of a hundred."""
    cluster.execute(f"CREATE KEYSPACE {BULK} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 3}}")
    marks = "tx_id text, tx_state int, tx_version int, tx_prepared_at bigint, tx_committed_at bigint"
    cluster.execute(f"CREATE TABLE {BULK}.rows (a int, b text, {marks}, PRIMARY KEY (a, b))")
    insert = f"INSERT INTO {BULK}.rows (a, b, tx_id, tx_state, tx_version, tx_prepared_at, tx_committed_at) VALUES"
    for partition in range(PARTITIONS):
        rows = "; ".join(f"{insert} ({partition}, '{row}', 't{partition}', 3, 1, 5, 6)" for row in range(ROWS))
        cluster.execute(f"BEGIN UNLOGGED BATCH {rows}; APPLY BATCH")


EXPECTED = {f"{partition}/{row}" for partition in range(PARTITIONS) for row in range(ROWS)}


def test_each_of_many_rows_comes_once(session: CqlSession, bulk: None) -> None:
    began = time.monotonic()
    batches = list(CassandraRecords(session, [BULK], BANK).records(f"{BULK}.rows"))
    took = time.monotonic() - began
    assert max(map(len, batches)) <= 1000, "memory is bounded"
    assert Counter(record.key for batch in batches for record in batch) == Counter(EXPECTED)
    assert len(EXPECTED) / took > 3_000, "rows a second"


def test_a_node_goes_down_in_the_middle(session: CqlSession, cluster: CassandraCluster, bulk: None) -> None:
    """The last test: it takes a while until the node is back."""
    poll_until(lambda: set(session.schema_versions()) == set(cluster.hosts))
    batches = CassandraRecords(session, [BULK], BANK).records(f"{BULK}.rows")
    seen = Counter(record.key for _ in range(5) for record in next(batches))
    cluster.node(1).kill()
    try:
        seen += Counter(record.key for batch in batches for record in batch)
        assert seen == Counter(EXPECTED)
    finally:
        cluster.node(1).start()
        cluster.wait_un()

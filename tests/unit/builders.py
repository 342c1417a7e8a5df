"""Restore points and topologies for tests: small ones by default, any by hypothesis."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from midtime.catalog import Catalog
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import Artifact, DrillReport, Origin, RestorePoint, StoreBackup, TableContent, digest_of
from midtime.model.topology import Topology

MIDTIME = datetime(2026, 11, 21, 2, 0, 7, 250_000, tzinfo=UTC)
ORIGIN = Origin(midtime_version="0.1.0", dag_id="bank__backup", run_id="scheduled__1", host="worker")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def part(store: str = "accounts", *, artifacts: tuple[Artifact, ...] = (), **changes: Any) -> StoreBackup:
    fields: dict[str, Any] = {
        "engine": "postgresql",
        "method": "dump",
        "midtime": MIDTIME,
        "server": "18.6",
        "client": "18.6",
        "seconds": 1.5,
        "tables": (TableContent(name="bank.accounts", rows=3, buckets=("0a", "0b"), method="m 1"),),
        "details": {"compression": "zstd", "shapes": {"bank.accounts": "x"}},
    }
    return StoreBackup(store=store, artifacts=artifacts, **(fields | changes))


def point(midtime: datetime = MIDTIME, *, run: str = "run", stores: tuple[StoreBackup, ...] | None = None, **changes: Any) -> RestorePoint:
    fields: dict[str, Any] = {
        "id": restore_point_id(midtime, run),
        "topology": "bank",
        "topology_digest": sha256(b"topology"),
        "midtime": midtime,
        "started_at": midtime - timedelta(seconds=2),
        "finished_at": midtime + timedelta(minutes=1),
        "stores": (part(),) if stores is None else stores,
        "evidence": {"kind": "single transaction", "snapshots": {"accounts": "00000003-1"}},
        "origin": ORIGIN,
    }
    return RestorePoint(**(fields | changes))


def days_later(days: int, **changes: Any) -> RestorePoint:
    return point(MIDTIME + timedelta(days=days), **changes)


def drill_report(of: RestorePoint, *, good: bool = True, hours: int = 1) -> DrillReport:
    started = of.midtime + timedelta(hours=hours)
    return DrillReport(
        restore_point=of.id,
        topology=of.topology,
        started_at=started,
        finished_at=started + timedelta(minutes=3),
        rto_seconds=180.0,
        rpo_seconds=3600.0 * hours,
        store_seconds={"accounts": 170.0},
        bytes=of.size,
        rows=3,
        verdict={"outcome": "good" if good else "torn"},
        good=good,
        dag_id="bank__drill",
        run_id="manual",
    )


def resealed(point: RestorePoint, **changes: Any) -> bytes:
    """What somebody writes who knows how to make the digest fit."""
    body = point.model_dump(mode="json") | changes
    return json.dumps({**body, "digest": digest_of(body)}).encode()


# -- topologies ---------------------------------------------------------------------------------------------------------------------------

LEDGER = {"kind": "scalardb-cluster", "endpoints": {"static": ["127.0.0.1:1"]}}


def topology(*stores: str, destination: str = "file:///nowhere", **changes: Any) -> Topology:
    names = stores or ("accounts",)
    body: dict[str, Any] = {
        "name": "bank",
        "destination": destination,
        "stores": [{"name": name, "engine": "postgresql", "conn_id": f"{name}_db", "namespaces": [f"bank_{name}"]} for name in names],
    }
    if len(names) > 1:
        body |= {"products": [LEDGER], "scalardb": {"coordinators": [{"store": names[0]}]}}
    return Topology.model_validate(body | changes)


# -- any ----------------------------------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
names = st.text(st.sampled_from("abcdefgh_-.0123 é日"), min_size=1, max_size=10).filter(lambda name: name not in (".", ".."))
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
instants = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1), timezones=zones)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
details = st.dictionaries(texts, json_values, max_size=3)
artifacts = st.builds(
    Artifact,
    path=st.lists(names, min_size=1, max_size=3).map("/".join),
    size=st.integers(0, 2**60),
    sha256=st.binary(max_size=4).map(sha256),
)
tables = st.builds(TableContent, name=names, rows=st.integers(0, 2**60), buckets=st.lists(texts, max_size=3).map(tuple), method=texts)
parts = st.builds(
    StoreBackup,
    store=names,
    engine=texts,
    method=texts,
    midtime=instants,
    server=texts,
    client=texts,
    seconds=st.floats(allow_nan=False, allow_infinity=False),
    artifacts=st.lists(artifacts, max_size=2).map(tuple),
    tables=st.lists(tables, max_size=2).map(tuple),
    details=details,
)
points = st.builds(
    point,
    instants,
    run=texts,
    stores=st.lists(parts, min_size=1, max_size=2).map(tuple),
    topology=names,
    started_at=instants,
    finished_at=instants,
    evidence=details,
)


def published(catalog: Catalog, topology: Topology, restore_point: str, backup: StoreBackup) -> RestorePoint:
    """The restore point of one store's real backup, in the catalog."""
    now = datetime.now(UTC)
    manifest = RestorePoint(
        id=restore_point,
        topology=topology.name,
        topology_digest=topology.digest,
        midtime=backup.midtime,
        started_at=now,
        finished_at=now,
        stores=(backup,),
        origin=Origin(midtime_version="0", dag_id="d", run_id="r", host="h"),
    )
    catalog.publish(manifest)
    return manifest

"""Databases, containers and scripts as they come into being, whichever plane asks for them."""

from __future__ import annotations

import copy
from typing import Any

from tests.stack.cosmosdb_model import Account, Container, Database, Document, rid
from tests.stack.cosmosdb_state import Cosmos, bad

#: as clients see a container's settings if they have not set them
CONTAINER: dict[str, Any] = {
    "indexingPolicy": {
        "indexingMode": "consistent", "automatic": True, "includedPaths": [{"path": "/*"}], "excludedPaths": [{"path": '/"_etag"/?'}],
    },
    "uniqueKeyPolicy": {"uniqueKeys": []},
    "conflictResolutionPolicy": {"mode": "LastWriterWins", "conflictResolutionPath": "/_ts", "conflictResolutionProcedure": ""},
    "geospatialConfig": {"type": "Geography"},
}  # fmt: skip
PARTS = {"colls": {"_docs": "docs/", "_sprocs": "sprocs/", "_triggers": "triggers/", "_udfs": "udfs/", "_conflicts": "conflicts/"}}
LEAST, STEP = 400, 100


def make_database(cosmos: Cosmos, account: Account, name: str, throughput: dict[str, Any] | None) -> Database:
    database = Database(name, cosmos.now)
    database.throughput = throughput
    account.databases.append(database)
    return database


def make_container(cosmos: Cosmos, database: Database, wanted: dict[str, Any], throughput: dict[str, Any] | None) -> Container:
    """With throughput of its own, if its database has none."""
    if not (wanted.get("partitionKey") or {}).get("paths"):
        raise bad("The partition key definition is missing: it has to be specified for a container")
    settings = settings_of(wanted)
    container = Container(str(wanted["id"]), cosmos.now, database, settings, cosmos.settings.partitions)
    container.throughput = throughput or (None if database.throughput else {"throughput": LEAST})
    database.containers.append(container)
    return container


def settings_of(wanted: dict[str, Any]) -> dict[str, Any]:
    """What is kept of what a client sends."""
    kept = {
        key: value for key, value in wanted.items() if key not in ("id", "statistics") and not key.startswith("_") and value is not None
    }
    return {**copy.deepcopy(CONTAINER), **kept, "partitionKey": {"kind": "Hash", **wanted["partitionKey"]}}


def change_container(cosmos: Cosmos, container: Container, wanted: dict[str, Any]) -> None:
    settings = settings_of(wanted)
    if settings["partitionKey"]["paths"] != container.now["partitionKey"]["paths"]:
        raise bad("Partition key paths cannot be changed")
    container.settings.add(cosmos.now, settings)
    container.changed_at = cosmos.now


def drop_container(cosmos: Cosmos, container: Container) -> None:
    container.gone = cosmos.now


def drop_database(cosmos: Cosmos, database: Database) -> None:
    database.gone = cosmos.now
    for container in database.containers:
        if container.gone is None:
            drop_container(cosmos, container)


def put_script(cosmos: Cosmos, container: Container, kind: str, wanted: dict[str, Any]) -> Document:
    there = container.scripts[kind].get(str(wanted["id"]))
    own = there["_rid"] if there else rid(container.rid, kind)
    known = {key: value for key, value in wanted.items() if not key.startswith("_")}
    added = {"_rid": own, "_self": f"{container.link}{kind}/{own}/", "_etag": etag(cosmos.now), "_ts": int(cosmos.now)}
    container.scripts[kind][str(wanted["id"])] = {**known, **added}
    return container.scripts[kind][str(wanted["id"])]


def etag(at: float) -> str:
    return f'"0000{int(at * 10) & 0xFFFF:04x}-0000-0700-0000-{int(at):08x}0000"'


def database_body(database: Database) -> Document:
    own = {
        "_rid": database.rid,
        "_self": f"dbs/{database.rid}/",
        "_etag": etag(database.changed_at),
        "_colls": "colls/",
        "_users": "users/",
    }
    return {"id": database.name, **own, "_ts": int(database.changed_at)}


def container_body(container: Container) -> Document:
    own = {"_rid": container.rid, "_self": container.link, "_etag": etag(container.changed_at), **PARTS["colls"]}
    return {"id": container.name, **container.now, **own, "_ts": int(container.changed_at)}


def throughput_of(options: dict[str, Any]) -> dict[str, Any] | None:
    """As ARM words it, of what either plane was asked for."""
    if auto := options.get("autoscaleSettings"):
        most = int(auto["maxThroughput"])
        return {"throughput": most // 10, "autoscaleSettings": {"maxThroughput": most}}
    if manual := options.get("throughput"):
        if int(manual) < LEAST or int(manual) % STEP:
            raise bad(f"The offer should have valid throughput values between {LEAST} and 1000000 inclusive in increments of {STEP}.")
        return {"throughput": int(manual)}
    return None

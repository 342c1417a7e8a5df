"""Accounts, databases, containers and items, with all that they were: what is deleted stays restorable."""

from __future__ import annotations

import base64
import copy
import json
import os
import secrets
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from azure.cosmos import PartitionKey
from azure.cosmos.partition_key import NonePartitionKeyValue

from tests.stack.cosmosdb_history import Timeline

Document = dict[str, Any]
#: of items, by how they are written as JSON
ItemKey = tuple[str, str]
KEYS = ("primaryMasterKey", "secondaryMasterKey", "primaryReadonlyMasterKey", "secondaryReadonlyMasterKey")
SCRIPTS = ("sprocs", "triggers", "udfs")
LARGEST = 1 << 126
"""Effective partition keys of version 2 are below."""


#: what the bytes that a child's resource id adds to its parent's have at their ends, by what the child is
_KINDS = {"colls": (0x80, 0x00), "docs": (0x00, 0x00), "sprocs": (0x00, 0x80), "triggers": (0x00, 0x70), "udfs": (0x00, 0x60)}


def rid(parent: str = "", kind: str = "dbs") -> str:
    """A resource id: the parent's bytes, and some of one's own, from which clients read what it is."""
    own = bytearray(os.urandom(4 if kind in ("dbs", "colls") else 8))
    if kind in _KINDS:
        first, last = _KINDS[kind]
        own[0] |= first
        own[-1] = own[-1] & 0x0F | last if len(own) == 8 else own[-1]
    return base64.b64encode(base64.b64decode(parent.replace("-", "/")) + own).decode().replace("/", "-")


@dataclass
class Range:
    """A physical partition: effective partition keys from the first up to, without it, the last."""

    id: str
    first: str
    last: str

    def has(self, key: str) -> bool:
        return self.first <= key < self.last


def ranges(count: int) -> list[Range]:
    edges = ["", *(f"{LARGEST * each // count:032X}" for each in range(1, count)), "FF"]
    return [Range(str(each), edges[each], edges[each + 1]) for each in range(count)]


@dataclass
class Item:
    """One, under its key; ``place`` orders them as they came."""

    place: int
    effective_key: str
    rid: str
    states: Timeline[Document] = field(default_factory=Timeline)


class Resource:
    """What has a name, comes and goes."""

    def __init__(self, name: str, at: float, own_rid: str) -> None:
        self.name, self.born, self.rid = name, at, own_rid
        self.gone: float | None = None
        #: as ARM words it, or None
        self.throughput: dict[str, Any] | None = None

    def there_at(self, second: int, includes_second: bool) -> bool:
        def before(at: float) -> bool:
            return at <= second or (includes_second and at < second + 1)

        return before(self.born) and not (self.gone is not None and before(self.gone))


class Container(Resource):
    """``settings`` are those of its resource that a client sets."""

    def __init__(self, name: str, at: float, database: Database, settings: dict[str, Any], partitions: int) -> None:
        super().__init__(name, at, rid(database.rid, "colls"))
        self.database = database
        self.settings: Timeline[dict[str, Any]] = Timeline()
        self.settings.add(at, settings)
        self.items: dict[ItemKey, Item] = {}
        self.scripts: dict[str, dict[str, Document]] = {kind: {} for kind in SCRIPTS}
        self.ranges = ranges(partitions)
        self.writes = 0
        self.changed_at = at
        #: of a restored one, while its index is built
        self.reindexing: tuple[float, float] | None = None

    @property
    def now(self) -> dict[str, Any]:
        return self.settings.current or {}

    @property
    def link(self) -> str:
        return f"dbs/{self.database.rid}/colls/{self.rid}/"

    def key_of(self, document: Document) -> list[Any]:
        """Its partition key, as a header has it: an empty object stands for nothing."""
        return [_dig(document, path.strip("/").split("/")) for path in self.now["partitionKey"]["paths"]]

    def effective_key(self, key: list[Any]) -> str:
        """Where it lies."""
        wanted = self.now["partitionKey"]
        kind = PartitionKey(wanted["paths"][0]) if len(wanted["paths"]) == 1 else PartitionKey(wanted["paths"], kind="MultiHash")
        values = [NonePartitionKeyValue if value == {} else value for value in key]
        return str(kind._get_effective_partition_key_string(values))

    def put(self, key: list[Any], document: Document, at: float) -> Document:
        """Keep what it is from now on, with what the service adds."""
        self.writes += 1
        written = (json.dumps(key), document["id"])
        item = self.items.get(written)
        if item is None:
            item = self.items[written] = Item(self.writes, self.effective_key(key), rid(self.rid, "docs"))
        etag = f'"{self.writes:08x}-0000-0700-0000-{int(at):08x}0000"'
        added = {"_rid": item.rid, "_self": f"{self.link}docs/{item.rid}/", "_etag": etag, "_attachments": "attachments/", "_ts": int(at)}
        whole = {**{name: value for name, value in document.items() if name not in added}, **added}
        item.states.add(at, whole)
        return whole

    def take(self, key: list[Any], name: str, at: float) -> None:
        self.writes += 1
        self.items[json.dumps(key), name].states.add(at, None)

    def get(self, key: list[Any], name: str, at: float) -> Document | None:
        item = self.items.get((json.dumps(key), name))
        document = item.states.current if item else None
        return document if document and not expired(document, self.now, at) else None

    def living(self, at: float) -> Iterator[tuple[Item, Document]]:
        """In the order of their places."""
        for item in sorted(self.items.values(), key=lambda each: each.place):
            document = item.states.current
            if document and not expired(document, self.now, at):
                yield item, document


def expired(document: Document, settings: dict[str, Any], at: float) -> bool:
    """Whether its time to live is over; without a default of the container nobody's ever is."""
    default = settings.get("defaultTtl")
    life = document.get("ttl", default) if default is not None else None
    return life is not None and life != -1 and bool(at > document["_ts"] + life)


class Database(Resource):
    def __init__(self, name: str, at: float) -> None:
        super().__init__(name, at, rid())
        self.containers: list[Container] = []
        self.changed_at = at

    def container(self, name: str) -> Container | None:
        return next((each for each in self.containers if name in (each.name, each.rid) and each.gone is None), None)


@dataclass
class Account:
    """One; a deleted one is kept, with its instance id, for its retention."""

    name: str
    group: str
    location: str
    properties: dict[str, Any]
    tags: dict[str, str]
    born: float
    state: str = "Creating"
    kind: str = "GlobalDocumentDB"
    identity: dict[str, Any] = field(default_factory=lambda: {"type": "None"})
    instance: str = field(default_factory=lambda: str(uuid.uuid4()))
    regional: str = field(default_factory=lambda: str(uuid.uuid4()))
    #: from when on it can be restored
    continuous_since: float | None = None
    gone: float | None = None
    databases: list[Database] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=lambda: {name: _key() for name in KEYS})
    #: by their ids
    role_definitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    role_assignments: dict[str, dict[str, Any]] = field(default_factory=dict)
    restoring: bool = False

    def database(self, name: str) -> Database | None:
        return next((each for each in self.databases if name in (each.name, each.rid) and each.gone is None), None)

    @property
    def tier(self) -> str:
        return str(self.properties["backupPolicy"].get("continuousModeProperties", {}).get("tier", "Continuous30Days"))


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


def _dig(document: Any, path: list[str]) -> Any:
    for part in path:
        if not isinstance(document, dict) or part not in document:
            return {}
        document = document[part]
    return copy.deepcopy(document)

"""A table that remembers: what each of its items was at any time since point-in-time recovery was switched on."""

from __future__ import annotations

import copy
import pickle
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

from tests.stack.dynamodb_world import WORLD, moment

Key = tuple[DynamoType, DynamoType | None]
Items = Mapping[Any, Any]
#: of an item that was deleted, or not there yet
NOTHING = b""
#: copied when a table is restored or backed up, for moto changes them in place
SETTINGS = ("attr", "schema", "throughput", "warm_throughput", "indexes", "global_indexes", "tags", "ttl", "stream_specification")


class History:
    """Each item's states, with the instants from which they held."""

    def __init__(self, since: float) -> None:
        self.since = since
        self._states: dict[Key, list[tuple[float, bytes]]] = defaultdict(list)

    def add(self, key: Key, at: float, state: bytes) -> None:
        self._states[key].append((at, state))

    def undo(self, key: Key, length: int) -> None:
        """Forget all but the first states."""
        del self._states[key][length:]

    def length(self, key: Key) -> int:
        return len(self._states[key])

    def as_of(self, at: float, inclusive: bool = True) -> Iterator[Item]:
        """What was there then; the last that was written counts, whatever the clock did meanwhile."""
        for states in self._states.values():
            state = next((state for when, state in reversed(states) if when < at or (inclusive and when == at)), NOTHING)
            if state:
                yield pickle.loads(state)  # noqa: S301 - our own


@dataclass
class Before:
    """An item before a transaction."""

    table: TimedTable
    key: Key
    state: bytes
    length: int

    def put_back(self) -> None:
        self.table.set_item(self.key, pickle.loads(self.state) if self.state else None)  # noqa: S301 - our own
        if self.table.history:
            self.table.history.undo(self.key, self.length)


class TimedTable(Table):
    """Has an identity, takes time to come and to go, and keeps its history while point-in-time recovery is on."""

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.table_id = str(uuid.uuid4())
        self.born = WORLD.instant
        self.created_at = moment(self.born)
        self.active_at = WORLD.later("create", name)
        self.updated_at = 0.0
        self.gone_at: float | None = None
        self.restored: dict[str, Any] | None = None
        self.history: History | None = None
        self.period = 35
        #: what moto does not know, as a description words it
        self.more: dict[str, Any] = {}
        #: the same of its indexes, by their names
        self.more_of_indexes: dict[str, dict[str, Any]] = {}

    def is_created(self) -> bool:
        return True

    @classmethod
    def update_from_cloudformation_json(cls, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # moto copies whole tables before each transaction; `Before` does it item by item

    @property
    def status(self) -> str:
        if self.gone_at is not None:
            return "DELETING"
        if WORLD.instant < self.active_at:
            return "CREATING"
        return "UPDATING" if WORLD.instant < self.updated_at else "ACTIVE"

    @property
    def has_data(self) -> bool:
        """Whether items can be read and written."""
        return self.status in ("ACTIVE", "UPDATING")

    def describe(self, base_key: str = "TableDescription") -> dict[str, Any]:
        described = super().describe(base_key)
        described[base_key].update({"TableId": self.table_id, "TableStatus": self.status, **self.more})
        for index in described[base_key]["GlobalSecondaryIndexes"]:
            index.update(self.more_of_indexes.get(index["IndexName"], {}))
        if self.status == "CREATING":
            described[base_key]["ItemCount"] = 0
        if self.restored:
            described[base_key]["RestoreSummary"] = {**self.restored, "RestoreInProgress": self.status == "CREATING"}
        return described

    def remember(self) -> None:
        """From now on; what is there is the beginning."""
        self.history = History(WORLD.instant)
        for item in self.all_items():
            self.changed(item)

    def changed(self, item: Item) -> None:
        """Keep what it is now: moto changes items in place."""
        if self.history:
            self.history.add((item.hash_key, item.range_key), WORLD.instant, pickle.dumps(item))

    def put_item(self, *arguments: Any, **keywords: Any) -> Item:
        item = super().put_item(*arguments, **keywords)
        self.changed(item)
        return item

    def delete_item(self, hash_key: DynamoType, range_key: DynamoType | None) -> Item | None:
        item = super().delete_item(hash_key, range_key)
        if item is not None and self.history:
            self.history.add((hash_key, range_key), WORLD.instant, NOTHING)
        return item

    def before(self, key: Key) -> Before:
        item = self.get_item(*key)
        length = self.history.length(key) if self.history else 0
        return Before(self, key, pickle.dumps(item) if item is not None else NOTHING, length)

    def set_item(self, key: Key, item: Item | None) -> None:
        """Behind the history's back."""
        hash_key, range_key = key
        place: Any = self.items[hash_key] if range_key is not None else self.items
        last = hash_key if range_key is None else range_key
        if item is None:
            place.pop(last, None)
        else:
            place[last] = item

    def as_of(self, second: int) -> list[Item]:
        """What a restore to it brings."""
        assert self.history
        if WORLD.settings.includes_second:
            return list(self.history.as_of(second + 1, inclusive=False))
        return list(self.history.as_of(second))

    def frozen(self) -> TimedTable:
        """As it is now, for a backup."""
        other = copy.copy(self)
        other.items = pickle.loads(pickle.dumps(self.items))  # noqa: S301 - our own
        other.history = None
        for name in SETTINGS:
            setattr(other, name, copy.deepcopy(getattr(self, name)))
        return other

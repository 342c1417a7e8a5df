"""The fence rows of one store around one window: written, or said why not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from midtime.errors import StoreError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.stores.base import Store
from midtime.stores.fences import FenceWriter, Place, fence_table

log = logging.getLogger(__name__)

UNPROVEN = "a restore of it that lands too early would not be noticed"


@dataclass(slots=True)
class StoreFence:
    """What is written for one window. Of a store that is dumped nothing else depends on it: whatever fails is noted, and the backup goes on.

    :param required: the store is restored to a point, which can be missed; it is not backed up without its fence
    """

    store: Store
    resources: ExitStack
    required: bool = False
    fence: FenceWriter | None = None
    why: str = ""
    """Why a row is missing."""
    written: dict[str, str] = field(default_factory=dict)
    """Place -> when, by the worker's clock."""

    def prepare(self) -> None:
        """Make the table, unless the topology declines it; before the store is armed, for it is DDL. Nothing stays open: arming may take hours.

        :raises StoreError: we may not, and must
        """
        if self.why:
            return
        with self._noting(), self.store.fence() as fence:
            fence.prepare()

    def connect(self) -> None:
        """Open what writes, before the window and once the store is armed: SQLite's locks do not survive what arming does with the file.

        :raises StoreError: it cannot be opened, and must
        """
        if not self.why and self.fence is None:
            with self._noting():
                self.fence = self.resources.enter_context(self.store.fence())

    def write(self, window: str, place: Place) -> None:
        """Write a row, if there is a fence.

        :raises StoreError: it cannot be written, and must
        """
        self.connect()
        if self.fence is None or (place == "after" and "before" not in self.written):
            return
        with self._noting():
            self.fence.write(window, place)
            self.written[place] = to_rfc3339(utc_now())

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            if self.required:
                raise
            self.why = str(error)
            log.warning("%s: its fence rows are not complete, so %s: %s", self.store.name, UNPROVEN, error)

    def to_dict(self) -> dict[str, Any]:
        """For the manifest; with the namespace, because tomorrow's topology may have another one first."""
        namespace, _ = fence_table(self.store.topology.all_namespaces(self.store.name))
        return {"namespace": namespace, "before": self.written.get("before"), "after": self.written.get("after"), "why": self.why}


def fence_of(store: Store, resources: ExitStack) -> StoreFence:
    """A store's fence; nothing is made or opened yet.

    :param resources: what is opened is closed with it
    """
    spec = store.topology.store(store.name)
    declined = "" if spec.fence else "the topology says `fence: false`"
    return StoreFence(store, resources, required=spec.fence and spec.point_in_time, why=declined)


@contextmanager
def fenced(store: Store) -> Iterator[StoreFence]:
    """A store's fence, its table made; to be entered before the store is armed.

    :raises StoreError: a store that is restored to a point cannot be written to, and its topology does not say ``fence: false``
    """
    with ExitStack() as resources:
        made = fence_of(store, resources)
        made.prepare()
        yield made


def describe(store: Store) -> str:
    """For the preflight, which writes nothing."""
    if not store.topology.store(store.name).fence:
        return f"no, the topology says so: {UNPROVEN}"
    return "by rows in " + ".".join(fence_table(store.topology.all_namespaces(store.name)))

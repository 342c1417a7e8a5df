"""The fence rows of one store around one window: written, or said why not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from midtime.errors import StoreAccessError, StoreError, StoreStatementError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.stores.base import CopiedStore
from midtime.stores.fences import Fence, Place

log = logging.getLogger(__name__)

UNPROVEN = "a restore of it that lands too early would not be noticed"


@dataclass(slots=True)
class StoreFence:
    """What was written for one window."""

    store: str
    fence: Fence | None
    required: bool = False
    """Restored to a point, so that it is not backed up without its fence."""
    why: str = ""
    """Why a row is missing."""
    written: dict[str, str] = field(default_factory=dict)
    """Place -> when, by the worker's clock."""

    def write(self, window: str, place: Place) -> None:
        """Write a row, if there is a fence.

        :raises StoreError: the one inside the window cannot be written, or the store needs both
        """
        if self.fence is None:
            return
        try:
            self.fence.write(window, place)
        except StoreError as error:
            if place == "before" or self.required:
                raise
            self.why = str(error)
            log.warning("%s: the fence row after the window could not be written: %s", self.store, error)
            return
        self.written[place] = to_rfc3339(utc_now())

    def to_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return {"before": self.written.get("before"), "after": self.written.get("after"), "why": self.why}


@contextmanager
def fenced(store: CopiedStore) -> Iterator[StoreFence]:
    """Everything that can be done before the window; to be entered before the store is armed, for a new table is DDL.

    :raises StoreError: a store that is restored to a point cannot be written to, and its topology does not say ``fence: false``
    """
    spec = store.topology.store(store.name)
    if not spec.fence:
        yield StoreFence(store.name, None, why="the topology says `fence: false`")
        return
    with ExitStack() as stack:
        try:
            fence = stack.enter_context(store.fence())
            fence.prepare()
            made = StoreFence(store.name, fence, required=spec.point_in_time)
        except (StoreAccessError, StoreStatementError) as error:
            if spec.point_in_time:
                raise
            log.warning("%s has no fence: %s; %s", store.name, UNPROVEN, error)
            made = StoreFence(store.name, None, why=str(error))
        yield made


def describe(store: CopiedStore) -> str:
    """For the preflight, which writes nothing."""
    from midtime.stores.fences import fence_table

    if not store.topology.store(store.name).fence:
        return f"no, the topology says so: {UNPROVEN}"
    return "by rows in " + ".".join(fence_table(store.topology.all_namespaces(store.name)))

"""A restored server, open for verification: its data as the project reads any of its dialect, and its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from midtime.model.restore_point import TableContent
from midtime.stores.base import RestoredSet
from midtime.verify.records import Coordinator, RecordSource


class RestoredServer:
    """Read only.

    :param differences: says what of its settings is not as it was marked
    """

    def __init__(self, inner: RestoredSet, differences: Callable[[], Sequence[str]]) -> None:
        self.inner, self._differences = inner, differences

    def content(self) -> Sequence[TableContent]:
        """Nothing: a mark counts nothing, and what it stands for is the service's own history."""
        return self.inner.content()

    def schema_differences(self) -> Sequence[str]:
        """Namespaces that are not there."""
        return self.inner.schema_differences()

    def setting_differences(self) -> Sequence[str]:
        """What is not as it was marked: for people to put back."""
        return self._differences()

    def records(self) -> RecordSource:
        """ScalarDB's records."""
        return self.inner.records()

    def coordinators(self) -> Sequence[Coordinator]:
        """The Coordinators that the topology puts into this store."""
        return self.inner.coordinators()

    def scalar(self, query: str) -> Any:
        """The one value that a user's check returns."""
        return self.inner.scalar(query)

    def fences(self, window: str, namespace: str) -> frozenset[str]:
        """Which fence rows of a window are there."""
        return self.inner.fences(window, namespace)

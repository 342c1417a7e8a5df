"""A server restored to a point of its history, open for verification."""

from __future__ import annotations

from collections.abc import Sequence

from midtime.model.restore_point import TableContent
from midtime.stores.postgresql.restored import RestoredDatabase


class RestoredHistory(RestoredDatabase):
    """The same, but nothing was counted at the capture: what holds there is what the server itself wrote, up to the point."""

    def content(self) -> tuple[TableContent, ...]:
        """Nothing to compare."""
        return ()

    def schema_differences(self) -> Sequence[str]:
        """Nothing to compare."""
        return ()

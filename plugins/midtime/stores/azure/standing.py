"""What stands under the name of a run's copy, and whose it is by its tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from midtime.stores.naming import COPY_TAG, PLACED

OWN_TAGS = "midtime:"
"""What all of them begin with."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A resource's name, and what is there under it."""

    name: str
    said: Mapping[str, Any]
    """What ARM says; empty where nothing is there."""

    @property
    def properties(self) -> Mapping[str, Any]:
        """Those of ARM's."""
        found: Mapping[str, Any] = self.said.get("properties") or {}
        return found

    @property
    def tags(self) -> dict[str, str]:
        """The resource's."""
        return dict(self.said.get("tags") or {})

    @property
    def owner(self) -> str:
        """What its tag says of whose it is."""
        return self.tags.get(COPY_TAG, "")

    @property
    def placed(self) -> bool:
        """Whether it is nobody's to remove any more."""
        return self.owner.startswith(PLACED)

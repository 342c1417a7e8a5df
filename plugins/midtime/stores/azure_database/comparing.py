"""The server that was made against the mark: what is left for people to put back."""

from __future__ import annotations

from collections.abc import Iterator

from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.describing import describe
from midtime.stores.azure_database.notes import Copy
from midtime.stores.azure_database.putting import AVAILABILITY
from midtime.stores.azure_database.settings import ServerSettings, spoken
from midtime.stores.azure_database.standing import Standing
from midtime.stores.marks import differences


def read_copy(azure: Azure, note: Copy, found: Standing) -> ServerSettings:
    """The server that was made, as it is now, described as the marked one was."""
    return describe(azure, found.said, note.resource_group, note.server)


def setting_differences(azure: Azure, note: Copy, found: Standing) -> Iterator[str]:
    """What is not as it was marked, one sentence each, with the value to be put back."""
    left_out = {"availabilityZone"}  # where it stands nobody can ask for once it is there
    if note.sku:
        left_out.add("sku")
    if not found.placed:
        left_out.add(AVAILABILITY)
    now = read_copy(azure, note, found)
    marked, copied = (spoken(each, left_out=frozenset(left_out)) for each in (note.marked.settings, now))
    yield from differences(f"server {note.server}", marked, copied)

"""What a run notes of the account that it makes: which one it is, and what was marked."""

from __future__ import annotations

from midtime.model.instants import utc_now
from midtime.model.restore_point import Instant, Sealed
from midtime.stores import notes
from midtime.stores.azure.notes import ProgressNotes
from midtime.stores.cosmosdb.settings import MarkedAccount


class Copy(Sealed):
    """The account that one run makes. Never changed."""

    working: str
    """The run's name for it; the account's tag says it too."""
    began_at: Instant
    account: str
    resource_group: str
    region: str
    marked: MarkedAccount


class Notes(ProgressNotes):
    """The notes of one store."""

    def copy(self) -> Copy | None:
        """The account, if one was begun."""
        return notes.read(self.copies_path, Copy)

    def begin(self, account: str, resource_group: str, region: str, marked: MarkedAccount) -> Copy:
        """Write down what is about to be made; what an earlier try has written stays."""
        made = Copy(
            working=self.target.working, began_at=utc_now(), account=account, resource_group=resource_group, region=region, marked=marked
        )
        return notes.write(self.copies_path, made)

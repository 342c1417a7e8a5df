"""What a run notes of the server that it makes: which one it is, and what was marked."""

from __future__ import annotations

from midtime.model.instants import utc_now
from midtime.model.restore_point import Instant, Sealed
from midtime.stores import notes
from midtime.stores.azure.notes import ProgressNotes
from midtime.stores.azure_database.settings import MarkedServer


class Copy(Sealed):
    """The server that one run makes. Never changed."""

    working: str
    """The run's name for it; the server's tag says it too."""
    began_at: Instant
    server: str
    resource_group: str
    sku: str | None
    """Where it is another one than the marked server's."""
    drill: bool
    marked: MarkedServer


class Notes(ProgressNotes):
    """The notes of one store."""

    def copy(self) -> Copy | None:
        """The server, if one was begun."""
        return notes.read(self.copies_path, Copy)

    def begin(self, resource_group: str, sku: str | None, marked: MarkedServer) -> Copy:
        """Write down what is about to be made; what an earlier try has written stays."""
        target = self.target
        made = Copy(
            working=target.working,
            began_at=utc_now(),
            server=target.final,
            resource_group=resource_group,
            sku=sku,
            drill=target.final == target.working,
            marked=marked,
        )
        return notes.write(self.copies_path, made)

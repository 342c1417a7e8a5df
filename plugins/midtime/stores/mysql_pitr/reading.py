"""One file of the binary log, from a position on: every event of it, and the proof that none is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from midtime.errors import CopyError
from midtime.stores.mysql_pitr import events
from midtime.stores.mysql_pitr.events import FIRST, Event, Kind


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two events of a server's log."""

    file: str
    at: int

    def __str__(self) -> str:
        return f"{self.file}:{self.at}"


class LogFile:
    """Reads raw events of one file; positions have to join seamlessly.

    :param start: where the first event after the format event begins; for a file's own beginning :data:`FIRST`
    :param end: where to stop; None for the file's end
    :param born: when the server began the file, in seconds, which tells it from another one of that name; None where it is met for the first time
    """

    def __init__(self, start: Position, end: int | None = None, *, born: int | None = None) -> None:
        self.file, self.at = start.file, start.at
        self.end = end
        self._born = born
        self.born = 0
        """When the server began the file, once its first event was read."""

    @property
    def position(self) -> Position:
        """Behind the last event that was read."""
        return Position(self.file, self.at)

    def events(self, raws: Iterator[bytes]) -> Iterator[Event]:
        """The events, the format event first; takes no more raw events than it needs.

        :param raws: raw events, the format event first wherever they begin
        :raises CopyError: one is missing, damaged, or goes on behind ``end``; they end before; or it is another file
        """
        begun = events.parse_format(next(raws, b""))
        self.born = begun.timestamp
        if self._born not in (None, self.born):
            raise CopyError(
                f"{self.file} is not the file of that name that it was: the server's log was begun anew",
                fix="run the backup again: it begins with a new full dump",
            )
        if self.at == FIRST:
            self._advance(begun)
        yield begun
        while self.at != self.end and (raw := next(raws, None)) is not None:
            event = events.parse(raw, checksum=True)
            if event.artificial or event.kind == Kind.HEARTBEAT:
                continue
            self._advance(event)
            yield event
        if self.end is not None and self.at != self.end:
            raise CopyError(f"the binary log {self.file} ends at {self.at}, before {self.end}", fix="use another restore point")

    def _advance(self, event: Event) -> None:
        self.at += len(event.raw)
        if not events.is_at(event, self.at) or (self.end is not None and self.at > self.end):
            raise CopyError(
                f"the binary log {self.file} has no event that ends at {self.at}: one is missing, or the log is another one",
                fix="check the server's log; the next full dump begins anew",
            )

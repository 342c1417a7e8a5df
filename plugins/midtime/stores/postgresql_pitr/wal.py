"""Positions in the write-ahead log, and the names of the segment files that hold them. Plain arithmetic, no connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

_LOG = 1 << 32
"""Bytes of one "log": the unit of the middle eight digits of a segment's name."""
NAME_LENGTH = 24
"""Of a segment's name: eight hexadecimal digits each of timeline, log, and segment within the log."""


def parse_lsn(text: str) -> int:
    """The number of bytes before a position.

    >>> hex(parse_lsn("16/B374D848"))
    '0x16b374d848'
    """
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def format_lsn(position: int) -> str:
    """As PostgreSQL writes it.

    >>> format_lsn(0x16B374D848)
    '16/B374D848'
    """
    return f"{position >> 32:X}/{position & (_LOG - 1):X}"


def segment_name(timeline: int, number: int, segment_size: int) -> str:
    """The file's name of the so many-th segment.

    >>> segment_name(1, 256, 16 << 20)
    '000000010000000100000000'
    """
    log, segment = divmod(number, _LOG // segment_size)
    return f"{timeline:08X}{log:08X}{segment:08X}"


def segment_number(name: str, segment_size: int) -> int:
    """The other way round, whatever the timeline."""
    return int(name[8:16], 16) * (_LOG // segment_size) + int(name[16:24], 16)


def timeline_of(name: str) -> int:
    """The timeline that a segment's name begins with."""
    return int(name[:8], 16)


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of one timeline, from the first byte that a recovery reads to behind the last."""

    timeline: int
    start: int
    end: int
    segment_size: int

    @property
    def first(self) -> int:
        """The number of the segment that holds the first byte."""
        return self.start // self.segment_size

    @property
    def last(self) -> int:
        """The number of the segment that holds the last byte; a record that ends at a segment's end lies in that one, not in the next."""
        return (self.end - 1) // self.segment_size

    def __len__(self) -> int:
        return self.last - self.first + 1

    def name(self, number: int) -> str:
        """The name of the so many-th segment of this timeline."""
        return segment_name(self.timeline, number, self.segment_size)

    def names(self) -> Iterator[str]:
        """Every segment that a recovery over this span needs, in order."""
        return map(self.name, range(self.first, self.last + 1))

    def to_dict(self) -> dict[str, Any]:
        """For manifests; the names of all segments follow from it."""
        return {
            "timeline": self.timeline,
            "start": format_lsn(self.start),
            "end": format_lsn(self.end),
            "segment_size": self.segment_size,
            "segments": {"first": self.name(self.first), "last": self.name(self.last), "count": len(self)},
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` wrote."""
        return cls(int(body["timeline"]), parse_lsn(body["start"]), parse_lsn(body["end"]), int(body["segment_size"]))

"""Events of the binary log of MySQL and MariaDB, as bytes: read as far as a replay needs it, and given another database's name.

The rows inside stay closed: only the header, the names in a table map, and the text of a statement are looked at.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from midtime.errors import CopyError

MAGIC = b"\xfebin"
"""What a file of the log begins with; the first event follows at this position."""
FIRST = len(MAGIC)
_HEADER = struct.Struct("<IBIIIH")
HEADER_SIZE = _HEADER.size
_CHECKSUM = struct.Struct("<I")
_ARTIFICIAL = 0x20
_WRAP = 1 << 32
"""Positions in headers have 32 bits; a file may be longer."""
_STATEMENT_END = 0x01
_QUERY = struct.Struct("<IIBHH")
_STANDALONE = 0x01
_NUMBERED = re.compile(r"(.+)\.(\d{6,})")
_CRC32 = 1


class Kind(IntEnum):
    """The types of events that mean something to us."""

    QUERY = 2
    STOP = 3
    ROTATE = 4
    INTVAR = 5
    RAND = 13
    USER_VAR = 14
    FORMAT = 15
    XID = 16
    TABLE_MAP = 19
    WRITE_ROWS_1 = 23
    UPDATE_ROWS_1 = 24
    DELETE_ROWS_1 = 25
    HEARTBEAT = 27
    IGNORABLE = 28
    ROWS_QUERY = 29
    WRITE_ROWS = 30
    UPDATE_ROWS = 31
    DELETE_ROWS = 32
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    XA_PREPARE = 38
    MARIADB_ANNOTATE_ROWS = 160
    MARIADB_CHECKPOINT = 161
    MARIADB_GTID = 162
    MARIADB_GTID_LIST = 163


ROWS = {Kind.WRITE_ROWS_1, Kind.UPDATE_ROWS_1, Kind.DELETE_ROWS_1, Kind.WRITE_ROWS, Kind.UPDATE_ROWS, Kind.DELETE_ROWS}
_POST_HEADERS = {Kind.TABLE_MAP: 8, Kind.WRITE_ROWS_1: 8, Kind.UPDATE_ROWS_1: 8, Kind.DELETE_ROWS_1: 8, Kind.QUERY: 13}
_BINLOG_4, _HEADER_AT, _LENGTHS_AT = 4, 56, 57


@dataclass(frozen=True, slots=True)
class Event:
    """One event. Its header was understood; its checksum, where it has one, fits."""

    raw: bytes
    kind: int
    """Also of types that :class:`Kind` does not know."""
    timestamp: int
    """Seconds since 1970 on the server."""
    ends: int
    """The position behind it, cut to 32 bits; 0 where the server did not know."""
    artificial: bool
    """Made up by the server for whoever reads: in no file."""
    checksum: bool

    @property
    def body(self) -> bytes:
        """What stands between header and checksum."""
        return self.raw[_HEADER.size : -_CHECKSUM.size if self.checksum else None]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a QUERY event says."""

    database: str
    """In which it ran; empty if in none."""
    text: str


def parse(raw: bytes, *, checksum: bool) -> Event:
    """Understand the header, and compare the checksum.

    :param checksum: whether the log has them, as its format event says
    :raises CopyError: it is no whole event
    """
    if len(raw) < _HEADER.size:
        raise _damaged("an event ends in the middle of its header")
    timestamp, kind, _, size, ends, flags = _HEADER.unpack_from(raw)
    if size != len(raw) or size < _HEADER.size + (_CHECKSUM.size if checksum else 0):
        raise _damaged(f"an event of type {kind} has {len(raw)} bytes and says {size}")
    if checksum and zlib.crc32(raw[: -_CHECKSUM.size]) != _CHECKSUM.unpack(raw[-_CHECKSUM.size :])[0]:
        raise _damaged(f"the checksum of an event of type {kind} does not fit")
    return Event(raw, kind, timestamp, ends, bool(flags & _ARTIFICIAL), checksum)


def size_of(header: bytes) -> int:
    """How many bytes an event has, from its first 19."""
    if len(header) < _HEADER.size:
        raise _damaged("an event ends in the middle of its header")
    size: int = _HEADER.unpack_from(header)[3]
    if size < _HEADER.size:
        raise _damaged(f"an event says that it has {size} bytes")
    return size


def parse_format(raw: bytes) -> Event:
    """The event that begins every log, which says how to read the others; only the way in which today's servers write is known.

    :raises CopyError: another version of the log, or one without checksums
    """
    event = parse(raw, checksum=True)  # it has one whatever the others have
    body = event.body
    if event.kind != Kind.FORMAT:
        raise _damaged(f"the log begins with an event of type {event.kind}")
    lengths = body[_LENGTHS_AT:-1]
    known = all(len(lengths) >= kind and lengths[kind - 1] == length for kind, length in _POST_HEADERS.items())
    if body[0] != _BINLOG_4 or body[_HEADER_AT] != _HEADER.size or not known:
        raise CopyError("the binary log is of a format that is not known", fix="report this with the server's version")
    if body[-1] != _CRC32:
        raise CopyError("the binary log has no checksums", fix="SET GLOBAL binlog_checksum = CRC32, then run again")
    return event


def is_at(event: Event, position: int) -> bool:
    """Whether what an event says of its end can be this position."""
    return event.ends in (0, position % _WRAP)


def next_log(event: Event) -> str:
    """Which file a ROTATE event names."""
    return event.body[8:].decode()


def follows(later: str, earlier: str) -> bool:
    """Whether a file's name is the next one's of a server's log.

    >>> follows("bin.000010", "bin.000009")
    True
    """
    one, other = _NUMBERED.fullmatch(earlier), _NUMBERED.fullmatch(later)
    return bool(one and other and one[1] == other[1] and int(other[2]) == int(one[2]) + 1)


def statement(event: Event) -> Statement:
    """The text of a QUERY event."""
    body = event.body
    _, _, length, _, settings = _QUERY.unpack_from(body)
    begin = _QUERY.size + settings
    return Statement(body[begin : begin + length].decode(errors="replace"), body[begin + length + 1 :].decode(errors="replace"))


def stands_alone(event: Event) -> bool:
    """Whether MariaDB's GTID event announces one statement, not a transaction that something ends."""
    return bool(event.body[12] & _STANDALONE)


def table_id(event: Event) -> bytes:
    """What ties rows to their table map."""
    return event.body[:6]


def table(event: Event) -> tuple[str, str]:
    """(database, table) of a TABLE_MAP event."""
    body = event.body
    length = body[8]
    begin = 9 + length + 2
    return body[9 : 9 + length].decode(), body[begin : begin + body[begin - 1]].decode()


def ends_statement(event: Event) -> bool:
    """Whether these rows are a statement's last."""
    return bool(event.body[6] & _STATEMENT_END)


def ending(event: Event) -> Event:
    """The same rows as a statement's last."""
    raw = bytearray(event.raw)
    raw[_HEADER.size + 6] |= _STATEMENT_END
    return _sealed(event, raw)


def moved(event: Event, database: str) -> Event:
    """A TABLE_MAP event for the table of that name in another database."""
    name, body = database.encode(), event.body
    if len(name) > 255:
        raise _damaged(f"{database!r} is no database's name")
    raw = bytearray(event.raw[: _HEADER.size] + body[:8] + bytes([len(name)]) + name + body[9 + body[8] :] + b"\0" * _CHECKSUM.size)
    return _sealed(event, raw)


def _sealed(event: Event, raw: bytearray) -> Event:
    raw[9:13] = struct.pack("<I", len(raw))
    raw[-_CHECKSUM.size :] = _CHECKSUM.pack(zlib.crc32(raw[: -_CHECKSUM.size]))
    return Event(bytes(raw), event.kind, event.timestamp, event.ends, event.artificial, checksum=True)


def _damaged(what: str) -> CopyError:
    return CopyError(f"the binary log is damaged: {what}", fix="check the server's disk and log; the next full dump begins anew")

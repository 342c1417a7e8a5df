"""Events of a binary log as a server writes them, and a log that is built from them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from midtime.stores.mysql_pitr.events import Event, Kind, parse, parse_format

BORN = 1_795_285_751
LENGTHS = bytearray(168)
for kind, length in {2: 13, 19: 8, 23: 8, 24: 8, 25: 8, 30: 10, 31: 10, 32: 10}.items():
    LENGTHS[kind - 1] = length


def raw(kind: int, body: bytes, *, ends: int = 0, flags: int = 0, at: int = BORN) -> bytes:
    """A whole event with its checksum."""
    head = struct.pack("<IBIIIH", at, kind, 7, 19 + len(body) + 4, ends, flags) + body
    return head + struct.pack("<I", zlib.crc32(head))


def event(kind: int, body: bytes) -> Event:
    return parse(raw(kind, body), checksum=True)


def format_body(*, version: int = 4, checksum: int = 1, lengths: bytes = bytes(LENGTHS)) -> bytes:
    return struct.pack("<H", version) + b"11.4.5-MariaDB-log".ljust(50, b"\0") + struct.pack("<IB", 0, 19) + lengths + bytes([checksum])


def table_map(number: int, database: str, table: str) -> bytes:
    names = (name.encode() for name in (database, table))
    packed = b"".join(bytes([len(name)]) + name + b"\0" for name in names)
    return number.to_bytes(6, "little") + b"\1\0" + packed + b"\2\x03\x0f\2\x50\0\2"


def rows(number: int, data: bytes = b"\2\xff\xfc\1\0\0\0", *, last: bool = True) -> bytes:
    return number.to_bytes(6, "little") + struct.pack("<H", int(last)) + data


def query(text: str, database: str = "", settings: bytes = b"\0\0\0\0\0") -> bytes:
    named = database.encode()
    return struct.pack("<IIBHH", 3, 0, len(named), 0, len(settings)) + settings + named + b"\0" + text.encode()


def gtid(*, alone: bool = False) -> bytes:
    return struct.pack("<QIB", 12, 0, int(alone)) + b"\0" * 6


def rotate(file: str) -> bytes:
    return struct.pack("<Q", 4) + file.encode()


@dataclass
class Log:
    """One file, event by event."""

    raws: list[bytes] = field(default_factory=lambda: [raw(Kind.FORMAT, format_body(), ends=4 + 19 + 57 + 168 + 1 + 4)])
    at: int = 4 + 19 + 57 + 168 + 1 + 4

    def add(self, kind: int, body: bytes, *, cached: bool = False) -> Log:
        """One more event; MariaDB does not know the positions of those that it kept in a transaction's cache."""
        self.at += 19 + len(body) + 4
        self.raws.append(raw(kind, body, ends=0 if cached else self.at))
        return self

    def transaction(self, *statements: tuple[str, str, int]) -> Log:
        """(database, table, number of row events) each."""
        self.add(Kind.MARIADB_GTID, gtid())
        for number, (database, table, count) in enumerate(statements, 1):
            self.add(Kind.TABLE_MAP, table_map(number, database, table), cached=True)
            for index in range(count):
                self.add(Kind.WRITE_ROWS_1, rows(number, last=index == count - 1), cached=True)
        return self.add(Kind.XID, b"\1" * 8)

    def events(self) -> Iterator[Event]:
        yield parse_format(self.raws[0])
        yield from (parse(each, checksum=True) for each in self.raws[1:])

"""Events: read as they were written, refused when they were not, and renamed without touching anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import CopyError
from midtime.stores.mysql_pitr import events
from midtime.stores.mysql_pitr.events import Kind
from tests.unit.stores.mysql_pitr.binlog import BORN, LENGTHS, event, format_body, gtid, query, raw, rotate, rows, table_map

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(NAMES, NAMES, NAMES, st.integers(0, 2**48 - 1))
def test_a_table_map_gets_another_databases_name_and_nothing_else(database: str, table: str, other: str, number: int) -> None:
    before = event(Kind.TABLE_MAP, table_map(number, database, table))
    after = events.moved(before, other)
    assert events.table(before) == (database, table)
    assert after.raw == raw(Kind.TABLE_MAP, table_map(number, other, table))
    assert events.parse(after.raw, checksum=True) == after
    assert events.moved(after, database) == before


@given(st.binary(), st.booleans(), st.integers(0, 2**48 - 1))
def test_rows_end_their_statement(data: bytes, last: bool, number: int) -> None:
    before = event(Kind.WRITE_ROWS_1, rows(number, data, last=last))
    after = events.ending(before)
    assert events.ends_statement(before) is last
    assert after.raw == raw(Kind.WRITE_ROWS_1, rows(number, data, last=True))
    assert events.table_id(after) == number.to_bytes(6, "little")


@given(st.text(), NAMES, st.binary(max_size=20))
def test_a_statement(text: str, database: str, settings: bytes) -> None:
    assert events.statement(event(Kind.QUERY, query(text, database, settings))) == events.Statement(database, text)


@given(st.data())
def test_a_changed_bit_is_seen(data: st.DataObject) -> None:
    good = raw(Kind.XID, b"12345678", ends=500)
    at = data.draw(st.integers(0, len(good) * 8 - 1))
    bad = bytearray(good)
    bad[at // 8] ^= 1 << at % 8
    with pytest.raises(CopyError, match="damaged"):
        events.parse(bytes(bad), checksum=True)


@pytest.mark.parametrize("size", [0, 1, 18, 19, 22, 30])
def test_a_part_of_an_event(size: int) -> None:
    with pytest.raises(CopyError, match="damaged"):
        events.parse(raw(Kind.XID, b"12345678")[:size], checksum=True)


def test_the_header() -> None:
    found = events.parse(raw(Kind.HEARTBEAT, b"", ends=77, flags=0x20), checksum=True)
    assert (found.kind, found.timestamp, found.ends, found.artificial, found.body) == (27, BORN, 77, True, b"")
    assert events.size_of(raw(Kind.XID, b"x" * 300)) == 323
    with pytest.raises(CopyError, match="says that it has 3 bytes"):
        events.size_of(b"\0" * 9 + b"\3" + b"\0" * 9)
    with pytest.raises(CopyError, match="ends in the middle of its header"):
        events.size_of(b"\0" * 18)


@pytest.mark.parametrize(("ends", "at", "fits"), [(0, 99, True), (99, 99, True), (99, 98, False), (5, 2**32 + 5, True)])
def test_positions_are_cut_to_32_bits(ends: int, at: int, fits: bool) -> None:
    assert events.is_at(events.parse(raw(Kind.XID, b"", ends=ends), checksum=True), at) is fits


def test_the_format() -> None:
    assert events.parse_format(raw(Kind.FORMAT, format_body())).timestamp == BORN


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        (Kind.FORMAT, format_body(checksum=0), "no checksums"),
        (Kind.FORMAT, format_body(version=3), "format that is not known"),
        (Kind.FORMAT, format_body(lengths=b"\0" * 168), "format that is not known"),
        (Kind.FORMAT, format_body(lengths=bytes(LENGTHS[:20])), "format that is not known"),
        (Kind.XID, format_body(), "begins with an event of type 16"),
    ],
)
def test_another_format(kind: int, body: bytes, said: str) -> None:
    with pytest.raises(CopyError, match=said):
        events.parse_format(raw(kind, body))


@pytest.mark.parametrize(
    ("later", "earlier", "next_one"),
    [
        ("bin.000002", "bin.000001", True),
        ("bin.000003", "bin.000001", False),
        ("bin.000001", "bin.000001", False),
        ("log.000002", "bin.000001", False),
        ("bin.1000000", "bin.999999", True),
        ("bin", "bin.000001", False),
    ],
)
def test_the_next_file(later: str, earlier: str, next_one: bool) -> None:
    assert events.follows(later, earlier) is next_one


def test_other_events() -> None:
    assert events.next_log(event(Kind.ROTATE, rotate("bin.000002"))) == "bin.000002"
    assert events.stands_alone(event(Kind.MARIADB_GTID, gtid(alone=True)))
    assert not events.stands_alone(event(Kind.MARIADB_GTID, gtid()))


def test_a_name_that_is_too_long() -> None:
    with pytest.raises(CopyError, match="no database's name"):
        events.moved(event(Kind.TABLE_MAP, table_map(1, "bank", "t")), "x" * 256)

"""What the server answers in the place of its log. The connection here has answers ready, and no server behind it."""

from __future__ import annotations

import struct
from typing import cast
from unittest.mock import Mock

import pytest
from mysql.connector import Error, MySQLConnection

from midtime.errors import CopyError
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql_pitr.events import Kind
from midtime.stores.mysql_pitr.fetching import ServerLog
from midtime.stores.mysql_pitr.reading import Position
from tests.unit.stores.mysql_pitr.binlog import Log, raw, rotate

ANNOUNCED = raw(Kind.ROTATE, rotate("bin.000001"), flags=0x20)
END = b"\xfe\0\0\0\0"


def packet(payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + b"\0" + payload


def refusal(number: int) -> bytes:
    return b"\xff" + struct.pack("<H", number) + b"#HY000" + b"binlog truncated in the middle of event"


def read(*payloads: bytes) -> list[tuple[str, list[bytes]]]:
    connection = Mock(spec=MySQLConnection, _socket=Mock(), _protocol=Mock())
    connection._socket.recv.side_effect = [bytearray(packet(payload)) for payload in payloads]
    session = cast(Session, Mock(connection=connection, mariadb=False))
    return [(file, list(raws)) for file, raws in ServerLog(session, Position("bin.000001", 4)).files()]


def test_a_file() -> None:
    found = Log().transaction(("bank", "a", 2)).raws
    assert read(*(b"\0" + each for each in [ANNOUNCED, *found]), END) == [("bin.000001", found)]


@pytest.mark.parametrize("before", [[], [ANNOUNCED], [ANNOUNCED, *Log().raws]], ids=["purged", "damaged at once", "damaged later"])
def test_a_log_that_the_server_cannot_read(before: list[bytes]) -> None:
    """No later try changes that: the next backup has to begin with a new full dump, as it does for every CopyError here."""
    with pytest.raises(CopyError, match=r"cannot read its binary log: .*truncated") as caught:
        read(*(b"\0" + each for each in before), refusal(1236))
    assert "new full dump" in caught.value.fix


def test_another_error_of_the_server_stays_what_it_is() -> None:
    with pytest.raises(Error) as caught:
        read(refusal(1227))
    assert caught.value.errno == 1227

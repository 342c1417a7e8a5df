"""The binary log, read from its server as a replica reads it, as bytes and at once as far as it goes.

By the driver's own connection, because what comes with a server's clients (``mariadb-binlog``) is not on every worker, and TLS and logins
would need to be said twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from mysql.connector import MySQLConnection
from mysql.connector.constants import ServerCmd
from mysql.connector.errors import Error, get_exception

from midtime.errors import CopyError, ToolError
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql_pitr import events
from midtime.stores.mysql_pitr.events import Kind
from midtime.stores.mysql_pitr.reading import Position

SILENCE = 600
"""Seconds without a byte after which the server is taken to be gone."""
_AT_ONCE, _ANNOTATED = 0x01, 0x02
"""Flags: do not wait for more at the log's end; MariaDB: leave out nothing that is in the file."""
_COMMAND = struct.Struct("<IHI")
_NOBODY = 0
"""The number of a replica that the server does not keep account of, as its own client gives it."""
_LIMIT = 1 << 32
_ERROR, _END, _LONGEST_END = 0xFF, 0xFE, 9
_UNREADABLE = 1236
_FULL = b"\xff\xff\xff"
"""Length of a packet that another one goes on with."""
_CAPABLE = "SET @mariadb_slave_capability = 4"
"""Of transactions that begin with their number: otherwise the server rewrites them."""
_CHECKSUM = "SET @master_binlog_checksum = @@global.binlog_checksum, @source_binlog_checksum = @@global.binlog_checksum"


class ServerLog:
    """The log from a position to its end.

    :param session: a pure one (:func:`connect`), for nothing else from now on
    :raises CopyError: the position cannot be asked for
    """

    def __init__(self, session: Session, start: Position) -> None:
        if start.at >= _LIMIT:
            raise CopyError(f"{start} is behind the first 4 GiB of its file", fix="FLUSH BINARY LOGS, then run again")
        self.connection = _pure(session)
        for setting in [_CHECKSUM, *([_CAPABLE] if session.mariadb else [])]:
            session.rows(setting)
        command = _COMMAND.pack(start.at, _AT_ONCE | _ANNOTATED if session.mariadb else _AT_ONCE, _NOBODY) + start.file.encode()
        self.connection._socket.send(self.connection._protocol.make_command(ServerCmd.BINLOG_DUMP, command), 0, 0)
        self._next = ""

    def files(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """(file, raw events) one file after the other; a file's events are gone once the next one was asked for.

        :raises CopyError: the server has not the log from there on, or cannot read it
        """
        raws = self._raw()
        first = next(raws, b"")
        self._next = _announced(first)
        if first and not self._next:
            raise CopyError("the server's binary log begins without a file's name", fix="report this with the server's version")
        while self._next:
            file, self._next = self._next, ""
            inside = self._of_file(raws)
            yield file, inside
            for _ in inside:
                pass  # nobody wants the rest

    def _of_file(self, raws: Iterator[bytes]) -> Iterator[bytes]:
        for raw in raws:
            if name := _announced(raw):
                self._next = name
                return
            yield raw

    def _raw(self) -> Iterator[bytes]:
        receive = self.connection._socket.recv
        while True:
            packet = receive(SILENCE)
            if packet[4] == _END and len(packet) < _LONGEST_END + 4:
                return
            if packet[4] == _ERROR:
                raise _refusal(get_exception(bytes(packet)))
            event, more = packet[5:], packet[:3] == _FULL
            while more:  # an event of more than 16 MiB comes in pieces
                piece = receive(SILENCE)
                event += piece[4:]
                more = piece[:3] == _FULL
            yield bytes(event)


def _refusal(error: Exception) -> Exception:
    """What the server says instead of an event: that its log is damaged, cut short or gone from there on, which no later try changes."""
    if not isinstance(error, Error) or error.errno != _UNREADABLE:
        return error
    return CopyError(f"the server cannot read its binary log: {error.msg}", fix="run the backup again: it begins with a new full dump")


def _announced(raw: bytes) -> str:
    """The file that the server says it goes on with, in an event that is in no file."""
    if len(raw) <= 4 or raw[4] != Kind.ROTATE:
        return ""
    event = events.parse(raw, checksum=True)
    return events.next_log(event) if event.artificial else ""


def _pure(session: Session) -> Any:
    connection = session.connection
    if not isinstance(connection, MySQLConnection):
        raise ToolError("the driver's connection is not the one in pure Python", fix="report this with the driver's version")
    return connection

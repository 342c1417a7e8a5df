"""Replaying kept changes in working databases: rows only, each under a working database's name.

A server executes nothing but row events in a ``BINLOG`` statement, and each of its table maps was given the name of a working database just
before: no statement of the log ever reaches a server, and no event with another database's name.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from midtime.errors import ArtifactError, CopyError, RestoreFailedError
from midtime.stores import compression
from midtime.stores.base import Say
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql_pitr import events
from midtime.stores.mysql_pitr.changes import Change, Changes
from midtime.stores.mysql_pitr.events import FIRST, HEADER_SIZE, MAGIC, Event
from midtime.stores.mysql_pitr.keeping import require_whole
from midtime.stores.mysql_pitr.reading import LogFile, Position
from midtime.stores.mysql_pitr.segments import Segment
from midtime.stores.naming import require_working_name

STATEMENT = 16 << 10
"""Bytes of events in one statement."""
COMMIT = 4 << 20
"""Bytes of events in one transaction; nobody sees the databases meanwhile."""


class Replay:
    """Executes changes.

    :param databases: original name -> working name
    :raises TargetExistsError: a name is no working name
    """

    def __init__(self, session: Session, databases: Mapping[str, str]) -> None:
        for name in databases.values():
            require_working_name(name)
        self.session = session
        self.databases = databases
        self.rows = 0
        """Events of rows that were executed."""
        self._waiting: list[Event] = []
        self._bytes = self._uncommitted = 0
        self._maps_sent = False

    def begin(self, header: Event) -> None:
        """Tell the server how the events that follow were written.

        :param header: the format event of their file
        """
        self._execute(header.raw)
        self.session.rows("START TRANSACTION")

    def add(self, change: Change) -> None:
        """Take one change; many go to the server together."""
        if not self._maps_sent:
            for table_map in change.maps:
                self._take(events.moved(table_map, self.databases[events.table(table_map)[0]]))
        self._take(events.ending(change.rows) if change.last else change.rows)
        self._maps_sent = not change.last
        self.rows += 1
        if self._bytes >= STATEMENT:
            self.flush()
        if self._uncommitted >= COMMIT:
            self.commit()

    def flush(self) -> None:
        """Send what waits. A statement that goes on is cut in two: its tables are named again."""
        if self._waiting:
            self._waiting[-1] = events.ending(self._waiting[-1])
            self._execute(b"".join(each.raw for each in self._waiting))
            self._uncommitted += self._bytes
        self._waiting, self._bytes, self._maps_sent = [], 0, False

    def commit(self) -> None:
        """Make what was sent last, and go on."""
        self.flush()
        self.session.rows("COMMIT")
        self.session.rows("START TRANSACTION")
        self._uncommitted = 0

    def end(self) -> None:
        """The file's events are over."""
        self.flush()
        self.session.rows("COMMIT")

    def _take(self, event: Event) -> None:
        self._waiting.append(event)
        self._bytes += len(event.raw)

    def _execute(self, raw: bytes) -> None:
        self.session.rows(f"BINLOG '{b64encode(raw).decode()}'")


def replay(session: Session, databases: Mapping[str, str], kept: Iterable[tuple[Segment, Iterator[bytes]]], say: Say) -> int:
    """Replay segments one after the other.

    :param databases: original name -> working name
    :param kept: each segment with its raw events, its format event first
    :return: how many events of rows were executed
    :raises RestoreFailedError: the events are not what they were when they were kept
    """
    spare_log(session)
    run, changes = Replay(session, databases), Changes(databases)
    for segment, raws in kept:
        log = LogFile(Position(segment.file, segment.start), segment.end, born=segment.born)
        try:
            found = log.events(raws)
            run.begin(next(found))
            for change in changes.of(found):
                run.add(change)
            require_whole(changes, log)
        except CopyError as error:
            raise RestoreFailedError(error.message, fix="use another restore point") from error
        run.end()
        say(f"binary log replayed up to {segment.reaches}: {run.rows} changes of rows")
    return run.rows


def spare_log(session: Session) -> None:
    """Keep MariaDB from writing the text of all that we send into its own log, once for every statement that is packed into it."""
    if session.mariadb and session.value("SELECT @@global.log_bin AND @@session.binlog_annotate_row_events"):
        session.rows("SET SESSION binlog_annotate_row_events = OFF")


def stored_events(path: Path, segment: Segment) -> Iterator[bytes]:
    """The raw events of a segment's artifact."""
    return split(compression.decompressed(path, segment.compression))


def archived_events(path: Path, segment: Segment) -> Iterator[bytes]:
    """The same out of a whole file of the server's.

    :raises ArtifactError: it is no such file
    """
    with path.open("rb") as file:
        if file.read(FIRST) != MAGIC:
            raise ArtifactError(f"{segment.file} in the archive is no binary log", fix="put the server's file there")
        beginning = file.read(HEADER_SIZE)
        yield beginning + file.read(events.size_of(beginning) - HEADER_SIZE)
        if segment.start > FIRST:
            file.seek(segment.start)
        yield from split(iter(lambda: file.read(compression.CHUNK), b""))


def split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Raw events out of a stream of bytes; what is left of one at its end comes as it is, for the reader to refuse."""
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        begin = 0
        while len(pending) - begin >= HEADER_SIZE and len(pending) - begin >= (
            size := events.size_of(bytes(pending[begin : begin + HEADER_SIZE]))
        ):
            yield bytes(pending[begin : begin + size])
            begin += size
        del pending[:begin]
    if pending:
        yield bytes(pending)

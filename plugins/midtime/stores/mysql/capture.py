"""Fixing the instant: a dump client that waits before a gate, and opens its transaction when the gate opens.

Sessions of MySQL cannot share a snapshot, so the client opens its own. Two things prove it open, and whichever is seen first counts:
``mariadb-dump`` enters a database only when ``START TRANSACTION WITH CONSISTENT SNAPSHOT`` was answered, which the list of the server's
connections shows; and no client's first bytes leave its buffer before.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from subprocess import PIPE, Popen
from typing import Any

from mysql.connector import MySQLConnection

from midtime.errors import CopyError, StoreUnreachableError
from midtime.model.instants import to_rfc3339
from midtime.stores.copied import Armed
from midtime.stores.mysql import content, gate, programs, tools
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql.content import TableInfo
from midtime.stores.mysql.gate import Gate
from midtime.stores.mysql.stream import Table
from midtime.stores.mysql.tools import Clients
from midtime.stores.processes import read_output, streaming_tool

OPENING_SECONDS = 30
"""For a snapshot to be open from the moment when it was asked for: as long as a pause may last by default."""
LOGIN_SECONDS = 60
"""For a client to log in before the window: many may do so at once."""
_LOOK_MS = 4
"""Between two looks at whether it is."""
_ENTERED = "SELECT db FROM information_schema.processlist WHERE id = %s"
_WAITS = "SELECT 1 FROM information_schema.processlist WHERE id = %s AND command = 'Sleep'"
"""Whether a connection is logged in and waits for a statement; while it logs in its command is another, even where its user is known."""
_OWN_NUMBER = "SELECT id FROM information_schema.processlist WHERE id = CONNECTION_ID()"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An open dump."""

    midtime: datetime
    """Right before the snapshot was opened: all that was committed by then is in it."""
    opened_by: datetime
    """When it was open for sure: nothing that was committed later is in it."""
    details: dict[str, Any]
    """What a restore must know."""
    server: str
    client: str
    keys: dict[Table, tuple[str, ...]]
    sequences: list[Table]
    packet: int
    """The longest statement that the server takes."""
    chunks: Iterator[bytes]
    """The dump, from its first byte."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was asked before the window."""

    details: dict[str, Any]
    tables: list[TableInfo]
    keys: dict[Table, tuple[str, ...]]
    packet: int
    server: str
    numbered: bool
    """Whether the server lists connections under the numbers with which it greets them; a proxy in between does not."""
    patience: timedelta
    """How long the server waits for the next statement of a connection."""

    @classmethod
    def ask(cls, session: Session, databases: Sequence[str]) -> Known:
        """Ask it all."""
        return cls(
            describe(session, databases),
            content.tables(session, databases),
            content.keys(session, databases),
            int(session.value("SELECT @@global.max_allowed_packet")),
            session.version_text,
            session.value(_OWN_NUMBER) == session.connection.connection_id,
            timedelta(seconds=int(session.value("SELECT @@global.wait_timeout"))),
        )


class ArmedDump(Armed):
    """A dump client that is started, connected and logged in; where it must compare the server's name, it starts in the window.

    :param resources: whatever is opened; it belongs to the caller
    :param waiting: how long it may have to wait for the window; where the server would end an idle connection before, it logs in in the window
    :raises CopyError: the client does not start
    """

    def __init__(
        self,
        session: Session,
        clients: Clients,
        databases: Sequence[str],
        resources: ExitStack,
        *,
        positioned: bool = False,
        waiting: timedelta = timedelta(0),
    ) -> None:
        self.session, self.clients, self.databases, self.resources = session, clients, databases, resources
        self.waiting = waiting
        self.positioned = positioned
        self.known = Known.ask(session, databases)
        self.fixed = False
        self._gate: Gate | None = None
        self._process: Popen[bytes] | None = None
        if not tools.compares_names(clients, session.login):
            self._start_before_gate()

    def fix(self, patience: float = OPENING_SECONDS) -> Snapshot:
        """Let the client open its snapshot, and see it open.

        :param patience: seconds that this may take
        :raises CopyError: the client failed, or the snapshot is not open in time
        :raises StoreUnreachableError: the server does not answer (in time)
        """
        with self.resources.pop_all() as owned:  # an error ends everything here, and comes out in our words
            with _limited(self.session, patience):
                snapshot = self._fix(owned, time.monotonic() + patience)
            self.resources.enter_context(owned.pop_all())
        self.fixed = True
        return snapshot

    def check(self) -> None:
        """Whether the client still waits, and its connection with it."""
        if self._process and self._gate and (self._process.poll() is not None or self._gate.broken):
            self._gate.close()
            self._last_words(self._process)
            raise CopyError("the dump client ended while it waited for the window", fix="see the server's log, then run again")

    @staticmethod
    def _last_words(process: Popen[bytes]) -> None:
        """Read to its end a client whose connection has ended: if it ended badly, that is an error here, in its own words."""
        for _ in read_output(process, silence=LOGIN_SECONDS):
            pass

    def confirm(self) -> None:
        """Ask again what was asked before; after the dump was read.

        :raises CopyError: tables, views or routines are not what they were
        """
        described, tables = describe(self.session, self.databases), content.tables(self.session, self.databases)
        if _lasting(described) != _lasting(self.known.details) or tables != self.known.tables:
            raise CopyError(
                "tables, views or routines were changed before the dump was complete", fix="wait for the DDL to end, then run again"
            )

    def dismiss(self) -> None:
        """End a client that was not needed, whatever it says."""
        with suppress(_Unused), self.resources.pop_all():
            raise _Unused

    def _fix(self, owned: ExitStack, deadline: float) -> Snapshot:
        midtime = _clock(self.session)
        process = self._process or self._start(owned, self.session.login.host, self.session.login.port)
        chunks = read_output(process, silence=tools.SILENCE)
        number = None
        if self._gate and process.poll() is None:
            number = self._gate.open(deadline)
        first = self._see_open(process, chunks, number if self.known.numbered else None, deadline)
        opened_by = _clock(self.session)
        return Snapshot(
            midtime,
            opened_by,
            {**self.known.details, "snapshot": {"opened_after": to_rfc3339(midtime), "opened_by": to_rfc3339(opened_by)}},
            self.known.server,
            self.clients.version_text,
            self.known.keys,
            content.sequences(self.known.tables),
            self.known.packet,
            chain([first], chunks),
        )

    def _see_open(self, process: Popen[bytes], chunks: Iterator[bytes], number: int | None, deadline: float) -> bytes:
        """Wait for either proof; what was read of the dump meanwhile."""
        assert process.stdout is not None  # noqa: S101 - for the type checker: we asked for a pipe
        output = select.poll()
        output.register(process.stdout, select.POLLIN)
        entered = number is not None and self.clients.family == "mariadb-dump"
        while not output.poll(_LOOK_MS):
            if entered and self.session.value(_ENTERED, [number]) is not None:
                return b""
            if time.monotonic() > deadline:
                raise CopyError(
                    "the dump client's snapshot was not open in time", fix="see what the server is busy with, a lock for example"
                )
        return next(chunks, b"")

    def _start_before_gate(self) -> None:
        login = self.session.login
        self._gate = self.resources.enter_context(closing(Gate(login.host, login.port)))
        self._process = self._start(self.resources, gate.HOST, self._gate.port)
        if not self._gate.admit(self._process):
            self._last_words(self._process)
            raise CopyError("the dump client ended without connecting", fix="see that client_path names a mariadb-dump or mysqldump")
        if self.known.numbered and self.known.patience > self.waiting + timedelta(seconds=LOGIN_SECONDS):
            self._log_in(self._gate, self._process)

    def _log_in(self, gate: Gate, process: Popen[bytes]) -> None:
        try:
            gate.log_in(time.monotonic() + LOGIN_SECONDS, lambda number: self.session.value(_WAITS, [number]) is not None)
        except StoreUnreachableError:
            gate.close()  # so that the client ends and says why it was not let in
            self._last_words(process)
            raise

    def _start(self, resources: ExitStack, host: str, port: int) -> Popen[bytes]:
        login = replace(self.session.login, host=host, port=port)
        views = [table.full_name for table in self.known.tables if table.type == "VIEW"]
        command = tools.dump_command(self.clients, login, self.databases, views=views, positioned=self.positioned)
        return resources.enter_context(streaming_tool(command, env=tools.environment(login), failed=tools.dump_failed, stdout=PIPE))


class _Unused(Exception):  # noqa: N818 - never leaves this module
    """Nothing was fixed: the client is ended and its last words are nobody's business."""


@contextmanager
def armed_dump(
    session: Session,
    clients: Clients,
    databases: Sequence[str],
    resources: ExitStack,
    *,
    positioned: bool = False,
    waiting: timedelta = timedelta(0),
) -> Iterator[ArmedDump]:
    """Describe, and start the dump client before a closed gate.

    :param resources: what the session belongs to: an error of :meth:`ArmedDump.fix` ends all of it at once
    :param positioned: whether the dump says where its snapshot is in the binary log
    :param waiting: how long the window may be waited for
    :raises CopyError: the dump client failed, or the tables changed their shape meanwhile
    """
    armed = ArmedDump(session, clients, databases, resources, positioned=positioned, waiting=waiting)
    yield armed
    if armed.fixed:
        armed.confirm()
    else:
        armed.dismiss()


def describe(session: Session, databases: Sequence[str]) -> dict[str, Any]:
    """What the dump of tables does not say."""
    return {
        "databases": content.described(session, databases),
        "folds_names": content.folds_names(session),
        "shapes": content.shapes(session, {name: name for name in databases}),
        "programs": [program.to_dict() for program in programs.read(session, databases)],
    }


def _lasting(described: dict[str, Any]) -> dict[str, Any]:
    """Without events, which may end by themselves."""
    return {**described, "programs": [each for each in described["programs"] if each["kind"] != "EVENT"]}


def _clock(session: Session) -> datetime:
    # NOW() is when the statement began; UTC whatever the session's zone is.
    found: datetime = session.value("SELECT UTC_TIMESTAMP(6)")
    return found.replace(tzinfo=UTC)


@contextmanager
def _limited(session: Session, seconds: float) -> Iterator[None]:
    """Let no answer take longer. The driver's other implementation takes a limit only when it connects."""
    connection = session.connection
    if not isinstance(connection, MySQLConnection):
        yield
        return
    connection.read_timeout = max(1, int(seconds))
    try:
        yield
    finally:
        connection.read_timeout = None

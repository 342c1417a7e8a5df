"""Fixing the instant: a dump client whose transaction is open, its output not yet read.

Sessions of MySQL cannot share a snapshot, so the client opens its own. Its first bytes leave its buffer only after that: whoever has seen
them knows that the snapshot was opened between the two readings of the server's clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from subprocess import PIPE
from typing import Any

from midtime.errors import CopyError
from midtime.model.instants import to_rfc3339
from midtime.stores.mysql import content, programs, tools
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql.stream import Table
from midtime.stores.mysql.tools import Clients
from midtime.stores.processes import read_output, streaming_tool


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


@contextmanager
def open_snapshot(session: Session, clients: Clients, databases: Sequence[str]) -> Iterator[Snapshot]:
    """Describe, then start the dump and see its first bytes.

    :raises CopyError: the dump client failed, or the tables changed their shape meanwhile
    """
    before, tables = describe(session, databases), content.tables(session, databases)
    views = [table.full_name for table in tables if table.type == "VIEW"]
    command = tools.dump_command(clients, session.login, databases, views=views)
    midtime = _clock(session)
    with streaming_tool(command, env=tools.environment(session.login), failed=tools.dump_failed, stdout=PIPE) as process:
        chunks = read_output(process, silence=tools.SILENCE)
        first = next(chunks, b"")
        opened_by = _clock(session)
        details = {**before, "snapshot": {"opened_after": to_rfc3339(midtime), "opened_by": to_rfc3339(opened_by)}}
        yield Snapshot(
            midtime,
            opened_by,
            details,
            session.version_text,
            clients.version_text,
            content.keys(session, databases),
            content.sequences(tables),
            int(session.value("SELECT @@global.max_allowed_packet")),
            chain([first], chunks),
        )
    if _lasting(describe(session, databases)) != _lasting(before) or content.tables(session, databases) != tables:
        raise CopyError("tables, views or routines were changed during the dump", fix="wait for the DDL to end, then run again")


def describe(session: Session, databases: Sequence[str]) -> dict[str, Any]:
    """What the dump of tables does not say."""
    return {
        "databases": content.described(session, databases),
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

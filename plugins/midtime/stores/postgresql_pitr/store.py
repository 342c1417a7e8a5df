"""The PostgreSQL store that is restored to a named point of its WAL: the half that backs up."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from midtime.catalog.artifacts import new_artifact
from midtime.catalog.bases import REFERENCE, Base
from midtime.errors import CopyError, MidtimeError
from midtime.model.instants import utc_now
from midtime.model.restore_point import StoreBackup
from midtime.stores import compression
from midtime.stores.base import Question, Say, Shelf
from midtime.stores.postgresql.connections import Session
from midtime.stores.postgresql.server import version_text
from midtime.stores.postgresql_pitr import checks
from midtime.stores.postgresql_pitr.base_backup import AUTO, Request, span_of, take, usable
from midtime.stores.postgresql_pitr.capture import ArmedPoint, Point
from midtime.stores.postgresql_pitr.programs import find_backup_client
from midtime.stores.postgresql_pitr.restoring import PostgresqlHistory
from midtime.stores.postgresql_pitr.wal import Span, format_lsn

log = logging.getLogger(__name__)


class PostgresqlPitrStore(PostgresqlHistory):
    """A self-managed PostgreSQL server that archives its WAL."""

    def questions(self) -> Iterator[Question]:
        """All that a restore point needs, and a base backup."""
        yield from super().questions()
        yield "keeps a history", partial(self._ask, checks.check_primary)
        yield "lets us mark it", partial(self._ask, checks.check_rights)
        yield "archives it", partial(self._ask, checks.check_archiver)
        yield "has an archive", partial(self._ask, lambda session: checks.check_archive(session, self.archive))
        yield "has client tools", partial(self._ask, self._check_tools)
        yield "has a base", partial(self._ask, self._check_base)

    def _check_tools(self, session: Session) -> str:
        client = find_backup_client(session.info.server_version, folder=self.spec.client_path)
        method, _ = compression.choose(self.spec.compression, auto=AUTO)
        return f"{client.path} {client.version_text}, compression {method}"

    def _check_base(self, session: Session) -> str:
        base = usable(self.bases, checks.identity(session), self.archive.sizes(), log.info)
        if base:
            return f"{base.id}, of {base.taken_at:%Y-%m-%d %H:%M} UTC"
        return f"none yet: the next backup takes one before its pause, of about {self._cluster_size(session):,} bytes"

    @contextmanager
    def arm(self) -> Iterator[ArmedPoint]:
        """A base from which the point will be reached; where there is none, one is taken first, before any pause (ADR 0016)."""
        with self._connect() as session:
            checks.check_primary(session)
            base = usable(self.bases, checks.identity(session), self.archive.sizes(), log.info) or self._take(session, log.info)
        with self._connect() as session:
            yield ArmedPoint(session, base)

    def _take(self, session: Session, say: Say) -> Base:
        client = find_backup_client(session.info.server_version, folder=self.spec.client_path)
        base = take(self.bases, session, Request(client, self.spec.compression), say)
        found = self.archive.restorable(span_of(base))
        if not found.ready:
            raise CopyError(f"a base was taken, but {found.detail}", fix="see what archive_command does, and whether wal.archive is right")
        return base

    @contextmanager
    def capture(self) -> Iterator[Point]:
        """A restore point, at once."""
        with self.arm() as armed:
            yield armed.fix()

    def copy(self, capture: Point, shelf: Shelf, say: Say) -> StoreBackup:
        """Write down what was marked; take a new base for later points when the one that there is has grown old."""
        started = time.monotonic()
        span = self._span(capture)
        details = {
            "point": capture.name,
            "lsn": format_lsn(capture.lsn),
            "wal": span.to_dict(),
            "system_identifier": capture.base.details["system_identifier"],
            "database": self._database,
            REFERENCE: capture.base.reference,
        }
        with new_artifact(shelf.folder, f"{shelf.prefix}/point.json") as writer:
            writer.write(json.dumps(details, indent=2).encode() + b"\n")
        say(
            f"restore point {capture.name} at {format_lsn(capture.lsn)}, {len(span)} WAL segments behind the start of base {capture.base.id}"
        )
        with self._connect() as session:
            version = version_text(session)
            self._renew(session, capture.base, say)
        return StoreBackup(
            store=self.name,
            engine=self.spec.engine,
            method=self.spec.method,
            midtime=capture.midtime,
            server=version,
            client=capture.base.client,
            seconds=round(time.monotonic() - started, 3),
            artifacts=(writer.artifact,),
            tables=(),
            details=details,
        )

    def _span(self, point: Point) -> Span:
        base = span_of(point.base)
        span = Span(base.timeline, base.start, point.lsn, base.segment_size)
        if point.timeline != base.timeline or point.lsn < base.end or span.name(span.last) != point.segment:
            raise CopyError(
                f"restore point {point.name} in {point.segment} cannot be reached from base {point.base.id}: the server was replaced meanwhile",
                fix="run the backup again",
            )
        return span

    def _renew(self, session: Session, base: Base, say: Say) -> None:
        if self.spec.wal is None or utc_now() - base.taken_at < self.spec.wal.base_backup_every:
            return
        try:
            self._take(session, say)
        except MidtimeError as error:  # this restore point has its base; the next backup tries again
            log.warning("Base %s is old, and no new one could be taken: %s", base.id, error)

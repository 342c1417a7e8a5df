"""What a server must be able to do for a restore to a point of its history: asked before anything is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, Error, connect, conninfo, pq

from midtime.errors import CopyError, StoreAccessError
from midtime.stores.postgresql_pitr.archive import Archive
from midtime.stores.postgresql_pitr.wal import parse_lsn, segment_name, timeline_of

Session = Connection[tuple[Any, ...]]
Answer = Callable[[Session], str]
RECOVERY_SETTINGS = ("max_connections", "max_prepared_transactions", "max_locks_per_transaction", "max_worker_processes")
"""Which a recovered server must not have less of than the one that wrote the WAL."""
READING_SETTINGS = ("TimeZone", "DateStyle", "IntervalStyle", "default_text_search_config")
"""By which a query may find something else."""
_FUNCTIONS = ("pg_create_restore_point(text)", "pg_switch_wal()")


@dataclass(frozen=True, slots=True)
class Identity:
    """Which cluster this is, and on which timeline it writes now."""

    system: str
    timeline: int
    position: int
    segment_size: int

    @property
    def previous_segment(self) -> str | None:
        """The newest that must have been archived, or be about to; None at the very beginning."""
        number = self.position // self.segment_size - 1
        return segment_name(self.timeline, number, self.segment_size) if number > 0 else None


def identity(session: Session) -> Identity:
    """Ask for the cluster's identity and position."""
    query = """
        SELECT (SELECT system_identifier::text FROM pg_control_system()), pg_walfile_name(lsn), lsn::text,
            (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size')
        FROM (SELECT pg_current_wal_insert_lsn() AS lsn) AS now"""
    row = session.execute(query).fetchone()
    if row is None:
        raise CopyError("the server does not say which cluster it is", fix="run the backup again")
    return Identity(row[0], timeline_of(row[1]), parse_lsn(row[2]), row[3])


def settings(session: Session) -> dict[str, str]:
    """What a restored server is given of the original's settings."""
    return {name: _setting(session, name) for name in (*RECOVERY_SETTINGS, *READING_SETTINGS)}


def check_primary(session: Session) -> str:
    """Primary, with WAL that can be archived, and archiving switched on; its data in one folder.

    :raises StoreAccessError: it is not so
    """
    if _one(session, "SELECT pg_is_in_recovery()"):
        raise StoreAccessError("it is a standby, and only a primary makes restore points", fix="name the primary in the connection")
    level, mode = _setting(session, "wal_level"), _setting(session, "archive_mode")
    if level == "minimal":
        raise StoreAccessError("wal_level is minimal", fix="set it to replica or logical, and restart the server")
    if mode == "off":
        raise StoreAccessError("archive_mode is off", fix="set archive_mode = on and an archive_command, and restart the server")
    command = _setting(session, "archive_command") or _setting(session, "archive_library")
    if not command or command == "(disabled)":
        raise StoreAccessError("it has neither archive_command nor archive_library", fix="set one of them to fill wal.archive")
    spaces = [name for (name,) in session.execute("SELECT spcname FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')")]
    if spaces:
        raise StoreAccessError(f"it has tablespaces of its own: {', '.join(spaces)}", fix="move what is in them, or use method: dump")
    return f"wal_level {level}, archive_mode {mode}"


def check_rights(session: Session) -> str:
    """Restore points, switches, and base backups, which go over a replication connection.

    :raises StoreAccessError: the login lacks a right, or ``pg_hba.conf`` keeps it from replicating
    """
    lacking = [name for name in _FUNCTIONS if not _one(session, "SELECT has_function_privilege(%s, 'EXECUTE')", name)]
    if lacking:
        raise StoreAccessError(
            f"{session.info.user} may not call {' and '.join(lacking)}",
            fix="; ".join(f'GRANT EXECUTE ON FUNCTION {name} TO "{session.info.user}"' for name in lacking),
        )
    if not _one(session, "SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user"):
        raise StoreAccessError(f"{session.info.user} may not take base backups", fix=f'ALTER ROLE "{session.info.user}" REPLICATION')
    _try_replication(session)
    return f"{session.info.user} may make restore points and take base backups"


def _try_replication(session: Session) -> None:
    parameters: dict[str, Any] = {**session.info.get_parameters(), "host": session.info.host, "port": session.info.port}
    try:
        target = conninfo.make_conninfo(**{**parameters, "password": session.info.password, "replication": "true"})
        with connect(target, autocommit=True) as walsender:
            answer = walsender.pgconn.exec_(b"IDENTIFY_SYSTEM")
            if answer.status != pq.ExecStatus.TUPLES_OK:
                raise StoreAccessError(f"no replication connection: {answer.get_error_message()}", fix="see the server's log")
    except Error as error:
        raise StoreAccessError(
            f"{session.info.user} is refused a replication connection: {str(error).strip()}",
            fix='add a line "host replication <login> <worker>" to pg_hba.conf; base backups need it',
        ) from error


def check_archiver(session: Session) -> str:
    """The last thing that its archiver did was no failure.

    :raises CopyError: it was
    """
    row = session.execute(
        "SELECT last_archived_wal, last_archived_time, last_failed_wal, last_failed_time FROM pg_stat_archiver"
    ).fetchone()
    if row is None:
        raise CopyError("the server does not say how its archiver is", fix="see the server's log")
    done, done_at, failed, failed_at = row
    if failed_at and (done_at is None or failed_at > done_at):
        raise CopyError(
            f"its archiver failed at {failed} ({failed_at:%Y-%m-%d %H:%M:%S %Z}), and has not succeeded since",
            fix="see the server's log for what archive_command said",
        )
    return f"last archived: {done}" if done else "nothing archived yet since its statistics begin"


def check_archive(session: Session, archive: Archive) -> str:
    """What the server archives is where we look: the newest segment that it says to have archived is there, and whole.

    :raises StoreAccessError: it is not
    """
    now, sizes = identity(session), archive.sizes()
    done = _one(session, "SELECT last_archived_wal FROM pg_stat_archiver WHERE last_archived_wal ~ '^[0-9A-F]{24}$'")
    wanted = done or now.previous_segment
    if wanted is None:
        raise StoreAccessError(
            "it has not finished a WAL segment yet, so nobody can tell whether its archive works", fix="SELECT pg_switch_wal(), then wait"
        )
    if wanted not in sizes:
        raise StoreAccessError(
            f"WAL segment {wanted}, which the server has archived, is not in {archive.url}",
            fix="correct wal.archive, or archive_command: both must name the same folder",
        )
    if archive.plain and sizes[wanted] != now.segment_size:
        raise StoreAccessError(
            f"WAL segment {wanted} has {sizes[wanted]} bytes in {archive.url}, not {now.segment_size}",
            fix="archive segments as they are, or set wal.restore_command to what can read them",
        )
    return f"{archive.url} holds {wanted}"


def _setting(session: Session, name: str) -> str:
    return str(_one(session, "SELECT current_setting(%s, true)", name) or "")


def _one(session: Session, query: str, *parameters: Any) -> Any:
    row = session.execute(query.encode(), parameters or None).fetchone()
    return row[0] if row else None

"""Everything that could spoil a replay of the binary log, asked before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import cast

from mysql.connector import Error

from midtime.catalog import objects
from midtime.errors import StoreAccessError
from midtime.model.durations import format_duration
from midtime.model.topology import Topology
from midtime.model.topology.relational import Mysql
from midtime.stores.mysql import grants
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql_pitr.capture import Status, status
from midtime.stores.mysql_pitr.fetching import ServerLog
from midtime.stores.mysql_pitr.reading import LogFile
from midtime.stores.mysql_pitr.replaying import spare_log

_WANTED = {
    "log_bin": ("ON", "start the server with log_bin"),
    "binlog_format": ("ROW", "SET GLOBAL binlog_format = ROW, here and in its configuration"),
    "binlog_row_image": ("FULL", "SET GLOBAL binlog_row_image = FULL, here and in its configuration"),
    "binlog_checksum": ("CRC32", "SET GLOBAL binlog_checksum = CRC32, here and in its configuration"),
    "encrypt_binlog": ("OFF", "only binary logs that are not encrypted are supported"),
    "binlog_encryption": ("OFF", "only binary logs that are not encrypted are supported"),
    "log_bin_compress": ("OFF", "SET GLOBAL log_bin_compress = OFF, here and in its configuration"),
    "binlog_transaction_compression": ("OFF", "SET GLOBAL binlog_transaction_compression = OFF, here and in its configuration"),
    "binlog_row_value_options": ("", "SET GLOBAL binlog_row_value_options = '', here and in its configuration"),
}
"""Variable -> what it must be where the server has it, and what to do."""
KEPT_AT_LEAST = timedelta(days=1)
_LOGGING_REPLICA = ("log_slave_updates", "log_replica_updates")
_FOLDED = 2
_EXPIRY = ("binlog_expire_logs_seconds", "expire_logs_days")
_AROUND = 1 << 20
"""What a statement has beside the longest event."""
_DENIED, _NOT_GRANTED = 1227, 1045


def check_log(session: Session, topology: Topology, store: str) -> str:
    """Written as rows, whole and readable, for all of our databases."""
    found = {str(name): str(value) for name, value in session.rows("SHOW GLOBAL VARIABLES WHERE variable_name IN " + _list(_WANTED))}
    for name, (wanted, fix) in _WANTED.items():
        if (value := found.get(name)) is not None and value.upper() != wanted:
            raise StoreAccessError(f"{session.where} has {name} = {value}, and needs {wanted or 'none of it'}", fix=fix)
    if session.value("SELECT @@global.lower_case_table_names") == _FOLDED:
        raise StoreAccessError(f"{session.where} logs other names than it lists (lower_case_table_names = 2)", fix="use method: dump")
    if session.value("SELECT @@session.sql_log_bin") != 1:
        raise StoreAccessError(f"{session.where} does not log the sessions of this login", fix="leave sql_log_bin = ON")
    said = status(session)
    _check_filters(session, said, topology.all_namespaces(store))
    _check_replica(session)
    return f"at {said.position}"


def _check_filters(session: Session, said: Status, databases: Sequence[str]) -> None:
    left_out = [name for name in databases if name in said.ignored or (said.only and name not in said.only)]
    if left_out:
        raise StoreAccessError(
            f"{session.where} leaves {', '.join(left_out)} out of its binary log", fix="remove binlog_do_db and binlog_ignore_db"
        )


def _check_replica(session: Session) -> None:
    """What a replica gets from its source may not be in its own log."""
    if any(value == "ON" for _, value in session.rows("SHOW GLOBAL VARIABLES WHERE variable_name IN " + _list(_LOGGING_REPLICA))):
        return
    with suppress(Error):  # this login may not ask, which a login for backups of a source need not
        if session.rows("SHOW ALL SLAVES STATUS" if session.mariadb else "SHOW REPLICA STATUS"):
            raise StoreAccessError(
                f"{session.where} is a replica that does not log what it replicates",
                fix="start it with log_slave_updates, or back up its source",
            )


def check_reading(session: Session, topology: Topology, store: str) -> str:
    """Whether this login may read the log as a replica does, lock what a full dump of MySQL needs locked, and begin a file for an archive.

    :param session: a pure one, for nothing else afterwards
    """
    locks, begins = not session.mariadb, bool(cast(Mysql, topology.store(store)).binlog.archive)
    if (locks or begins) and grants.lacking(grants.read(session), "", {"RELOAD"}):
        why = "no full dump can tell its position" if locks else "no file of its log can be completed for the archive"
        raise StoreAccessError(f"the login lacks RELOAD, so {why}", fix="GRANT RELOAD ON *.* TO it")
    session.rows("SHOW BINARY LOGS")
    position = status(session).position
    try:
        for _, raws in ServerLog(session, position).files():
            next(LogFile(position).events(raws))
            break
    except Error as error:
        if error.errno in (_DENIED, _NOT_GRANTED):
            raise StoreAccessError(
                f"the login may not read the binary log: {error}", fix="GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO it"
            ) from error
        raise
    return f"from {position} on"


def check_kept(session: Session, *_: object) -> str:
    """Only what the server still has when the next backup comes can be added to what is kept; otherwise that one begins anew."""
    found = {str(name): float(value) for name, value in session.rows("SHOW GLOBAL VARIABLES WHERE variable_name IN " + _list(_EXPIRY))}
    days = found.get("expire_logs_days", 0)
    seconds = found.get("binlog_expire_logs_seconds", 0) or days * 86400
    if not seconds:
        return "until somebody removes it"
    if (kept := timedelta(seconds=seconds)) < KEPT_AT_LEAST:
        raise StoreAccessError(
            f"{session.where} keeps its binary log for {format_duration(kept)} only, so each backup might have to begin with a full dump",
            fix=f"SET GLOBAL binlog_expire_logs_seconds = {int(KEPT_AT_LEAST.total_seconds())} or more, or let it be until the log is longer",
        )
    return f"for {format_duration(kept)}"


def check_archive(url: str | None) -> str:
    """The folder that keeps the log, if the topology names one."""
    if url is None:
        return "with the restore points"
    folder = objects.open_destination(url)
    if not objects.names(folder):
        raise StoreAccessError(f"the archive {url} is empty or not there", fix="let it receive the server's binary logs, then try again")
    return f"by {url}"


def check_replaying(session: Session, longest: int) -> str:
    """Whether this login may execute events, and the server takes the longest and refuses what does not fit."""
    try:
        spare_log(session)
        session.rows("BINLOG 'AAAA'")
    except Error as error:
        if error.errno in (_DENIED, _NOT_GRANTED):
            right = "BINLOG REPLAY, BINLOG ADMIN" if session.mariadb else "REPLICATION_APPLIER"
            raise StoreAccessError(f"the login may not replay a binary log: {error}", fix=f"GRANT {right} ON *.* TO it") from error
    if session.mariadb and session.value("SELECT @@global.slave_exec_mode") != "STRICT":
        raise StoreAccessError(
            f"{session.where} would pass over changes that do not fit (slave_exec_mode)", fix="SET GLOBAL slave_exec_mode = STRICT"
        )
    needed, packet = longest * 4 // 3 + _AROUND, int(session.value("SELECT @@global.max_allowed_packet"))
    if packet < needed:
        raise StoreAccessError(
            f"the binary log has an event that takes {needed} bytes in a statement, and {session.where} takes {packet} (max_allowed_packet)",
            fix=f"SET GLOBAL max_allowed_packet = {-(-needed // _AROUND) * _AROUND} for the time of the restore",
        )
    return f"{longest} bytes at most"


def _list(names: Iterable[str]) -> str:
    return f"({', '.join(repr(name) for name in names)})"

"""The databases of a server for MySQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from midtime.clocks import read_sql
from midtime.errors import StoreAccessError, StoreStatementError
from midtime.model.clock_readings import ClockReading
from midtime.model.restore_point import StoreBackup
from midtime.stores.fences import SECONDS, Fence
from midtime.stores.managed_sql.data import At, Data
from midtime.stores.mysql import grants
from midtime.stores.mysql.checks import check_namespaces
from midtime.stores.mysql.connections import Session, connect
from midtime.stores.mysql.fences import fence_of
from midtime.stores.mysql.restored import RestoredDatabases

_READ_ONLY = "SELECT @@GLOBAL.read_only, @@GLOBAL.innodb_read_only"
_NAMES = "SELECT schema_name FROM information_schema.schemata WHERE schema_name IN ({})"


class RestoredMysql(RestoredDatabases):
    """A restored server's databases: what is in them is what the service says was in them then."""

    def schema_differences(self) -> Sequence[str]:
        """Namespaces that are not there, or of which the login may not see all."""
        found = _present(self.session, list(self.databases))
        missing = [f"database {name}: missing" for name in self.databases if name not in found]
        there = [name for name in self.databases if name in found]
        return missing + [f"database {name}: the login may not read all of it" for name in _hidden(self.session, there)]


class MysqlData(Data):
    """Databases, each of which is a namespace."""

    conn_type = "mysql"

    @property
    def database(self) -> str:
        """None: each namespace is one."""
        return ""

    def check(self) -> str:
        """Databases and Coordinator; that the login sees all; and that it is no replica, which lags behind what was committed."""
        with connect(self.conn_id) as session:
            if any(str(each) not in ("0", "OFF") for each in session.rows(_READ_ONLY)[0]):
                raise StoreStatementError(
                    f"{session.where} is read-only: a replica, or a reader",
                    fix="let `data_conn_id` lead to the primary server, to its writer",
                )
            said = check_namespaces(session, self.topology, self.store)
            if hidden := _hidden(session, self.namespaces):
                raise StoreAccessError(
                    f"the login of {self.conn_id!r} may not read all of {', '.join(hidden)}: what it may not see would be called good unread",
                    fix="grant it SELECT on all of each database",
                )
            return f"{session.where}, {session.family} {session.version_text}; {said}"

    def read_clock(self) -> ClockReading:
        """By ``SYSDATE(6)``, in a session whose time zone is UTC."""
        with connect(self.conn_id) as session:
            _hurry(session)
            return read_sql(self.store, lambda: _instant(session))

    @contextmanager
    def fence(self) -> Iterator[Fence]:
        """A session on the server; the rows are in the first of the namespaces."""
        with connect(self.conn_id) as session:
            _hurry(session)
            session.rows(f"SET SESSION innodb_lock_wait_timeout = {SECONDS}, lock_wait_timeout = {SECONDS}")
            yield fence_of(session, self.conn_id, self.namespaces)

    def reach(self, at: At) -> None:
        """One query."""
        with connect(self.conn_id, host=at) as session:
            session.value("SELECT 1")

    @contextmanager
    def restored(self, backup: StoreBackup, at: At) -> Iterator[RestoredMysql]:
        """Two sessions: records are streamed on one of their own. Databases keep their names on a server of their own."""
        names = {name: name for name in self.namespaces}
        with connect(self.conn_id, host=at) as session, connect(self.conn_id, host=at) as streaming:
            yield RestoredMysql(self.topology, backup, names, session=session, streaming=streaming)


def _hurry(session: Session) -> None:
    limit = f"max_statement_time = {SECONDS}" if session.mariadb else f"max_execution_time = {1000 * SECONDS}"
    session.rows(f"SET SESSION {limit}")


def _present(session: Session, names: Sequence[str]) -> set[str]:
    return {row[0] for row in session.about(_NAMES, names)}


def _hidden(session: Session, names: Sequence[str]) -> list[str]:
    """Those on which the login has no SELECT as a whole: a table that it may not read is not refused but missing from the catalog."""
    granted = grants.read(session)
    return [name for name in names if grants.lacking(granted, name, {"SELECT"})]


def _instant(session: Session) -> datetime:
    found = session.value("SELECT SYSDATE(6)")
    if not isinstance(found, datetime):
        raise ValueError(f"it says {found!r}")
    return found.replace(tzinfo=UTC)

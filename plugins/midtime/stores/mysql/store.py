"""The MySQL and MariaDB store: preflight, capture, copy, restore, place, discard."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import cast

from midtime.catalog.artifacts import download, new_artifact
from midtime.errors import CopyError
from midtime.model.instants import run_suffix
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cloud import AnyCloudDatabase, CloudDatabase
from midtime.model.topology.relational import Mysql
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores import compression
from midtime.stores.base import Question, Say, Shelf, Target
from midtime.stores.copied import CopiedStore
from midtime.stores.fences import SECONDS, Fence
from midtime.stores.mysql import content, copying, databases, placing, programs, tools
from midtime.stores.mysql.capture import ArmedDump, Snapshot, armed_dump
from midtime.stores.mysql.checks import (
    RestoreChecks,
    check_encrypted,
    check_grants,
    check_namespaces,
    check_programs,
    check_rights,
    check_server,
    check_tables,
    movable_programs,
)
from midtime.stores.mysql.connections import Session, connect
from midtime.stores.mysql.fences import fence_of
from midtime.stores.mysql.programs import Program
from midtime.stores.mysql.restored import RestoredDatabases
from midtime.stores.naming import WORKING_PREFIX, where_to
from midtime.stores.staging import staging, staging_root

log = logging.getLogger(__name__)

DUMP = "dump.sql"


class MysqlStore(CopiedStore):
    """The databases of one server that are ScalarDB's namespaces, dumped together."""

    positioned = False
    """Whether dumps say where their snapshots are in the binary log."""

    def __init__(self, topology: Topology, name: str) -> None:
        super().__init__(topology, name)
        self.spec = cast("Mysql | AnyCloudDatabase", topology.store(name))
        self.databases = topology.all_namespaces(name)

    # -- backup ---------------------------------------------------------------------------------------------------------------------

    def questions(self) -> Iterator[Question]:
        """Connection, version, namespaces, engines, privileges, client tools. No staging: nothing stands on disk."""
        yield "is reachable", lambda: self._asked(check_server)
        if isinstance(self.spec, CloudDatabase):
            yield "is reached over TLS", lambda: self._asked(check_encrypted)
        yield "has every namespace", lambda: self._asked(check_namespaces)
        yield "grants us", lambda: self._asked(check_grants)
        yield "has only tables that one transaction can read", lambda: self._asked(check_tables)
        yield "lets us read views, triggers and routines", lambda: self._asked(check_programs)
        yield "has client tools", self._check_tools

    def _asked(self, question: Callable[[Session, Topology, str], str]) -> str:
        with connect(self.spec.data_connection) as session:
            return question(session, self.topology, self.name)

    def _check_tools(self) -> str:
        with connect(self.spec.data_connection) as session:
            clients = self.clients(session)
        method, level = compression.choose(self.spec.compression)
        return f"{clients.version_text} in {clients.dump.parent}, compression {method}{f':{level}' if level else ''}"

    @contextmanager
    def arm(self) -> Iterator[ArmedDump]:
        """A dump client over all namespaces, ready to open its transaction."""
        with ExitStack() as resources:
            session = resources.enter_context(connect(self.spec.data_connection))
            check_tables(session, self.topology, self.name)  # again: a table that no transaction covers is dumped without a word
            clients, waiting = self.clients(session), self.topology.pause.arm + self.topology.pause.deadline
            with armed_dump(session, clients, self.databases, resources, positioned=self.positioned, waiting=waiting) as armed:
                yield armed

    @contextmanager
    def capture(self) -> Iterator[Snapshot]:
        """The same with its transaction open, at once; nobody is paused, so a lock may be waited for."""
        with self.arm() as armed:
            yield armed.fix(tools.SILENCE)

    @contextmanager
    def fence(self) -> Iterator[Fence]:
        """A session on the server; the rows are in the first of the databases that are dumped."""
        with connect(self.spec.data_connection) as session:
            session.rows(f"SET SESSION innodb_lock_wait_timeout = {SECONDS}, lock_wait_timeout = {SECONDS}")
            yield fence_of(session, self.spec.data_connection, self.databases)

    def copy(self, capture: Snapshot, shelf: Shelf, say: Say) -> StoreBackup:
        """Read the dump to its end, and prove that it holds every table."""
        started = time.monotonic()
        method, level = compression.choose(self.spec.compression)
        name = f"{shelf.prefix}/{DUMP}{compression.suffix(method)}"
        with new_artifact(shelf.folder, name) as writer:
            scanner = copying.copy(capture, writer, method=method, level=level, say=say)
        if scanner.longest > capture.packet:
            told = f"the longest row takes {scanner.longest} bytes in a statement: more than max_allowed_packet ({capture.packet}) of the server"
            log.warning("%s; a restore needs a server that takes it", told)
            say(f"{told}; a restore needs a server that takes it")
        tables = content.tallied(scanner, {name: name for name in self.databases})
        found = {table.name for table in tables} | {".".join(each) for each in scanner.sequences}
        if missing := sorted((capture.details["shapes"].keys() | {".".join(each) for each in capture.sequences}) - found):
            raise CopyError(f"the dump lacks {', '.join(missing[:10])} ({len(missing)} tables)", fix="run the backup again")
        return StoreBackup(
            store=self.name,
            engine=self.spec.engine,
            method=self.spec.method,
            midtime=capture.midtime,
            server=capture.server,
            client=capture.client,
            seconds=round(time.monotonic() - started, 3),
            artifacts=(writer.artifact,),
            tables=tables,
            details={**capture.details, "compression": method, "longest_row": scanner.longest},
        )

    # -- restore --------------------------------------------------------------------------------------------------------------------

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """Patterns, in which ``*`` stands for each database's name.

        ``to`` names a connection (on its server the databases get their own names), or what stands before the names on the store's server.
        """
        conn_id, name = (
            where_to(wish, store=self.name, conn_id=self.spec.data_connection, drill=drill) if wish else (self.spec.data_connection, None)
        )
        working = f"{WORKING_PREFIX}{run}_{run_suffix(self.name)[:4]}_*"
        if drill:
            return Target(self.name, conn_id, working, working)
        final = _pattern(name or (wish.prefix if wish else None))
        if in_place:
            final = final or "*"
            return Target(self.name, conn_id, working, final, f"{final}_before_{run}")
        return Target(self.name, conn_id, working, final or (f"*_restored_{run}" if conn_id == self.spec.data_connection else "*"))

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """Target server, its rights, its names, views and routines, client tools and staging space."""
        return RestoreChecks(self, target, backup).questions()

    def drill_questions(self) -> Iterator[Question]:
        """The target's connection and its right to make databases."""
        wish = self.topology.drill.targets.get(self.name)
        yield "can be drilled", lambda: check_rights(self.target(wish, run="000000", drill=True, in_place=False))

    def restore(
        self,
        backup: StoreBackup,
        shelf: Shelf,
        target: Target,
        say: Say,
        then: Callable[[Session, Mapping[str, str]], None] = lambda *_: None,
    ) -> None:
        """Fetch and check the artifact first, then let a client execute it in new databases under working names.

        :param then: is called when their tables are there and their programs are not yet, with original name -> working name
        """
        names = databases.named(target.working, _originals(backup))
        with staging(staging_root(self.spec.staging), needed=backup.size) as folder:
            download(backup.artifacts, shelf.folder, shelf.prefix, folder)
            say(f"{len(backup.artifacts)} artifact fetched, its SHA-256 as in the manifest")
            with connect(target.conn_id) as session:
                databases.drop(session, names.values())
                databases.create(session, backup.details["databases"], names)
                method = str(backup.details["compression"])
                copying.load(folder / f"{DUMP}{compression.suffix(method)}", method, session, self.clients(session), names)
                then(session, names)
                self._create_programs(session, backup, names, live=False, say=say)  # what cannot be created is known before anything moves

    @contextmanager
    def restored(
        self, backup: StoreBackup, target: Target, kind: type[RestoredDatabases] = RestoredDatabases
    ) -> Iterator[RestoredDatabases]:
        """The databases under their working names."""
        names = databases.named(target.working, _originals(backup))
        with connect(target.conn_id) as session, connect(target.conn_id) as streaming:
            yield kind(self.topology, backup, names, clients=self.clients(session), session=session, streaming=streaming)

    def place(self, backup: StoreBackup, target: Target) -> None:
        """Rename all tables into place at once; what was there is kept in databases of other names.

        Views, triggers, routines and events that are not there are created then; live ones stay as they are.
        Events run only where live tables are replaced: those of any copy, under other names or on another server, are disabled.
        """
        if target.final == target.working:
            return
        names = _names(backup, target)
        with connect(target.conn_id) as session:
            placing.place(
                session,
                names,
                backup.details["databases"],
                lambda before: self._create_programs(session, backup, names.final, live=bool(names.aside), before=before),
            )

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """The same tables back, in one statement; the programs and databases that :meth:`place` created are removed again."""
        if target.final != target.working:
            with connect(target.conn_id) as session:
                placing.put_back(session, _names(backup, target))

    def _create_programs(
        self,
        session: Session,
        backup: StoreBackup,
        names: Mapping[str, str],
        *,
        live: bool,
        say: Say | None = None,
        before: Callable[[Sequence[Program]], object] = lambda _: None,
    ) -> None:
        there = programs.names(session, list(names.values()))
        moved = [program.moved(names, live=live) for program in movable_programs(backup, names)]
        wanted = [program for program in moved if (program.kind, program.database, program.name) not in there]
        before(wanted)
        without_definer, failed = programs.create(session, wanted)
        for program, reason in failed:
            log.warning("%s is LEFT OUT, it cannot be created: %s", program.label, reason)
            if say:
                say(f"{program.label} is LEFT OUT, it cannot be created: {reason}")
        for program in without_definer:
            log.warning("%s was created with the login of the connection as its definer: the original's is not to be had", program.label)

    def discard(self, target: Target) -> None:
        """Drop the databases under working names, and never others."""
        with connect(target.conn_id) as session:
            databases.drop(session, databases.beginning_with(session, target.working.removesuffix("*")))

    # -- shared ---------------------------------------------------------------------------------------------------------------------

    def clients(self, session: Session) -> tools.Clients:
        """The tools for the session's server."""
        return tools.find_clients(mariadb=session.mariadb, server=session.version, wanted=self.spec.client, folder=self.spec.client_path)


def _names(backup: StoreBackup, target: Target) -> placing.Names:
    originals = _originals(backup)
    aside = databases.named(target.aside, originals) if target.aside else {}
    return placing.Names(databases.named(target.working, originals), databases.named(target.final, originals), aside)


def _originals(backup: StoreBackup) -> list[str]:
    return [each["name"] for each in backup.details["databases"]]


def _pattern(name: str | None) -> str | None:
    """``copy_*`` for ``copy``; a person may write the pattern, too."""
    if name is None or "*" in name:
        return name
    return f"{name}*" if name.endswith("_") else f"{name}_*"

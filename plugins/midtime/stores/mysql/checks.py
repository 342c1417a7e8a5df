"""Everything that could spoil a backup or a restore of MySQL and MariaDB, asked before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from midtime.errors import StoreAccessError, TargetExistsError, ToolError
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cloud import AnyCloudDatabase
from midtime.model.topology.relational import Mysql
from midtime.model.words import counted
from midtime.stores.base import WILL_BE, Question, Target
from midtime.stores.mysql import content, databases, grants, programs
from midtime.stores.mysql.connections import Session, connect
from midtime.stores.mysql.programs import Program
from midtime.stores.mysql.records import MysqlCoordinator
from midtime.stores.staging import room_for, staging_root

if TYPE_CHECKING:
    from midtime.stores.mysql.store import MysqlStore

# MariaDB 10.6 is the first whose RENAME TABLE of many tables is all or nothing also when the server dies.
OLDEST = {"MariaDB": (10, 6), "MySQL": (8, 0)}
NEEDED = {"SELECT", "SHOW VIEW", "TRIGGER", "EVENT", "EXECUTE"}
"""On every namespace's database as a whole."""
PLACING = {"ALTER", "CREATE", "DROP", "INSERT", "SELECT"}
"""On every database that tables are renamed into or out of."""
SMALLEST_PACKET = 1 << 20
"""What a dump client's statements of many rows keep below."""
_GENERATED = (
    "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema IN ({}) AND extra LIKE '%% GENERATED'"
)
_FLOATS = "SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema IN ({}) AND data_type = 'float'"


def check_server(session: Session, *_: object) -> str:
    """Version and address."""
    if session.version < OLDEST[session.family]:
        oldest = ".".join(map(str, OLDEST[session.family]))
        raise StoreAccessError(
            f"{session.where} is {session.family} {session.version_text}", fix=f"{oldest} is the oldest that is supported"
        )
    return f"{session.where}, {session.family} {session.version_text}"


def check_namespaces(session: Session, topology: Topology, store: str) -> str:
    """Each namespace is a database, and the Coordinator's has its table."""
    wanted = topology.all_namespaces(store)
    found = {each["name"] for each in content.described(session, wanted)}
    if missing := [name for name in wanted if name not in found]:
        lower = " (the server writes all names in small letters)" if content.folds_names(session) else ""
        raise StoreAccessError(
            f"{session.where} has no database {', '.join(missing)}{lower}, or the login may not see it",
            fix="correct namespaces, coordinators or metadata_namespace of the topology, or the login's privileges",
        )
    for namespace in topology.coordinator_namespaces(store):
        if not MysqlCoordinator(session, store, namespace, namespace).exists():
            raise StoreAccessError(f"{session.where} has no Coordinator table {namespace}.state", fix="correct scalardb.coordinators")
    return ", ".join(wanted)


def check_grants(session: Session, topology: Topology, store: str) -> str:
    """A server hides what a login may not see: a table without SELECT is not refused but missing."""
    granted = grants.read(session)
    for name in topology.all_namespaces(store):
        if lacking := sorted(grants.lacking(granted, name, NEEDED)):
            raise StoreAccessError(
                f"the login lacks {', '.join(lacking)} on all of database {name!r}, so what it may not see would be missing from the backup",
                fix=f"GRANT {', '.join(sorted(NEEDED))} ON {programs.quoted(name)}.* TO it",
            )
    return ", ".join(sorted(NEEDED)).lower()


def check_tables(session: Session, topology: Topology, store: str) -> str:
    """Only InnoDB is in a transaction's snapshot; and nothing may be there that the dump client would damage or leave out without a word."""
    names = topology.all_namespaces(store)
    found = content.base_tables(content.tables(session, names))
    if others := [f"{table.full_name} ({table.engine})" for table in found if (table.engine or "").lower() != "innodb"]:
        raise StoreAccessError(
            f"these tables are not InnoDB, so no transaction can read them at one instant: {', '.join(others[:10])}",
            fix="ALTER TABLE ... ENGINE=InnoDB each of them, or move them out of ScalarDB's databases",
        )
    if versioned := [table.full_name for table in found if table.type == "SYSTEM VERSIONED"]:
        raise StoreAccessError(
            f"a dump would lose the history of the system-versioned {', '.join(versioned[:10])}",
            fix="move them out of ScalarDB's databases",
        )
    if floats := [".".join(row) for row in session.about(_FLOATS, names)]:
        raise StoreAccessError(
            f"the dump client would round the FLOAT columns {', '.join(floats[:10])} to six digits",
            fix="make them DOUBLE (ScalarDB's own tables have no FLOAT columns)",
        )
    spec = cast("Mysql | AnyCloudDatabase", topology.store(store))
    if not session.mariadb and spec.client == "mariadb-dump" and (columns := [".".join(row) for row in session.about(_GENERATED, names)]):
        raise StoreAccessError(
            f"MariaDB's client would write values for the generated columns {', '.join(columns[:10])}, which MySQL does not take back",
            fix="set client: mysqldump",
        )
    if keys := databases.leaving(session, names):
        raise StoreAccessError(
            f"foreign keys point to databases that are not backed up: {', '.join(keys[:10])}",
            fix="drop them (ScalarDB's own tables have none): a copy's would hold rows of the live ones",
        )
    return f"{counted(len(found), 'table')}, all InnoDB"


def check_programs(session: Session, topology: Topology, store: str) -> str:
    """Views, triggers, routines and events with their text."""
    found = programs.read(session, topology.all_namespaces(store))
    if hidden := [program.label for program in found if not program.statement]:
        raise StoreAccessError(
            f"the login may not read the text of {', '.join(hidden[:10])}",
            fix="GRANT SHOW CREATE ROUTINE (MariaDB) or SHOW_ROUTINE (MySQL)",
        )
    if bad := programs.broken(session, found):
        return f"these do not work now, so a restore will leave them out: {', '.join(program.label for program in bad)}"
    return ", ".join(program.label for program in found[:5]) or "there are none"


def check_encrypted(session: Session, *_: object) -> str:
    """Whether what a managed service sends us is encrypted on its way; the dump client does as the driver does."""
    if session.encrypted:
        return "TLS"
    if session.login.extra.get("ssl_disabled"):
        return "NOT ENCRYPTED, as the connection says (ssl_disabled)"
    raise StoreAccessError(
        f"{session.where} was reached without TLS", fix="set ssl_ca and ssl_verify_identity in the data connection's extras"
    )


def check_rights(target: Target) -> str:
    """Whether the target's login may make and drop databases."""
    with connect(target.conn_id) as session:
        databases.probe(session, target.working.replace("*", f"probe_{uuid4().hex[:12]}"))
        return f"{session.where}, {session.family} {session.version_text}"


def movable_programs(backup: StoreBackup, names: Mapping[str, str]) -> list[Program]:
    """The programs of a backup that can be created in databases of these names."""
    tables = {table.name.partition(".")[2] for table in backup.tables}
    found = (Program.from_dict(body) for body in backup.details["programs"])
    return [program for program in found if not programs.ambiguous(program, names, tables)]


class RestoreChecks:
    """The preflight of one restore."""

    def __init__(self, store: MysqlStore, target: Target, backup: StoreBackup) -> None:
        self.store = store
        self.target = target
        self.backup = backup
        originals = [each["name"] for each in backup.details["databases"]]
        self.final = databases.named(target.final, originals)
        self.aside = databases.named(target.aside, originals) if target.aside else {}

    def questions(self) -> Iterator[Question]:
        """In the order in which they make sense."""
        yield "can be restored to", self._server
        yield "takes the longest row", self._longest_row
        yield WILL_BE, self._names
        yield "has views, triggers and routines", self._programs
        yield "has client tools", self._tools
        yield "has staging space", lambda: room_for(staging_root(self.store.spec.staging), self.backup.size)

    def _server(self) -> str:
        answer = check_rights(self.target)
        with connect(self.target.conn_id) as session:
            dumped_on_mariadb = "mariadb" in self.backup.server.lower()
            if dumped_on_mariadb != session.mariadb:
                raise StoreAccessError(
                    f"{session.where} is {session.family}, and the dump was taken on {self.backup.server}", fix="restore to the same family"
                )
            return answer + self._spelling(session)

    def _spelling(self, session: Session) -> str:
        """Azure writes names in small letters by default, RDS as they come."""
        folds = content.folds_names(session)
        tables = (table.name.partition(".")[2] for table in self.backup.tables)
        if folds and (capital := [name for name in (*self.final.values(), *tables) if name != name.lower()]):
            raise StoreAccessError(
                f"{session.where} would write {', '.join(sorted(capital)[:10])} in small letters (lower_case_table_names = 1)",
                fix="restore to a server with lower_case_table_names = 0; it is set when a server is made",
            )
        changes = self.backup.details.get("folds_names", folds) and not folds
        return ", where capital letters in names count, as they did not on the original" if changes else ""

    def _longest_row(self) -> str:
        longest = int(self.backup.details.get("longest_row", 0))
        with connect(self.target.conn_id) as session:
            packet = int(session.value("SELECT @@global.max_allowed_packet"))
            needed = max(longest + 1024, SMALLEST_PACKET)
            if packet < needed:
                raise StoreAccessError(
                    f"the dump has a statement of up to {needed} bytes, and {session.where} takes {packet} (max_allowed_packet)",
                    fix=f"SET GLOBAL max_allowed_packet = {-(-needed // SMALLEST_PACKET) * SMALLEST_PACKET} for the time of the restore",
                )
        return f"{longest} bytes of {packet}"

    def _may_place(self, session: Session) -> None:
        """A rename that is refused half-way through a run, with the products stopped, is too late."""
        if self.target.final == self.target.working:
            return
        granted = grants.read(session)
        for name in (*self.final.values(), *self.aside.values()):
            if lacking := sorted(grants.lacking(granted, name, PLACING)):
                raise StoreAccessError(
                    f"the login lacks {', '.join(lacking)} on all of database {name!r}, so nothing could be put in place",
                    fix=f"GRANT ALL ON {programs.quoted(name)}.* TO it (_ and % there are wildcards)",
                )

    def _names(self) -> str:
        with connect(self.target.conn_id) as session:
            self._may_place(session)
            live = databases.with_tables(session, self.final.values()) if self.target.final != self.target.working else []
            if live and not self.aside:
                raise TargetExistsError(
                    f"there are tables in {', '.join(live)} on the target of store {self.store.name!r}",
                    fix="choose another target, or set in_place to replace them after approval",
                )
            if kept := databases.with_tables(session, self.aside.values()):
                raise TargetExistsError(f"{', '.join(kept)} exists already", fix="remove it once nobody needs it, or start a new run")
            if reasons := databases.immovable(session, live) if live else []:
                raise StoreAccessError(
                    f"cannot replace the live tables by renaming: {'; '.join(reasons[:10])}",
                    fix="drop those for the time of the restore, or restore beside or to another server",
                )
        names = ", ".join(self.final.values())
        return f"{names}, replacing the live ones, which are kept as {', '.join(self.aside.values())}" if live else names

    def _programs(self) -> str:
        answer, refusal = self._movable(), self._trigger_refused()
        if refusal and self.target.final != self.target.working:
            raise StoreAccessError(
                f"the login may create no trigger and no function, so the copy would lack the original's: {refusal}",
                fix="set log_bin_trust_function_creators = 1 on the target for the time of the restore (its parameter group or server parameters)",
            )
        return f"{answer}; the drill leaves triggers and functions out: {refusal}" if refusal else answer

    def _trigger_refused(self) -> str:
        """What the server says to a trigger; nothing if it lets us, or if none has to be created. A managed one logs and lends no SUPER."""
        with connect(self.target.conn_id) as session:
            there = programs.names(session, list(self.final.values()))
            moved = [program.moved(self.final, live=False) for program in movable_programs(self.backup, self.final)]
            if not [each for each in moved if each.kind in ("TRIGGER", "FUNCTION") and (each.kind, each.database, each.name) not in there]:
                return ""
            name = self.target.working.replace("*", f"probe_{uuid4().hex[:12]}")
            said: list[str] = []
            databases.probe(session, name, lambda: said.extend(programs.trigger_refused(session, name, "probed")))
            return said[0] if said else ""

    def _movable(self) -> str:
        every = [Program.from_dict(body) for body in self.backup.details["programs"]]
        kept = movable_programs(self.backup, self.final)
        if left_out := [program.label for program in every if program not in kept]:
            return f"left out, because their names of databases cannot be told from others: {', '.join(left_out)}"
        return f"all {len(every)}" if every else "there are none"

    def _tools(self) -> str:
        with connect(self.target.conn_id) as session:
            clients = self.store.clients(session)
        family, _, number = self.backup.client.partition(" ")
        if family != clients.family:
            raise ToolError(
                f"the artifact was made by {family}, and {clients.dump} is not that", fix=f"set client: {family} in the topology"
            )
        dumped = tuple(int(part) for part in number.split("."))
        if clients.version[:2] < dumped[:2]:
            raise ToolError(f"{clients.dump} is older than the {self.backup.client} that made the artifact", fix="install a newer client")
        return f"{clients.version_text} in {clients.client.parent}"

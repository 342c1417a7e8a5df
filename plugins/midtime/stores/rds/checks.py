"""The preflight of a backup: all that a mark, and a restore to it, will need. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import cast

from midtime.errors import NotRestorableError, StoreAccessError, StoreStatementError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.topology import Topology
from midtime.model.topology.cloud import Aurora
from midtime.stores.base import Question
from midtime.stores.managed_sql.data import same_host
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.dialects import data_of, is_unread
from midtime.stores.rds.history import History, history_at
from midtime.stores.rds.reading import read
from midtime.stores.rds.servers import Server, flavour_of
from midtime.stores.rds.unread import require_nothing_to_judge

ENGINES = {
    ("rds", "mysql"): ("mysql", "mariadb"),
    ("rds", "postgresql"): ("postgres",),
    ("rds", "oracle"): ("oracle-",),
    ("rds", "sqlserver"): ("sqlserver-",),
    ("aurora", "mysql"): ("aurora-mysql", "aurora"),
    ("aurora", "postgresql"): ("aurora-postgresql",),
}
"""What Amazon calls a dialect; a hyphen at the end stands for any edition."""
REPLICA_OF = ("ReadReplicaSourceDBInstanceIdentifier", "ReadReplicaSourceDBClusterIdentifier", "ReplicationSourceIdentifier")
"""Where Amazon says of what an instance, or a cluster, is a replica."""


class BackupChecks:
    """The questions about one store; each stands on the answers before it."""

    def __init__(self, topology: Topology, aws: RdsClients) -> None:
        self.topology, self.aws, self.flavour = topology, aws, flavour_of(aws.spec)
        self.name = self.flavour.live(aws.spec)
        self._history = History(None, None)

    def questions(self) -> Iterator[Question]:
        """In the order in which they make sense."""
        spec = self.aws.spec
        yield "is reachable", self._reachable
        yield "is at rest", self._at_rest
        yield "keeps a history", self._kept_history
        yield "may be marked", self._readable
        if is_unread(spec):
            yield "can be verified", lambda: require_nothing_to_judge(self.topology, self.aws)
        else:
            yield "is what the data connection means", self._same
            yield "has every namespace", lambda: data_of(self.topology, self.aws).check()

    @property
    def _server(self) -> Server:
        return cast(Server, self._history.server)  # `_reachable` has seen it

    def _reachable(self) -> str:
        spec, noun = self.aws.spec, self.flavour.noun
        self._history = history_at(self.aws, self.name)
        if self._history.server is None:
            raise StoreAccessError(
                f"store {self.aws.store}: there is no {noun} {self.name} in {spec.region} for this login",
                fix=f"correct the store's region and {noun}, and its connection's account",
            )
        if cluster := self._server.said.get("DBClusterIdentifier") if noun == "instance" else None:
            raise StoreAccessError(
                f"store {self.aws.store}: instance {self.name} belongs to cluster {cluster}, whose history is the cluster's",
                fix=f"write `engine: aurora`, `cluster: {cluster}`",
            )
        if source := next((self._server.said[key] for key in REPLICA_OF if self._server.said.get(key)), None):
            raise StoreAccessError(
                f"store {self.aws.store}: {noun} {self.name} is a replica of {source}, and may not have yet what was committed there",
                fix="name the primary",
            )
        wanted = ENGINES[spec.engine, spec.dialect]
        if not any(self._server.engine == each or (each.endswith("-") and self._server.engine.startswith(each)) for each in wanted):
            raise StoreAccessError(
                f"store {self.aws.store}: {noun} {self.name} is {self._server.engine}, not {spec.dialect}", fix="correct engine and dialect"
            )
        return f"{self._server.engine} {self._server.version} in {spec.region}"

    def _at_rest(self) -> str:
        """Not while it comes, goes or is broken."""
        status = self._server.status
        if not self._server.serves:
            raise StoreStatementError(
                f"store {self.aws.store}: {self.flavour.noun} {self.name} is {status}",
                fix="wait until it is available, or see why it is not",
            )
        return "yes" if status == "available" else f"it is {status}"

    def _kept_history(self) -> str:
        """Switched on, and begun."""
        server, noun = self._server, self.flavour.noun
        if not server.days:
            raise StoreAccessError(
                f"store {self.aws.store}: {noun} {self.name} keeps no automated backups",
                fix="set its backup retention period to a day at least (35 at most); its history begins then",
            )
        if server.latest is None:
            raise NotRestorableError(
                f"store {self.aws.store}: the history of {noun} {self.name} has not begun yet", fix="try again in minutes"
            )
        behind = int((utc_now() - server.latest).total_seconds() // 60)
        said = f"{server.days} days, up to {to_rfc3339(server.latest)}" + (f", {behind} minutes ago" if behind > 15 else "")
        if timedelta(days=server.days) < timedelta(days=self.topology.retention.keep_days):
            keep = self.topology.retention.keep_days
            said += f"; `retention.keep_days` is {keep}, but what is older than {server.days} days cannot be restored"
        return said

    def _readable(self) -> str:
        """There is no dry run of a restore, but all of these calls only read."""
        marked = read(self.aws, self._server, self._history, utc_now())
        lost = [f"{len(marked.endpoints)} custom endpoints"] if marked.endpoints else []
        lost += [f"{len(marked.roles)} IAM roles"] if marked.roles else []
        told = f"; to be put back by hand after a restore: {', '.join(lost)}" if lost else ""
        if isinstance(self.aws.spec, Aurora) and not marked.members:
            return f"the cluster has no instance{told}"
        return f"its settings can be read{told}"

    def _same(self) -> str:
        """The data connection must lead to who writes: clock and fence rows of another server would prove nothing."""
        data = data_of(self.topology, self.aws)
        host, address = data.host.lower(), self._server.address.lower()
        reader = str(self._server.said.get("ReaderEndpoint") or "").lower()
        if host == reader or not same_host(host, address):
            raise StoreAccessError(
                f"store {self.aws.store}: connection {data.conn_id} leads to {host}, and {self.flavour.noun} {self.name} is {address}",
                fix=f"let it lead to {address} itself, not to a reader, a proxy or another server",
            )
        return address

"""The preflight of a backup: all that a mark, and a restore to it, will need. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import cast

from midtime.errors import NotRestorableError, StoreAccessError, StoreStatementError
from midtime.model.durations import format_duration
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.topology import Topology
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.describing import describe
from midtime.stores.azure_database.rights import TO_MARK, require_rights
from midtime.stores.azure_database.servers import READY, Server, read_server
from midtime.stores.base import Question
from midtime.stores.managed_sql.data import Data, no_data, same_host

REPLICAS = frozenset({"AsyncReplica", "GeoAsyncReplica", "Replica"})


class BackupChecks:
    """The questions about one store; each stands on the answers before it."""

    def __init__(self, topology: Topology, azure: Azure, data: Data | None) -> None:
        self.topology, self.azure, self.data = topology, azure, data
        self._found: Server | None = None

    def questions(self) -> Iterator[Question]:
        """In the order in which they make sense."""
        yield "is reachable", self._reachable
        yield "is ready", self._ready
        yield "keeps a history", self._kept_history
        yield "may be marked", self._rights
        if self.data:
            yield "is where its data are", self._same_server
            yield "has its namespaces", self.data.check
        else:
            yield "can be read", self._unread

    @property
    def _server(self) -> Server:
        return cast(Server, self._found)  # `_reachable` has seen it

    def _reachable(self) -> str:
        spec, store = self.azure.spec, self.azure.store
        self._found = read_server(self.azure)
        if self._found is None:
            raise StoreAccessError(
                f"store {store}: there is no flexible server {spec.server} in resource group {spec.resource_group}",
                fix="correct the store's server, resource_group and subscription_id",
            )
        return f"{self._server.address}, {self.azure.control.title} {self._server.version} in {self._server.location}"

    def _ready(self) -> str:
        properties = self._server.said.get("properties") or {}
        if (role := properties.get("replicationRole")) in REPLICAS:
            raise StoreAccessError(
                f"store {self.azure.store}: server {self.azure.spec.server} is a replica ({role}), which has no backups of its own",
                fix="name the primary server",
            )
        if (state := self._server.state) != READY:
            raise StoreStatementError(
                f"store {self.azure.store}: server {self.azure.spec.server} is in state {state}, not {READY}",
                fix="start it, or wait until it is there, then try again",
            )
        return "yes"

    def _kept_history(self) -> str:
        if why := self._server.unfit(utc_now()):
            raise NotRestorableError(
                f"store {self.azure.store}: server {self.azure.spec.server} {why}",
                fix="try again once the service has made its first backup",
            )
        days, keep = self._server.days, self.topology.retention.keep_days
        said = f"{days} days, now since {to_rfc3339(self._server.earliest or utc_now())}"
        if timedelta(days=days) < timedelta(days=keep):
            said += f"; `retention.keep_days` is {keep}, but what is older than {days} days cannot be restored"
        after = format_duration(self.azure.spec.restorable_after)
        return f"{said}; how far it reaches Azure does not say: a midtime counts as restorable after {after}"

    def _rights(self) -> str:
        """All of these calls only read; of the others Azure says whether they are allowed."""
        describe(self.azure, self._server.said, *self.azure.where)
        return require_rights(self.azure, self._server.arm_id, TO_MARK, what="backup")

    def _unread(self) -> str:
        """Or every drill and restore would pay for a server before it is told."""
        raise no_data(self.azure.store)

    def _same_server(self) -> str:
        host = cast(Data, self.data).host
        if not same_host(host, self._server.address):
            raise StoreAccessError(
                f"store {self.azure.store}: connection {self.azure.spec.data_conn_id} leads to {host}, and server {self.azure.spec.server} is "
                f"{self._server.address}",
                fix="let `data_conn_id` and `server` mean the same server",
            )
        return host

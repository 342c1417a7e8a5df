"""What a restore loses, put back: change by change, each an operation of the service's, told by what the service itself says is there.

A change that is vital (who may reach the account, its consistency, ScalarDB's stored procedures) fails the restore if the service refuses it; any
other one is said, and left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from azure.mgmt.cosmosdb import models

from midtime.errors import RestoreFailedError, StoreError
from midtime.model.instants import utc_now
from midtime.model.words import counted
from midtime.stores.cosmosdb import operations
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.copied import Copied
from midtime.stores.cosmosdb.notes import Copy, Notes, Operation, Progress
from midtime.stores.cosmosdb.settings import Throughput
from midtime.stores.cosmosdb.standing import Standing
from midtime.stores.naming import COPY_TAG

log = logging.getLogger(__name__)

AT_A_TIME = 20
"""Operations that one look begins."""
REPEATS = 3
"""Of one change that the service takes, and that does not show."""
NETWORK = (
    "publicNetworkAccess",
    "ipRules",
    "isVirtualNetworkFilterEnabled",
    "virtualNetworkRules",
    "networkAclBypass",
    "networkAclBypassResourceIds",
)
SAFE = ("minimalTlsVersion", "disableKeyBasedMetadataWriteAccess")
"""What else of an account is put back: it makes the copy no more open than the marked account was, and costs nothing."""
_EMPTY: Mapping[str, Any] = {"publicNetworkAccess": "Enabled", "isVirtualNetworkFilterEnabled": False, "networkAclBypass": "None"}
"""What an account has that does not say."""


@dataclass(frozen=True, slots=True)
class Change:
    """One operation."""

    what: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    vital: bool = False


class Putting:
    """Changes of one copy, begun by one process and seen through by any."""

    def __init__(self, azure: Azure, notes: Notes) -> None:
        self.azure, self.notes = azure, notes

    def under_way(self, *, there: bool = True) -> str:
        """What the service works on that it was asked for; empty where that is nothing.

        :param there: the account is whole: of an operation that was forgotten nobody knows what came of it
        :raises RestoreFailedError: it says that it failed
        """
        progress = self.notes.progress()
        if not progress or not progress.operations:
            return ""
        running = []
        for operation in progress.operations:
            found = operations.look(self.azure, operation)
            if found.failed:
                if progress.there:  # what failed is a change, and a next try may ask again; a restore that failed stays failed
                    self.notes.say(progress.model_copy(update={"operations": ()}))
                raise RestoreFailedError(
                    f"store {self.azure.store}: {operation.what}: {found.failed}", fix="see the service's words; then clear this task"
                )
            running += [operation.what] if found.running else []
        if not running:
            self.notes.say(progress.model_copy(update={"operations": (), "there": progress.there or there}))
        return _several(running)

    def make(self, changes: Iterable[Change]) -> str:
        """Ask for what is left, as much as may be asked for now.

        :return: what is left; empty where that is nothing
        :raises RestoreFailedError: the service refuses something vital
        """
        progress = self.notes.progress() or Progress(at=utc_now())
        left = [change for change in changes if change.what not in progress.given_up]
        if not left:
            return ""
        begun: list[Operation] = []
        asked, given_up, later = dict(progress.asked), dict(progress.given_up), ""
        for change in left[:AT_A_TIME]:
            operation, why = self._begin(change, asked.get(change.what, 0))
            if operation:
                begun.append(operation)
                asked[change.what] = asked.get(change.what, 0) + 1
            elif why:
                given_up[change.what] = why
                log.warning("%s could not be put back: %s", change.what, why)
            else:
                later = "; the service takes no more now"
        now = {"at": utc_now(), "there": True, "operations": tuple(begun), "asked": asked, "given_up": given_up}
        self.notes.say(progress.model_copy(update=now))
        waited = [change.what for change in left if change.what not in given_up]
        return _several(waited) + later if waited else ""

    def forget(self) -> None:
        """All was done: should the same be asked for again, it is another time."""
        if progress := self.notes.progress():
            self.notes.say(progress.model_copy(update={"asked": {}}))

    def _begin(self, change: Change, times: int) -> tuple[Operation | None, str]:
        """The operation; or why it is given up; or neither, then it is for later."""
        if times >= REPEATS:
            why = f"the service took it {times} times, and it does not show"
        else:
            try:
                return operations.begin(self.azure, change.what, change.call, *change.arguments)[0], ""
            except StoreError as error:
                why = error.message
                if not change.vital:
                    return None, why
                raise
        if change.vital:
            raise RestoreFailedError(
                f"store {self.azure.store}: {change.what}: {why}", fix="see the account's activity log; start a new run"
            )
        return None, why


def account_changes(azure: Azure, note: Copy, found: Standing) -> Iterator[Change]:
    """Who may reach it, and that reads are consistent: one operation, for the account takes one at a time."""
    now, wanted = found.properties, wanted_account(note)
    different = {key: value for key, value in wanted.items() if _plain(key, now.get(key)) != _plain(key, value)}
    if different:
        body = models.DatabaseAccountUpdateParameters({"properties": different})
        update = azure.arm.database_accounts.begin_update
        what = f"{', '.join(sorted(different))} of the account"
        yield Change(what, update, (note.resource_group, note.account, body), vital=True)


def wanted_account(note: Copy) -> dict[str, Any]:
    """Of the new account's properties those that are put back, as they are to be."""
    marked = note.marked.settings.properties
    said = {key: marked.get(key, _EMPTY.get(key, [])) for key in NETWORK} | {key: marked[key] for key in SAFE if key in marked}
    return {**said, "consistencyPolicy": {**marked.get("consistencyPolicy", {}), "defaultConsistencyLevel": "Strong"}}


def _plain(key: str, value: Any) -> Any:
    if value is None:
        return _EMPTY.get(key, [])
    return value.get("defaultConsistencyLevel") if key == "consistencyPolicy" else value


def is_open(note: Copy) -> bool:
    """Whether the marked account, and so its copy, lets everybody in who has the key."""
    wanted = wanted_account(note)
    closed = wanted["isVirtualNetworkFilterEnabled"] or wanted["ipRules"] or wanted["virtualNetworkRules"]
    return wanted["publicNetworkAccess"] == "Enabled" and not closed


def throughput_changes(azure: Azure, note: Copy, copied: Copied) -> Iterator[Change]:
    """As marked: first the kind, then how much. What has none of its own now cannot get any."""
    sql: Any = azure.arm.sql_resources
    where = note.resource_group, note.account
    for database in copied.databases:
        calls = (
            sql.begin_migrate_sql_database_to_autoscale,
            sql.begin_migrate_sql_database_to_manual_throughput,
            sql.begin_update_sql_database_throughput,
        )
        yield from _throughput(
            note.marked.database(database.name).throughput, database.throughput, database.name, calls, (*where, database.name)
        )
    for each in copied.containers:
        calls = (
            sql.begin_migrate_sql_container_to_autoscale,
            sql.begin_migrate_sql_container_to_manual_throughput,
            sql.begin_update_sql_container_throughput,
        )
        wanted = note.marked.container(each.full_name).throughput
        yield from _throughput(wanted, each.throughput, each.full_name, calls, (*where, each.database, each.name))


def _throughput(
    wanted: Throughput | None, now: Throughput | None, name: str, calls: tuple[Any, Any, Any], where: tuple[str, ...]
) -> Iterator[Change]:
    if wanted is None or now is None or wanted == now:
        return
    to_autoscale, to_manual, update = calls
    if wanted.autoscale != now.autoscale:
        yield Change(f"kind of throughput of {name}", to_autoscale if wanted.autoscale else to_manual, where)
        return
    said = {"autoscaleSettings": {"maxThroughput": wanted.units}} if wanted.autoscale else {"throughput": wanted.units}
    body = models.ThroughputSettingsUpdateParameters({"properties": {"resource": said}})
    yield Change(f"throughput of {name}", update, (*where, body))


def script_changes(azure: Azure, note: Copy, copied: Copied) -> Iterator[Change]:
    """Stored procedures (unless a command of the user's does), triggers and functions, with the bodies that were marked: those that ran."""
    sql = azure.arm.sql_resources
    for now in copied.containers:
        marked, where = note.marked.container(now.full_name), (note.resource_group, note.account, now.database, now.name)
        for name, body in () if azure.spec.repair else marked.procedures.items():
            if now.procedures.get(name) != body:
                wanted = models.SqlStoredProcedureCreateUpdateParameters(_script({"id": name, "body": body}))
                what = f"stored procedure {name} of {now.full_name}"
                yield Change(what, sql.begin_create_update_sql_stored_procedure, (*where, name, wanted), vital=True)
        for trigger in marked.triggers:
            if trigger not in now.triggers:
                made = models.SqlTriggerCreateUpdateParameters(_script(trigger))
                yield Change(
                    f"trigger {trigger['id']} of {now.full_name}", sql.begin_create_update_sql_trigger, (*where, trigger["id"], made)
                )
        for name, body in marked.functions.items():
            if now.functions.get(name) != body:
                function = models.SqlUserDefinedFunctionCreateUpdateParameters(_script({"id": name, "body": body}))
                what = f"function {name} of {now.full_name}"
                yield Change(what, sql.begin_create_update_sql_user_defined_function, (*where, name, function))


def ttl_changes(azure: Azure, note: Copy, copied: Copied) -> Iterator[Change]:
    """Times to live, which the restore has switched off; everything else of a container stays as it is."""
    for now in copied.containers:
        wanted = note.marked.container(now.full_name).resource.get("defaultTtl")
        if wanted is not None and now.resource.get("defaultTtl") != wanted:
            body = models.SqlContainerCreateUpdateParameters(_script({**now.resource, "id": now.name, "defaultTtl": wanted}))
            arguments = (note.resource_group, note.account, now.database, now.name, body)
            yield Change(f"TTL of {now.full_name}", azure.arm.sql_resources.begin_create_update_sql_container, arguments, vital=True)


def tag_changes(azure: Azure, note: Copy, found: Standing, owner: str) -> Iterator[Change]:
    """Whose it is."""
    if found.owner != owner:
        body = models.DatabaseAccountUpdateParameters({"tags": {**found.tags, COPY_TAG: owner}})
        yield Change("tag of the account", azure.arm.database_accounts.begin_update, (note.resource_group, note.account, body), vital=True)


def _script(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {"properties": {"resource": dict(resource), "options": {}}}


def _several(names: list[str]) -> str:
    return names[0] + (f" and {counted(len(names) - 1, 'other change')}" if len(names) > 1 else "") if names else ""

"""Where an account is restored to, what that will be, and whether it can be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

from midtime.errors import RequestError, StoreAccessError, StoreUnreachableError, TargetExistsError
from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cloud import Cosmosdb
from midtime.model.topology.targets import Target as TargetWish
from midtime.model.words import counted
from midtime.stores.azure.refusals import azure_errors
from midtime.stores.base import WILL_BE, Question, Target
from midtime.stores.cosmosdb.accounts import folded
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.backups import latest
from midtime.stores.cosmosdb.containers import containers_of
from midtime.stores.cosmosdb.notes import Notes
from midtime.stores.cosmosdb.restorable import marked_account
from midtime.stores.cosmosdb.rights import require_rights
from midtime.stores.cosmosdb.sources import Source, require_restorable
from midtime.stores.cosmosdb.standing import require_ours, standing
from midtime.stores.each import of_each
from midtime.stores.naming import fit, working_name

LONGEST = 44
"""Characters of an account's name."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,42}[a-z0-9]")
IN_PLACE = (
    "Cosmos DB restores an account into a new one only, so there is nothing to put into the place of the live one: products that were started "
    "again would find the other stores of the restore point beside the live account, a torn set"
)
_ACCOUNT = "Microsoft.DocumentDB/databaseAccounts"
_SQL = f"{_ACCOUNT}/sqlDatabases"
NEEDED = (
    f"{_ACCOUNT}/read",
    f"{_ACCOUNT}/write",
    f"{_ACCOUNT}/delete",
    f"{_ACCOUNT}/listKeys/action",
    f"{_SQL}/throughputSettings/write",
    f"{_SQL}/containers/write",
    f"{_SQL}/containers/throughputSettings/write",
    f"{_SQL}/containers/storedProcedures/write",
    "Microsoft.DocumentDB/locations/restorableDatabaseAccounts/restore/action",
)
"""In the resource group of the new account; the last one is given for a whole subscription only."""


def target_of(topology: Topology, store: str, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
    """Names; nothing is touched.

    :raises RequestError: what was wished for is no account's name, or the live account's own; or a restore in place
    """
    spec = cast(Cosmosdb, topology.store(store))
    if in_place:
        raise RequestError(
            f"store {store!r}: {IN_PLACE}",
            fix="leave in_place out, restore all stores beside, and move the products to the restored set (docs/runbooks/cosmosdb-cut-over.md)",
        )
    conn_id = (wish.conn_id if wish else None) or spec.conn_id
    name = (wish.name or wish.to or "") if wish else ""
    working = account_name(working_name(store, run))
    if drill:
        working = fit(name, f"-{run}", limit=LONGEST) if name else working
        return _valid(Target(store, conn_id, working, working))
    final = name or account_name(f"restored-{run}-{spec.account}")
    if final == spec.account:
        raise RequestError(f"store {store!r}: {final!r} is the live account", fix="choose another name: a restore makes a new account")
    return _valid(Target(store, conn_id, working, final))


def account_name(text: str) -> str:
    """A name that Cosmos DB takes, made of one that it may not take."""
    return re.sub(r"[^a-z0-9-]", "-", text.lower())[:LONGEST].strip("-")


def azure_of(topology: Topology, target: Target) -> Azure:
    """The clients of a target: of the connection that it names, and of the subscription in which its run began, whatever the topology says now."""
    spec, note = cast(Cosmosdb, topology.store(target.store)), Notes(topology, target).copy()
    subscription = note.marked.subscription if note else spec.subscription_id
    return Azure(target.store, spec.model_copy(update={"conn_id": target.conn_id, "subscription_id": subscription}))


def place_of(topology: Topology, target: Target, *, resource_group: str, region: str) -> tuple[str, str]:
    """(resource group, region) of the new account: those of the marked one, unless the drill's target says others."""
    wish = topology.drill.targets.get(target.store) if target.final == target.working else None
    return (wish and wish.resource_group) or resource_group, (wish and wish.location) or region


def source_of(backup: StoreBackup, region: str) -> Source:
    """What a restore point says of the account that was marked."""
    said = backup.details
    return Source(said["account"], said["instance"], region, backup.midtime, tuple(said["containers"]))


class RestoreChecks:
    """The preflight of a restore. It changes nothing."""

    def __init__(self, topology: Topology, azure: Azure, target: Target, backup: StoreBackup) -> None:
        self.topology, self.azure, self.target, self.backup = topology, azure, target, backup
        said: dict[str, Any] = backup.details
        self.group, self.region = place_of(topology, target, resource_group=said["resource_group"], region=said["region"])
        self.source = source_of(backup, self.region)

    def questions(self) -> Iterator[Question]:
        """Each stands on the answers before it."""
        yield "is what was marked", self._same
        yield "can be restored to the instant", self._history
        yield WILL_BE, self._will_be
        yield "may be restored", lambda: rights(self.azure, self.group)
        yield "gets its settings back", self._settings

    def _same(self) -> str:
        said, spec = self.backup.details, self.azure.spec
        if said["subscription"].lower() != spec.subscription_id.lower():
            raise StoreAccessError(
                f"store {self.azure.store} was marked in subscription {said['subscription']}",
                fix="correct the store's subscription_id: a backup cannot be restored from another subscription",
            )
        now = "" if said["account"] == spec.account else f", which is not the store's any more; that is {spec.account}"
        return f"{counted(len(self.source.containers), 'container')} of account {said['account']}{now}"

    def _history(self) -> str:
        kept = require_restorable(self.azure, self.source)
        if kept.deleted_at:
            return f"to {to_rfc3339(self.source.instant)}; the account was deleted at {to_rfc3339(kept.deleted_at)}, and is kept still"
        if folded(self.region) != folded(self.backup.details["region"]):
            self._reaches()
        return f"to {to_rfc3339(self.source.instant)}, in {self.region}"

    def _reaches(self) -> None:
        """The backups of a region that is not written are others than those that made the restore point restorable."""
        azure, marked = marked_account(self.azure, self.backup), self.backup.details["containers"]
        found = [each for each in containers_of(azure, self.source.databases) if each.full_name in marked]
        reached = zip(found, of_each(found, lambda each: latest(azure, each, self.region)), strict=True)
        if behind := [f"{each.full_name} (up to {to_rfc3339(at)})" for each, at in reached if at < self.source.instant]:
            raise StoreUnreachableError(
                f"store {self.azure.store}: the backups of {behind[0]}{' and others' if len(behind) > 1 else ''} in {self.region} do not reach "
                f"{to_rfc3339(self.source.instant)} yet",
                fix="try again in minutes, or let the drill's target name the region that is written",
            )

    def _will_be(self) -> str:
        name = self.target.final
        copy = Notes(self.topology, self.target).copy()
        found = standing(self.azure, self.group, name)
        if copy and found.said:
            require_ours(self.azure, copy, found)
        else:
            require_free(self.azure, name)
        return f"new account `{name}` in {self.region}, resource group {self.group}"

    def _settings(self) -> str:
        network = "network rules as marked, set before anybody gets its key; consistency Strong; throughput"
        scripts = "by your repair command" if self.azure.spec.repair else "stored procedures"
        ttl = "TTL stays off: a drill's account goes again" if self.target.final == self.target.working else "TTL off until it is placed"
        return f"{network}; {scripts}; {ttl}; roles, private endpoints and further regions are listed for you to put back"


def require_free(azure: Azure, name: str) -> None:
    """Nobody has an account of that name; names are the world's.

    :raises TargetExistsError: somebody has
    """
    with azure_errors(azure.store):
        taken = azure.arm.database_accounts.check_name_exists(name)
    if taken:
        raise TargetExistsError(
            f"store {azure.store}: the name {name} is taken, by an account of yours or of anybody else's", fix="choose another name"
        )


def rights(azure: Azure, group: str) -> str:
    """Whether the login may do what a restore needs.

    :raises StoreAccessError: it may not
    """
    return require_rights(azure, f"/subscriptions/{azure.spec.subscription_id}/resourceGroups/{group}", NEEDED, what="restore")


def drill_questions(topology: Topology, azure: Azure, target: Target) -> Iterator[Question]:
    """Whether the topology's drill target can be made."""
    spec = azure.spec
    group, region = place_of(topology, target, resource_group=spec.resource_group, region="")

    def drills() -> str:
        with azure_errors(azure.store):
            places = azure.arm.database_accounts.get(spec.resource_group, spec.account).locations or ()
        if region and folded(region) not in {folded(str(each.location_name)) for each in places}:
            raise RequestError(
                f"store {azure.store}: account {spec.account} has no backups in {region}", fix="name one of the account's regions, or none"
            )
        return f"account `{target.working}` in resource group {group}; {rights(azure, group)}"

    yield "can be drilled", drills


def _valid(target: Target) -> Target:
    if not _NAME.fullmatch(target.final):
        raise RequestError(
            f"store {target.store!r}: {target.final!r} is no name of an account",
            fix=f"use 3 to {LONGEST} lower-case letters, digits and hyphens, none at either end",
        )
    return target

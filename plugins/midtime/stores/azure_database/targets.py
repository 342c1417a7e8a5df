"""Where a server is restored to, what that will be, and whether it can be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from midtime.errors import RequestError, StoreAccessError, TargetExistsError
from midtime.model.instants import from_rfc3339, to_rfc3339
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.azure.refusals import azure_errors
from midtime.stores.azure_database.azure import Azure, Spec
from midtime.stores.azure_database.needs import NOTED, needs_of, require_needs
from midtime.stores.azure_database.notes import Notes
from midtime.stores.azure_database.restorable import marked_server
from midtime.stores.azure_database.rights import TO_RESTORE, group_id, require_rights
from midtime.stores.azure_database.servers import Server, read_server, reason
from midtime.stores.azure_database.standing import require_ours, standing
from midtime.stores.base import WILL_BE, Question, Target
from midtime.stores.marks import require_fit
from midtime.stores.naming import fit, working_name

LONGEST = 63
"""Characters of a server's name."""
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_TIERS = {"B": "Burstable", "D": "GeneralPurpose", "E": "MemoryOptimized"}
"""By the letter of a SKU's family: ``Standard_B1ms``."""
IN_PLACE = (
    "Azure restores a flexible server into a new one only, so there is nothing to put into the place of the live one: products that were "
    "started again would find the other stores of the restore point beside the live server, a torn set"
)
GONE = "see who deleted or made anew the server, or shortened its backups; use a newer restore point. What was deleted only Azure's support may bring back"


def target_of(topology: Topology, store: str, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
    """Names; nothing is touched.

    :raises RequestError: what was wished for is no server's name, or the live server's own; or a restore in place
    """
    spec = cast(Spec, topology.store(store))
    if in_place:
        raise RequestError(
            f"store {store!r}: {IN_PLACE}",
            fix="leave in_place out, restore all stores beside, and move the products to the restored set "
            "(docs/runbooks/azure-database-cut-over.md)",
        )
    if wish and (wish.database or wish.prefix):
        raise RequestError(
            f"store {store!r}: a restore is of the whole server; its databases keep their names",
            fix="leave `database` and `prefix` out; they are for `method: dump`",
        )
    conn_id = (wish.conn_id if wish else None) or spec.conn_id
    name = (wish.name or wish.to or "") if wish else ""
    working = server_name(working_name(store, run))
    if drill:
        working = fit(name, f"-{run}", limit=LONGEST) if name else working
        return _valid(Target(store, conn_id, working, working))
    final = name or server_name(f"restored-{run}-{spec.server}")
    if final == spec.server:
        raise RequestError(f"store {store!r}: {final!r} is the live server", fix="choose another name: a restore makes a new server")
    return _valid(Target(store, conn_id, working, final))


def server_name(text: str) -> str:
    """A name that Azure takes, made of one that it may not take."""
    return re.sub(r"[^a-z0-9-]", "-", text.lower())[:LONGEST].strip("-")


def tier_of(sku: str) -> str:
    """Of a SKU.

    :raises RequestError: it is none
    """
    if not (found := re.fullmatch(r"Standard_([BDE])\d\w*", sku)):
        raise RequestError(
            f"{sku!r} is no SKU of a flexible server", fix="write it as Azure does: Standard_B1ms, Standard_D2ds_v5, Standard_E4ds_v5"
        )
    return _TIERS[found[1]]


def azure_of(topology: Topology, target: Target) -> Azure:
    """The clients of a target: of the connection that it names, and of the subscription in which its run began, whatever the topology says now."""
    spec, note = cast(Spec, topology.store(target.store)), Notes(topology, target).copy()
    subscription = note.marked.subscription if note else spec.subscription_id
    return Azure(target.store, spec.model_copy(update={"conn_id": target.conn_id, "subscription_id": subscription}))


def place_of(topology: Topology, target: Target, resource_group: str) -> tuple[str, str | None]:
    """(resource group, SKU) of the new server: the marked one's, unless the drill's target says others."""
    wish = topology.drill.targets.get(target.store) if target.final == target.working else None
    return (wish and wish.resource_group) or resource_group, wish.sku if wish else None


class RestoreChecks:
    """The preflight of a restore. It changes nothing."""

    def __init__(self, topology: Topology, azure: Azure, target: Target, backup: StoreBackup) -> None:
        self.topology, self.azure, self.target, self.backup = topology, azure, target, backup
        self.group, self.sku = place_of(topology, target, backup.details["resource_group"])
        self._source: Server | None = None

    def questions(self) -> Iterator[Question]:
        """Each stands on the answers before it."""
        yield "is what was marked", self._same
        yield "can be restored to the instant", self._history
        yield WILL_BE, self._will_be
        yield "may be restored", lambda: require_rights(self.azure, group_id(self.azure, self.group), TO_RESTORE, what="restore")
        yield "has what it is made with", self._needs
        yield "gets its settings back", self._settings

    def _same(self) -> str:
        said, spec = self.backup.details, self.azure.spec
        if said["subscription"].lower() != spec.subscription_id.lower():
            raise StoreAccessError(
                f"store {self.azure.store} was marked in subscription {said['subscription']}",
                fix="correct the store's subscription_id: a backup cannot be restored from another subscription",
            )
        now = "" if said["server"] == spec.server else f", which is not the store's any more; that is {spec.server}"
        return f"server {said['server']}{now}"

    def _history(self) -> str:
        self._source = require_source(self.azure, self.backup)
        return f"to {to_rfc3339(self.backup.midtime)}, in {self.backup.details['location']}"

    def _will_be(self) -> str:
        copy, found = Notes(self.topology, self.target).copy(), standing(self.azure, self.group, self.target.final)
        if copy and found.said:
            require_ours(self.azure, copy, found)
        else:
            require_free(self.azure, self.target.final)
        sku = f" of SKU {self.sku} ({tier_of(self.sku)})" if self.sku else ""
        return f"new server `{self.target.final}`{sku} in resource group {self.group}"

    def _needs(self) -> str:
        return require_needs(self.azure, self.backup.details.get(NOTED) or (), self._source)

    def _settings(self) -> str:
        kept = "firewall rules as marked, server parameters, backup retention and maintenance window"
        standby = "no standby: a drill's server goes again" if self.target.final == self.target.working else "its standby once it is placed"
        return f"{kept}; {standby}; identities, private endpoints and replicas are listed for you to put back"


def require_source(azure: Azure, backup: StoreBackup) -> Server | None:
    """The server that was marked is there, and its backups reach back to the instant.

    :return: as it is now
    :raises NotRestorableError: it can never be restored to the instant
    """
    said, created = backup.details, backup.details.get("created_at")
    found = read_server(marked_server(azure, backup))
    why = reason(found, backup.midtime, created_at=from_rfc3339(created) if created else None)
    require_fit(azure.store, backup.midtime, [(f"server {said['server']}", why)], fix=GONE)
    return found


def require_free(azure: Azure, name: str) -> None:
    """Nobody has a server of that name; names are the world's.

    :raises TargetExistsError: somebody has
    """
    with azure_errors(azure.store):
        free = azure.control.free(azure.arm, name)
    if not free:
        raise TargetExistsError(
            f"store {azure.store}: the name {name} is taken, by a server of yours or of anybody else's", fix="choose another name"
        )


def drill_questions(topology: Topology, azure: Azure, target: Target) -> Iterator[Question]:
    """Whether the topology's drill target can be made."""
    group, sku = place_of(topology, target, azure.spec.resource_group)

    def drills() -> str:
        server = read_server(azure)
        said = server.said if server else {}
        require_needs(azure, needs_of(said.get("properties") or {}, said.get("identity"), azure.control.zone), server)
        tier = f" of SKU {sku} ({tier_of(sku)})" if sku else ""
        return f"server `{target.working}`{tier} in resource group {group}; {require_rights(azure, group_id(azure, group), TO_RESTORE, what='drill')}"

    yield "can be drilled", drills


def _valid(target: Target) -> Target:
    if not _NAME.fullmatch(target.final):
        raise RequestError(
            f"store {target.store!r}: {target.final!r} is no name of a server",
            fix=f"use 3 to {LONGEST} lower-case letters, digits and hyphens, none at either end",
        )
    return target

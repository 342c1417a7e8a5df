"""The marked account, restored by the service into a new one; what that loses is put back before anybody gets its key.

A look is all there is: it finds what the service says is there, asks for what comes next, and says what is waited for. So it does not matter who
looks, and when the one before was killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from azure.mgmt.cosmosdb import models

from midtime.errors import RestoreFailedError, StoreAccessError, StoreError, StoreUnreachableError, TargetExistsError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.words import counted, listed
from midtime.stores import looks
from midtime.stores import notes as run_notes
from midtime.stores.azure import operations
from midtime.stores.azure.notes import Progress
from midtime.stores.azure.putting import Putting
from midtime.stores.azure.removing import UNSEEN
from midtime.stores.base import Say, Shelf, Target, Waiting
from midtime.stores.cosmosdb import indexing, repairing
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.copied import Copied, read_copy
from midtime.stores.cosmosdb.notes import Copy, Notes
from midtime.stores.cosmosdb.putting import account_changes, is_open, script_changes, throughput_changes
from midtime.stores.cosmosdb.settings import MarkedAccount
from midtime.stores.cosmosdb.sources import Source, require_restorable
from midtime.stores.cosmosdb.standing import require_ours, standing, unsettled
from midtime.stores.cosmosdb.targets import place_of, require_free
from midtime.stores.naming import COPY_TAG, SOURCE_TAG, TOPOLOGY_TAG

OPENS_WITHIN = timedelta(minutes=15)
"""After its network rules have changed, an account may refuse for so long whom they let in."""


def restore(topology: Topology, azure: Azure, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> Waiting | None:
    """One look.

    :raises TargetExistsError: the name is taken
    :raises NotRestorableError: the account can never be restored to the instant
    :raises RestoreFailedError: the service says that it failed; or it was deleted meanwhile, or takes too long
    """
    restoring = Restoring(topology, azure, begin(topology, backup, shelf, target), target, say)
    try:
        return restoring.look()
    except StoreError as error:
        if isinstance(error, StoreUnreachableError) or operations.later(error):
            return restoring.waiting(f"the service does not answer now ({error.message})")
        raise


def begin(topology: Topology, backup: StoreBackup, shelf: Shelf, target: Target) -> Copy:
    """The notes of this run."""
    own = Notes(topology, target)
    if found := own.copy():
        if found.marked.store != target.store:
            raise TargetExistsError(
                f"store {target.store}: {target.final} is the name for store {found.marked.store} in this run",
                fix="give each store a drill target of its own",
            )
        return found
    marked = run_notes.marked(backup, shelf, MarkedAccount)
    group, region = place_of(topology, target, resource_group=marked.resource_group, region=marked.region)
    return own.begin(target.final, group, region, marked)


class Restoring:
    """The copy of one run."""

    def __init__(self, topology: Topology, azure: Azure, note: Copy, target: Target, say: Say) -> None:
        self.topology, self.azure, self.note, self.say = topology, azure, note, say
        self.notes = Notes(topology, target)
        self.putting = Putting(azure, self.notes)

    def look(self) -> Waiting | None:
        """Ask for what comes next.

        :return: None once everything is there
        """
        found = standing(self.azure, self.note.resource_group, self.note.account)
        if not found.said:
            return self._ask(self.notes.progress())
        require_ours(self.azure, self.note, found)
        progress = self.notes.see()
        if found.state == "Failed" and not (progress and progress.there):
            raise self._failed(progress)
        if left := self.putting.under_way(there=found.state == "Succeeded") or unsettled(found):
            return self.waiting(left)
        if left := self.putting.make(account_changes(self.azure, self.note, found)):
            self._say(rules_at=utc_now())
            return self.waiting(left)
        if not self._settled(progress) and (left := self._afterwards()):
            return self.waiting(left)
        if left := self._indexing():
            return self.waiting(left)
        self._repair()
        self.say(
            f"{counted(len(self.note.marked.containers), 'container')} restored to {to_rfc3339(self.note.marked.instant)} as {found.name}"
        )
        return None

    # -- the restore itself ------------------------------------------------------------------------------------------------------------

    def _ask(self, progress: Progress | None) -> Waiting | None:
        """For the account; but for one that was there and is gone, nobody asks again."""
        if progress and (left := self._asked(progress)):
            return self.waiting(left)
        require_free(self.azure, self.note.account)
        marked = self.note.marked
        source = Source(
            marked.account, marked.instance, self.note.region, marked.instant, tuple(each.full_name for each in marked.containers)
        )
        require_restorable(self.azure, source)
        self.notes.say(Progress(at=utc_now()))  # from now on it may be on its way
        call = self.azure.arm.database_accounts.begin_create_or_update
        what = f"restore of {marked.account} to {to_rfc3339(marked.instant)}"
        try:
            operation, why = operations.begin(self.azure, what, call, self.note.resource_group, self.note.account, self._wanted(source))
        except StoreError:
            self.notes.forget_progress()  # it was refused, so nothing is on its way
            raise
        if operation is None:
            return self.waiting(f"the service takes no restore now ({why})")
        self.notes.say(Progress(at=utc_now(), operations=(operation,)))
        return self.waiting("restore asked for")

    def _asked(self, progress: Progress) -> str:
        """What is waited for, where the account was asked for and is not to be seen; empty where it has to be asked for.

        :raises RestoreFailedError: it will never be there
        """
        said = [operations.look(self.azure, each) for each in progress.operations]
        failed = " ".join(each.failed for each in said)
        if progress.there or progress.seen or failed or (said and not any(each.running for each in said)):
            why = f"was not made: {failed}" if failed else "was there, and somebody has deleted it"
            raise RestoreFailedError(f"store {self.azure.store}: account {self.note.account} {why}", fix="start a new run")
        return "not to be seen yet" if said or utc_now() - progress.at < UNSEEN else ""

    def _wanted(self, source: Source) -> models.DatabaseAccountCreateUpdateParameters:
        """Closed to the network, until it has the rules of the marked account."""
        marked, settings = self.note.marked, self.note.marked.settings
        parameters = {
            "restoreMode": "PointInTime",
            "restoreSource": marked.source,
            "restoreTimestampInUtc": to_rfc3339(marked.instant),
            "restoreWithTtlDisabled": True,
            "databasesToRestore": [{"databaseName": name, "collectionNames": list(names)} for name, names in source.databases.items()],
        }
        properties: dict[str, Any] = {
            "createMode": "Restore",
            "databaseAccountOfferType": "Standard",
            "locations": [{"locationName": self.note.region, "failoverPriority": 0}],
            "publicNetworkAccess": "Disabled",
            "restoreParameters": parameters,
        }
        body: dict[str, Any] = {"location": self.note.region, "kind": "GlobalDocumentDB", "tags": self._tags(), "properties": properties}
        if "keyVaultKeyUri" in settings.properties:  # its data are encrypted with a key that its identity reads
            properties |= {key: settings.properties[key] for key in ("keyVaultKeyUri", "defaultIdentity") if key in settings.properties}
            body["identity"] = _identity(settings.identity or {})
        return models.DatabaseAccountCreateUpdateParameters(body)

    def _tags(self) -> dict[str, str]:
        own = {COPY_TAG: self.note.working, TOPOLOGY_TAG: self.topology.name, SOURCE_TAG: self.note.marked.account}
        return {**self.note.marked.settings.tags, **own}

    def _failed(self, progress: Progress | None) -> RestoreFailedError:
        """In the service's own words, as long as it remembers them."""
        said = [operations.look(self.azure, each).failed for each in (progress.operations if progress else ())]
        words = next(filter(None, said), "the account's activity log says why")
        return RestoreFailedError(
            f"store {self.azure.store}: the restore of {self.note.marked.account} into {self.note.account} failed: {words}",
            fix="start a new run",
        )

    # -- what it loses -----------------------------------------------------------------------------------------------------------------

    def _afterwards(self) -> str:
        """A few calls for each container, until nothing is left to be done."""
        copied = self._whole()
        if left := self.putting.make([*throughput_changes(self.azure, self.note, copied), *script_changes(self.azure, self.note, copied)]):
            return left
        self._say(settled=True, by_command=bool(self.azure.spec.repair), there=True)
        return ""

    def _settled(self, progress: Progress | None) -> bool:
        """And nobody has taken the command out of the topology since, or put one in."""
        return bool(progress and progress.settled and progress.by_command == bool(self.azure.spec.repair))

    def _whole(self) -> Copied:
        copied = read_copy(self.azure, self.note)
        if missing := copied.missing(self.note):
            said = f"{listed(missing)} {'is' if len(missing) == 1 else 'are'} not in account {self.note.account}"
            raise RestoreFailedError(f"store {self.azure.store}: {said}, which is said to be restored", fix="start a new run")
        return copied

    def _indexing(self) -> str:
        """The first thing that needs the account's data.

        :raises StoreAccessError: ARM gives no key; or the account refuses it, or everybody, for longer than its rules take
        :raises RestoreFailedError: a container is gone
        """
        reached = self.azure.reached(self.note.resource_group, self.note.account)
        try:
            return indexing.left(self.azure.store, self.azure.data_at(*reached), self.note)
        except (StoreAccessError, StoreUnreachableError) as error:
            status = getattr(error.__cause__, "status_code", None)
            if status == HTTPStatus.NOT_FOUND:
                self._whole()
            for_long = utc_now() - (self._progress.rules_at or self.note.began_at) > OPENS_WITHIN
            if for_long and (is_open(self.note) or status not in (None, HTTPStatus.FORBIDDEN)):
                raise
            return (
                f"it has the network rules of {self.note.marked.account}, and does not let this worker in: give it a private endpoint, or a rule "
                f"for the worker ({error.message})"
            )

    def _repair(self) -> None:
        """By the user's own command, which needs the account's data, too."""
        if self.azure.spec.repair:
            repairing.repair(self.azure, self.note, self._whole(), self.say)

    @property
    def _progress(self) -> Progress:
        return self.notes.progress() or Progress(at=utc_now())

    def _say(self, **found: Any) -> None:
        self.notes.say(self._progress.model_copy(update=found))

    def waiting(self, detail: str) -> Waiting:
        """Look again later."""
        minutes = int((utc_now() - self.note.began_at).total_seconds() // 60)
        said = f"account {self.note.account}, begun {minutes} min ago: {detail}"
        return looks.waiting(self.azure.store, said, self.note.began_at, self.azure.spec.restore_timeout)


def _identity(marked: Mapping[str, Any]) -> dict[str, Any]:
    """The same identities of the user's; the account's own one goes with the account."""
    users: dict[str, dict[str, Any]] = {each: {} for each in marked.get("userAssignedIdentities") or {}}
    return {"type": "UserAssigned", "userAssignedIdentities": users} if users else {"type": "SystemAssigned"}

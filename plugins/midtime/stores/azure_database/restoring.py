"""The marked server, restored by the service into a new one; what that loses is put back before it is verified.

A look is all there is: it finds what the service says is there, asks for what comes next, and says what is waited for. So it does not matter who
looks, and when the one before was killed.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from midtime.errors import RestoreFailedError, StoreAccessError, StoreError, StoreUnreachableError, TargetExistsError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores import looks
from midtime.stores import notes as run_notes
from midtime.stores.azure import operations
from midtime.stores.azure.notes import Progress
from midtime.stores.azure.putting import Putting
from midtime.stores.azure.refusals import status_of
from midtime.stores.azure.removing import UNSEEN, made
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.comparing import read_copy
from midtime.stores.azure_database.control import body
from midtime.stores.azure_database.notes import Copy, Notes
from midtime.stores.azure_database.putting import network_changes, parameter_changes, restart_changes, rule_changes, server_changes
from midtime.stores.azure_database.servers import READY
from midtime.stores.azure_database.settings import MarkedServer
from midtime.stores.azure_database.standing import Standing, require_ours, standing, unsettled
from midtime.stores.azure_database.targets import place_of, require_free, require_source, tier_of
from midtime.stores.base import Say, Shelf, Target, Waiting
from midtime.stores.managed_sql.data import Data
from midtime.stores.marks import with_room
from midtime.stores.naming import COPY_TAG, SOURCE_TAG, TOPOLOGY_TAG

ONE = 1
"""Changes at a time: a server is locked while one is made."""
OPENS_WITHIN = timedelta(minutes=15)
"""After its firewall has changed, a server may refuse for so long whom it lets in."""
TOO_EARLY = timedelta(hours=1)
"""After the instant: for so long a refusal that speaks of it may mean that the backups have not come so far."""
_OF_THE_INSTANT = re.compile(r"point.?in.?time|restore.?(point|time)|earliest|latest", re.IGNORECASE)
_LOST = frozenset({"Disabled", "Dropping", "Inaccessible"})


def restore(
    topology: Topology, azure: Azure, data: Data | None, backup: StoreBackup, shelf: Shelf, target: Target, say: Say
) -> Waiting | None:
    """One look.

    :param data: where there is a connection to the data
    :raises TargetExistsError: the name is taken
    :raises NotRestorableError: the server can never be restored to the instant
    :raises RestoreFailedError: the service says that it failed; or it was deleted meanwhile, or takes too long
    """
    restoring = Restoring(topology, azure, data, begin(topology, backup, shelf, target), backup, target, say)
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
    marked = run_notes.marked(backup, shelf, MarkedServer)
    return own.begin(*place_of(topology, target, marked.resource_group), marked)


class Restoring:
    """The copy of one run."""

    def __init__(
        self, topology: Topology, azure: Azure, data: Data | None, note: Copy, backup: StoreBackup, target: Target, say: Say
    ) -> None:
        self.topology, self.azure, self.data, self.note, self.backup, self.say = topology, azure, data, note, backup, say
        self.notes = Notes(topology, target)
        self.putting = Putting(azure, self.notes, ONE)

    def look(self) -> Waiting | None:
        """Ask for what comes next.

        :return: None once everything is there
        """
        found = standing(self.azure, self.note.resource_group, self.note.server)
        if not found.said:
            return self._ask(self.notes.progress())
        require_ours(self.azure, self.note, found)
        self.notes.see()
        if left := self.putting.under_way(there=found.state == READY):
            return self.waiting(left)
        if found.state in _LOST:
            raise self._failed(f"it is in state {found.state}")
        if left := unsettled(found):
            return self.waiting(left)
        if not self._progress.settled and (left := self._afterwards(found)):
            return self.waiting(left)
        if left := self._closed(found):
            return self.waiting(left)
        self.say(f"server {self.note.marked.server} restored to {to_rfc3339(self.note.marked.instant)} as {found.name}, {found.address}")
        return None

    # -- the restore itself ------------------------------------------------------------------------------------------------------------

    def _ask(self, progress: Progress | None) -> Waiting | None:
        """For the server; but for one that was there and is gone, nobody asks again."""
        if progress and (left := self._asked(progress)):
            return self.waiting(left)
        try:
            require_free(self.azure, self.note.server)
        except TargetExistsError:
            if not progress:
                raise
            return self.waiting("not to be seen yet, but its name is taken")  # an earlier request did arrive, it seems
        require_source(self.azure, self.backup)
        self.notes.say(Progress(at=utc_now()))  # from now on it may be on its way
        what = f"restore of {self.note.marked.server} to {to_rfc3339(self.note.marked.instant)}"
        call = self.azure.control.creating(self.azure.arm)
        try:
            operation, why = operations.begin(
                self.azure, what, call, self.note.resource_group, self.note.server, body(self.wanted(self.azure.control.instant))
            )
        except StoreError as error:
            self.notes.forget_progress()  # it was refused, so nothing is on its way
            if self._too_early(error):
                return self.waiting(f"the service's backups have not come so far, it seems ({error.message})")
            raise
        if operation is None:
            return self.waiting(f"the service takes no restore now ({why})")
        self.notes.say(Progress(at=utc_now(), operations=(operation,)))
        return self.waiting("restore asked for")

    def _asked(self, progress: Progress) -> str:
        """What is waited for, where the server was asked for and is not to be seen; empty where it has to be asked for.

        :raises RestoreFailedError: it will never be there
        """
        said, young = [operations.look(self.azure, each) for each in progress.operations], utc_now() - progress.at < UNSEEN
        failed = " ".join(each.failed for each in said)
        if failed:
            raise self._failed(failed)
        if progress.seen or (progress.there and not young):
            raise self._failed("it was there, and somebody has deleted it")
        if said and not any(each.running for each in said):
            self.notes.say(made(progress))
        return "not to be seen yet" if said or young else ""

    def _too_early(self, error: StoreError) -> bool:
        """Azure does not say how far its backups reach: what it refuses a short while after the instant, with these words, it may take later."""
        young = utc_now() - self.note.marked.instant < TOO_EARLY + self.azure.spec.restorable_after
        return young and status_of(error.__cause__) == 400 and bool(_OF_THE_INSTANT.search(error.message))  # type: ignore[arg-type]

    def wanted(self, instant: str) -> dict[str, Any]:
        """What is asked for. The network cannot be changed from private to public or back, so it is the marked server's.

        :param instant: what the service calls it
        """
        marked, settings, sku = self.note.marked, self.note.marked.settings, self.note.sku
        properties: dict[str, Any] = {
            "createMode": "PointInTimeRestore",
            "sourceServerResourceId": marked.arm_id,
            instant: to_rfc3339(marked.instant),
        }
        if network := settings.properties.get("network"):
            properties["network"] = network
        said: dict[str, Any] = {"location": marked.location, "tags": self._tags(), "properties": properties}
        said["sku"] = {"name": sku, "tier": tier_of(sku)} if sku else settings.sku
        if (settings.properties.get("dataEncryption") or {}).get("primaryKeyURI"):  # a key that its identity reads
            properties["dataEncryption"] = settings.properties["dataEncryption"]
            users: dict[str, Any] = {each: {} for each in (settings.identity or {}).get("userAssignedIdentities") or {}}
            said["identity"] = {"type": "UserAssigned", "userAssignedIdentities": users}
        return said

    def _tags(self) -> dict[str, str]:
        own = {COPY_TAG: self.note.working, TOPOLOGY_TAG: self.topology.name, SOURCE_TAG: self.note.marked.server}
        return with_room(own, self.note.marked.settings.tags)

    def _failed(self, why: str) -> RestoreFailedError:
        return RestoreFailedError(
            f"store {self.azure.store}: the restore of {self.note.marked.server} into {self.note.server} failed: {why}",
            fix="see the server's activity log; start a new run",
        )

    # -- what it loses -----------------------------------------------------------------------------------------------------------------

    def _afterwards(self, found: Standing) -> str:
        """One change after the other, until nothing is left to be done; the restart last."""
        now, azure, note = read_copy(self.azure, self.note, found), self.azure, self.note
        changes = [*network_changes(azure, note, now), *rule_changes(azure, note, now), *server_changes(azure, note, now)]
        if left := self.putting.make([*changes, *parameter_changes(azure, note, now)]) or self.putting.make(
            restart_changes(azure, note, now)
        ):
            return left
        self.notes.say(self._progress.model_copy(update={"settled": True, "there": True, "rules_at": utc_now()}))
        return ""

    def _closed(self, found: Standing) -> str:
        """Why it does not let us in; empty where it does, or where nobody reads its data.

        :raises StoreAccessError: it refuses us for longer than its firewall takes
        """
        if self.data is None:
            return ""
        try:
            self.data.reach((found.address, None))
        except (StoreAccessError, StoreUnreachableError) as error:
            if utc_now() - (self._progress.rules_at or utc_now()) > OPENS_WITHIN and isinstance(error, StoreAccessError):
                raise
            return (
                f"it has the network of {self.note.marked.server}, and does not let this worker in: see to its private endpoint, its DNS name, or a "
                f"rule for the worker ({error.message})"
            )
        return ""

    @property
    def _progress(self) -> Progress:
        return self.notes.progress() or Progress(at=utc_now())

    def waiting(self, detail: str) -> Waiting:
        """Look again later."""
        minutes = int((utc_now() - self.note.began_at).total_seconds() // 60)
        said = f"server {self.note.server}, begun {minutes} min ago: {detail}"
        return looks.waiting(self.azure.store, said, self.note.began_at, self.azure.spec.restore_timeout)

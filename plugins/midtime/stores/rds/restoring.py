"""What was marked, restored by the service into a new instance or cluster; what that loses is put back.

A look is all there is: it finds what the service says is there, asks for what comes next, and says what is waited for. So it does not matter who
looks, and when the one before was killed.
"""

from __future__ import annotations

import logging
from datetime import timedelta

from midtime.errors import RestoreFailedError, StoreError, StoreUnreachableError, TargetExistsError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.stores import looks
from midtime.stores import notes as run_notes
from midtime.stores.base import Say, Shelf, Target, Waiting
from midtime.stores.rds import wanted
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.history import history_of
from midtime.stores.rds.marking import require_fit
from midtime.stores.rds.notes import Copy, Notes, Progress
from midtime.stores.rds.refusals import TAKEN, passes, refused_with
from midtime.stores.rds.servers import FAILED, INSTANCES, Flavour, Server, flavour_of
from midtime.stores.rds.settings import MarkedServer, Member, settings_of
from midtime.stores.rds.standing import is_ours, require_ours
from midtime.stores.rds.targets import class_of, member_name, wish_of

log = logging.getLogger(__name__)

UNSEEN = timedelta(minutes=2)
"""For so long what was asked for may not be seen yet."""
REPEATS = 3
"""Of a change that the service takes, and that does not show."""


def restore(topology: Topology, aws: RdsClients, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> Waiting | None:
    """One look.

    :raises TargetExistsError: the name is taken
    :raises NotRestorableError: it can never be restored to the instant
    :raises RestoreFailedError: the service says that it failed; or it was deleted meanwhile, or takes too long
    """
    restoring = Restoring(aws, begin(topology, aws, backup, shelf, target), Notes(topology, target), say)
    try:
        return restoring.look()
    except StoreError as error:
        if passes(error):
            return restoring.waiting(f"the service does not go on now ({error.message})")
        raise


def begin(topology: Topology, aws: RdsClients, backup: StoreBackup, shelf: Shelf, target: Target) -> Copy:
    """The note of this run; which class a drill gets is decided once."""
    own = Notes(topology, target)
    if found := own.copy():
        if found.marked.store != target.store:
            raise TargetExistsError(
                f"store {target.store}: {target.final} is the name for store {found.marked.store} in this run",
                fix="give each store a drill target of its own",
            )
        return found
    marked, wish = run_notes.marked(backup, shelf, MarkedServer), wish_of(topology, target)
    drill = target.final == target.working
    own_class = (wish.instance_class or class_of(aws, marked)) if drill else None
    return own.begin(topology.name, marked, instance_class=own_class, subnet_group=wish.subnet_group)


class Restoring:
    """The copy of one run."""

    def __init__(self, aws: RdsClients, note: Copy, notes: Notes, say: Say) -> None:
        self.aws, self.note, self.notes, self.say = aws, note, notes, say
        self.flavour = flavour_of(aws.spec)

    def look(self) -> Waiting | None:
        """Ask for what comes next.

        :return: None once everything is there
        """
        found, progress = self.flavour.find(self.aws, self.note.name), self.notes.progress()
        if found is None:
            return self._ask(progress)
        require_ours(self.aws, self.note, progress, found)
        if not (progress and progress.seen):
            progress = Progress(asked_at=progress.asked_at if progress else utc_now(), seen=found.resource_id)
            self.notes.say(progress)
        self._require_well(self.flavour, found)
        if not found.ready:
            return self.waiting(f"it is {found.status}")
        if left := self._members() or self._settings(found, progress):
            return self.waiting(left)
        self.say(f"{self.flavour.noun} {found.name} restored to {to_rfc3339(self.note.marked.instant)}, at {found.address}:{found.port}")
        return None

    def waiting(self, detail: str) -> Waiting:
        """Look again later."""
        minutes = int((utc_now() - self.note.began_at).total_seconds() // 60)
        said = f"{self.flavour.noun} {self.note.name}, begun {minutes} min ago: {detail}"
        return looks.waiting(self.aws.store, said, self.note.began_at, self.aws.spec.restore_timeout)

    # -- the restore itself ------------------------------------------------------------------------------------------------------------

    def _ask(self, progress: Progress | None) -> Waiting:
        """For the copy; but for one that was there and is gone, nobody asks again."""
        if progress and progress.seen:
            raise RestoreFailedError(
                f"store {self.aws.store}: {self.flavour.noun} {self.note.name} was there, and somebody has deleted it",
                fix="start a new run",
            )
        if progress and utc_now() - progress.asked_at < UNSEEN:
            return self.waiting("not to be seen yet")
        marked = self.note.marked
        require_fit(self.aws, marked.name, marked.instant, history_of(self.aws, marked.resource_id), alive=False)
        self.notes.say(Progress(asked_at=utc_now()))  # from now on it may be on its way
        try:
            request = wanted.restore_request(self.note, self.flavour)
            self.flavour.restore(self.aws, self.note.name, marked.resource_id, marked.instant, **request)
        except StoreError as error:
            if refused_with(error) in TAKEN and (progress or self._by_another_look()):
                return self.waiting("not to be seen yet")  # an earlier request did arrive; or the next look finds somebody else's
            if not isinstance(error, StoreUnreachableError):
                self.notes.forget_progress()  # it was refused, so nothing is on its way
            raise
        return self.waiting("restore asked for")

    def _by_another_look(self) -> bool:
        """Whether the name was taken by this run: by a task that was given up, and lives on."""
        found = self.flavour.find(self.aws, self.note.name)
        return found is None or is_ours(self.note, None, found)

    def _require_well(self, flavour: Flavour, found: Server) -> None:
        if found.status in FAILED:
            words = flavour.words_of(self.aws, found.name) or "Amazon's events say no more"
            raise RestoreFailedError(
                f"store {self.aws.store}: the restore of {self.note.marked.name} into {flavour.noun} {found.name} ended as {found.status}: {words}",
                fix="see to what it says, then start a new run",
            )

    # -- what it loses -----------------------------------------------------------------------------------------------------------------

    def _members(self) -> str:
        """A cluster comes back without instances. The first one to be made becomes the writer."""
        left = []
        for number, member in enumerate(wanted.members_of(self.note), 1):
            found = INSTANCES.find(self.aws, name := member_name(self.note.name, number))
            if found is None:
                self._make(name, member)
                left.append(f"{name} asked for")
                continue
            if not is_ours(self.note, None, found) or found.said.get("DBClusterIdentifier") != self.note.name:
                raise TargetExistsError(f"store {self.aws.store}: instance {name} is somebody else's", fix="choose another name")
            self._require_well(INSTANCES, found)
            left += [] if found.ready else [f"{name} is {found.status}"]
        return ", ".join(left)

    def _make(self, name: str, member: Member) -> None:
        try:
            INSTANCES.make(self.aws, name, **wanted.member_request(self.note, member))
        except TargetExistsError:
            return  # asked for a moment ago, and not to be seen yet; or the next look finds somebody else's

    def _settings(self, found: Server, progress: Progress) -> str:
        """What the restore did not take along. None of it decides who may reach the copy; that came with the request."""
        if self.note.drill:
            return ""
        changes = wanted.changes(self.flavour, self.note.marked.settings, settings_of(found.said))
        what = ", ".join(sorted(changes))
        if not changes or progress.asked.get(what, 0) >= REPEATS:
            return ""
        self.notes.say(progress.model_copy(update={"asked": {**progress.asked, what: progress.asked.get(what, 0) + 1}}))
        try:
            self.flavour.modify(self.aws, found.name, **changes)
        except StoreError as error:
            if passes(error):
                self.notes.say(progress)  # it was not taken, so it does not count
                raise
            log.warning("%s could not be put back: %s", what, error.message)  # told again by `verify`
            self.notes.say(progress.model_copy(update={"asked": {**progress.asked, what: REPEATS}}))
            return ""
        return f"{what} asked for"

"""Copies of all marked tables, restored by the service to their instant: so many at once, the largest first, looked at from time to time.

A look is all there is: it finds what is there, starts what there is room for, and says what is waited for. So it does not matter who looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from midtime.errors import TargetExistsError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.words import counted, listed
from midtime.stores import notes
from midtime.stores.base import Say, Shelf, Target, Waiting
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.copies import (
    Standing,
    available,
    backups_of,
    copy_names,
    require_none_taken,
    require_ours,
    standings,
    tag,
    tags_of,
)
from midtime.stores.dynamodb.history import histories
from midtime.stores.dynamodb.marking import require_fit
from midtime.stores.dynamodb.notes import Copies, Notes
from midtime.stores.dynamodb.pacing import is_full, put_off
from midtime.stores.dynamodb.settings import MarkedTables
from midtime.stores.looks import waiting
from midtime.stores.naming import COPY_TAG, PLACED


def begin(topology: Topology, aws: Aws, backup: StoreBackup, shelf: Shelf, target: Target) -> Copies:
    """The notes of this run; before they are written, nothing may stand under the copies' names.

    :raises TargetExistsError: something does
    """
    own = Notes(topology, target)
    if found := own.copies():
        return found
    marked = notes.marked(backup, shelf, MarkedTables)
    names = copy_names(target, marked.prefix, [table.name for table in marked.tables])
    require_free(aws, list(names.values()))
    return own.begin_copies(names, marked)


def require_free(aws: Aws, names: Sequence[str]) -> None:
    """No table of these names is there.

    :raises TargetExistsError: one is
    """
    if taken := [name for name, each in standings(aws, names).items() if each.said]:
        raise TargetExistsError(
            f"store {aws.store}: {listed(taken)} {'is' if len(taken) == 1 else 'are'} there already",
            fix="choose another prefix, or delete what is not needed any more",
        )


def require_all_fit(aws: Aws, marked: MarkedTables, names: Sequence[str]) -> dict[str, int]:
    """Every one of these tables can be restored to the instant. The size of each.

    :raises NotRestorableError: one cannot
    """
    found = histories(aws, names)
    require_fit(aws.store, marked.instant, ((each.name, each.unfit(marked.instant, marked.table(each.name).table_id)) for each in found))
    return {each.name: int(each.description.get("TableSizeBytes") or 0) for each in found}


class Restoring:
    """The copies of one run.

    :param kept: on-demand backups of the copies are needed, too: they are what a restore in place brings into place
    """

    def __init__(self, aws: Aws, notes: Copies, say: Say, *, kept: bool) -> None:
        self.aws, self.notes, self.say, self.kept = aws, notes, say, kept
        self._limit = ""

    def look(self) -> Waiting | None:
        """Start what there is room for.

        :return: None once everything is there
        :raises TargetExistsError: another table has come to stand under a copy's name
        :raises NotRestorableError: a table cannot be restored any more
        :raises RestoreFailedError: it takes too long
        """
        found = standings(self.aws, list(self.notes.names.values()))
        require_ours(self.notes, found, self.aws.store)
        missing = {source: copy for source, copy in self.notes.names.items() if not found[copy].said}
        coming = [each for each in found.values() if each.status == "CREATING"]
        started = self._start(missing, self.aws.spec.parallel_restores - len(coming)) if missing else []
        ready = [each for each in found.values() if each.ready]
        unsaved = self._save(ready) if self.kept else 0
        if len(ready) == len(found) and not unsaved and self._tag(ready):
            self.say(f"{counted(len(found), 'table')} restored to {to_rfc3339(self.notes.marked.instant)}")
            return None
        return self._waiting(found, coming, started, unsaved)

    def _start(self, missing: Mapping[str, str], room: int) -> list[str]:
        """The largest first: what takes longest must not begin last."""
        if room <= 0:
            return []
        sizes = require_all_fit(self.aws, self.notes.marked, list(missing))
        started: list[str] = []
        for source in sorted(missing, key=lambda each: (-sizes[each], each)):
            if len(started) == room:
                break
            why = put_off(
                self.aws.store,
                self.aws.paced.restore_table_to_point_in_time,
                SourceTableName=source,
                TargetTableName=missing[source],
                RestoreDateTime=self.notes.marked.instant,
                BillingModeOverride="PAY_PER_REQUEST",  # it is read from end to end soon
            )
            self._limit = why or self._limit
            if is_full(why):
                break
            if not why:
                started.append(missing[source])
        return started

    def _tag(self, ready: Sequence[Standing]) -> bool:
        """For people, and for who finds them once they are placed: what says whose a copy is until then comes with the restore itself.

        :raises TargetExistsError: another run says that it is its own
        """
        tags = {each.name: tags_of(self.aws, each).get(COPY_TAG, "") for each in ready}
        require_none_taken(
            self.aws.store, [name for name, said in tags.items() if said.removeprefix(PLACED) not in ("", self.notes.working)]
        )
        untagged = [each for each in ready if not tags[each.name]]
        return not any(tag(self.aws, each, self.notes.working) for each in untagged)  # throttled once, it will be at once again

    def _save(self, ready: Sequence[Standing]) -> int:
        """How many copies have no backup yet."""
        found = backups_of(self.aws, self.notes.working, self.notes.began_at)
        for each in ready:
            if each.said["TableId"] in found:
                continue
            if is_full(put_off(self.aws.store, self.aws.paced.create_backup, TableName=each.name, BackupName=self.notes.working)):
                break
        return sum(not available(found.get(each.said["TableId"])) for each in ready)

    def _waiting(self, found: Mapping[str, Standing], coming: Sequence[Standing], started: Sequence[str], unsaved: int) -> Waiting:
        done = sum(each.ready for each in found.values())
        said = f"{done} of {counted(len(found), 'table')} restored, {len(coming) + len(started)} under way"
        if coming:
            oldest = min(coming, key=lambda each: each.said["CreationDateTime"])
            minutes = int((utc_now() - oldest.said["CreationDateTime"]).total_seconds() // 60)
            said += f", the oldest for {minutes} min ({oldest.name})"
        if unsaved:
            said += f", {unsaved} being backed up"
        if self._limit:
            said += f"; the service takes no more now ({self._limit})"
        return waiting(self.aws.store, said, self.notes.began_at, self.aws.spec.restore_timeout)


def restore(topology: Topology, aws: Aws, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> Waiting | None:
    """One look.

    :raises TargetExistsError: a name is taken
    :raises NotRestorableError: a table can never be restored to the instant
    """
    return Restoring(aws, begin(topology, aws, backup, shelf, target), say, kept=bool(target.aside)).look()

"""A restore in place, and its way back: tables are deleted and restored from backups under their own names.

DynamoDB renames nothing. So before the first table is deleted, there is an available backup of every copy and of every live table; from then
on each table's content is in two backups at least, whatever happens. How far each table is, it says itself: by its id, and by the backup that
it was restored from. A look finds that out and makes the next call for each of them; so whoever comes after a killed process goes on, either way.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from midtime.errors import LeaseHeldError, RestoreFailedError, StoreStatementError, TargetExistsError
from midtime.model.instants import utc_now
from midtime.model.words import counted, listed
from midtime.stores import looks
from midtime.stores.base import Waiting
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.copies import Standing, available, backups_named, let_go, remove_backups, standings
from midtime.stores.dynamodb.history import GOING, histories
from midtime.stores.dynamodb.notes import Copies, Kept, Notes
from midtime.stores.dynamodb.pacing import is_full, put_off
from midtime.stores.dynamodb.putting import Putting, limits, throughput
from midtime.stores.dynamodb.reading import read_settings
from midtime.stores.dynamodb.refusals import aws_errors
from midtime.stores.dynamodb.settings import TableSettings
from midtime.stores.looks import waiting

log = logging.getLogger(__name__)


class Whose(StrEnum):
    """What stands under a table's own name."""

    NOBODYS = "nobody's"
    LIVE = "the one that was live before"
    NEW = "restored from our copy"
    BACK = "put back"
    OTHER = "somebody else's"


@dataclass(frozen=True, slots=True)
class Place:
    """One table's own name: what is there, and what can be brought there."""

    standing: Standing
    whose: Whose
    copy: Mapping[str, Any]
    """The copy, described."""
    new: str
    """The ARN of a backup of the copy; empty where none is available."""
    old: str
    """The same of the table that was live."""

    @property
    def name(self) -> str:
        """The table's own."""
        return self.standing.name


class Swap:
    """Of one run.

    :param notes: the run's
    :raises RestoreFailedError: nobody knows of its copies any more
    """

    def __init__(self, aws: Aws, notes: Notes) -> None:
        self.aws, self.notes = aws, notes
        copies = notes.copies()
        if copies is None:
            raise RestoreFailedError(
                f"store {aws.store}: the run's notes about its copies {notes.target.working} are gone", fix="start a new run"
            )
        self.copies: Copies = copies
        self._began = utc_now()

    # -- forward ----------------------------------------------------------------------------------------------------------------------

    def forward(self) -> None:
        """Bring the copies into place.

        :raises LeaseHeldError: somebody else puts it back
        :raises TargetExistsError: somebody made a table under one of the names
        :raises RestoreFailedError: a copy or a backup is missing, or it takes too long
        """
        if self.notes.going_back:
            self.back()
        kept = self.notes.kept() or self._keep()
        looks.to_the_end(partial(self._save_live, kept), log.info)
        putting = Putting(self.aws, {table.name: table for table in self.copies.marked.tables})
        looks.to_the_end(partial(self._move, kept, Whose.NEW, putting), log.info)
        _say_differences(putting, "in the mark")

    def _keep(self) -> Kept:
        """Note what is live, before anything of it is touched."""
        self._require_copies()
        found = [each for each in histories(self.aws, list(self.copies.names)) if each.table_id]
        if going := [f"{each.name} ({each.status})" for each in found if each.status in GOING]:
            raise StoreStatementError(f"store {self.aws.store}: {listed(going)}", fix="see who creates or deletes these tables")
        return self.notes.keep(tuple(read_settings(self.aws, found)))

    def _require_copies(self) -> None:
        places = self._places(None)
        if missing := [place.name for place in places if not place.new]:
            raise RestoreFailedError(
                f"store {self.aws.store}: no available backup of the copy of {listed(missing)}", fix="start a new run; nothing was touched"
            )

    def _save_live(self, kept: Kept) -> Waiting | None:
        """Back up what is live; nothing is deleted before all of it is."""
        places = self._places(kept)
        self._refuse_lost(places, kept)
        saved = {each["TableId"]: each for each in self._backups(kept)}
        left = [place for place in places if place.whose is Whose.LIVE and not place.old]
        for place in left:
            if place.standing.said["TableId"] in saved:
                continue
            if is_full(put_off(self.aws.store, self.aws.paced.create_backup, TableName=place.name, BackupName=kept.aside)):
                break
        if not left:
            return None
        return self._waiting(f"{len(left)} of {counted(len(kept.tables), 'live table')} being backed up")

    # -- back -------------------------------------------------------------------------------------------------------------------------

    def back(self) -> None:
        """Bring back what was live. Where nothing of it was touched, nothing is.

        :raises RestoreFailedError: what was live, or its backup, is gone; nothing was moved
        """
        kept = self.notes.kept()
        if kept is None:
            self.notes.forget_kept()
            return
        if not self.notes.all_back:
            self._require_way_back(kept)
            self.notes.say_going_back()
            putting = Putting(self.aws, {table.name: table for table in kept.tables})
            looks.to_the_end(partial(self._move, kept, Whose.BACK, putting), log.info)
            _say_differences(putting, "before")
            self.notes.say_all_back()
        remove_backups(self.aws, kept.aside, kept.began_at)
        self.notes.forget_kept()

    def _require_way_back(self, kept: Kept) -> None:
        lost = []
        for place in self._places(kept):
            if kept.table(place.name) is None:
                continue
            alive = place.whose in (Whose.LIVE, Whose.BACK) and place.standing.status != "DELETING"
            if place.whose is Whose.OTHER or not (alive or place.old):
                lost.append(f"{place.name} is {place.whose}, and its backup {kept.aside} {'there' if place.old else 'gone'}")
        if lost:
            raise RestoreFailedError(
                f"store {self.aws.store}: {listed(lost)}",
                fix="nothing was moved. A protected table's content is in DynamoDB's own backup `<table>$DeletedTableBackup`, too",
            )

    # -- both -------------------------------------------------------------------------------------------------------------------------

    def _move(self, kept: Kept, wanted: Whose, putting: Putting) -> Waiting | None:
        """One step for each table; so few are in between at once as are restored at once."""
        places = self._places(kept)
        if wanted is Whose.NEW:
            self._require_nobody_goes_back(kept)
        self._refuse_others(places, kept, wanted)
        there = [place for place in places if _arrived(place, kept, wanted)]
        moving = [place for place in places if place not in there]
        between = [place for place in moving if not place.standing.ready]
        leaving = [place for place in moving if place.standing.ready and place.whose not in _goal(place, kept, wanted)]
        for place in between:
            if place.whose is Whose.NOBODYS:
                self._restore(place, kept, wanted)
        room = max(0, self.aws.spec.parallel_restores - len(between))
        for place in sorted(leaving, key=lambda each: (-int(each.copy.get("TableSizeBytes") or 0), each.name))[:room]:
            self._delete(place, kept, wanted)
        unset = putting.look({place.name: place.standing for place in there if place.whose in (Whose.LIVE, Whose.NEW, Whose.BACK)})
        if not moving and not unset:
            return None
        said = f"{len(there)} of {counted(len(places), 'table')} in place, {len(between)} on the way"
        return self._waiting(said + (f", settings of {listed(unset)}" if unset else ""))

    def _delete(self, place: Place, kept: Kept, wanted: Whose) -> None:
        """Only what is somewhere else as well, and whose place is taken."""
        safe = (place.new or place.copy) if place.whose is Whose.NEW else place.old
        follows = place.new if wanted is Whose.NEW else place.old or kept.table(place.name) is None
        if not safe or not follows:
            raise RestoreFailedError(f"store {self.aws.store}: {place.name} has no available backup", fix="nothing was deleted of it")
        if wanted is Whose.NEW:
            self._require_nobody_goes_back(kept)  # nothing comes between that and the act
        if why := let_go(self.aws, place.standing):
            log.info("%s: %s", place.name, why)

    def _restore(self, place: Place, kept: Kept, wanted: Whose) -> None:
        """From the backup that has what is wanted. One of a live table has that table's own billing and capacity."""
        backup = place.new if wanted is Whose.NEW else place.old
        if not backup:
            raise RestoreFailedError(f"store {self.aws.store}: {place.name} is gone, and so is its backup", fix="see who deletes backups")
        arguments: dict[str, Any] = {"TargetTableName": place.name, "BackupArn": backup}
        if wanted is Whose.NEW:
            with aws_errors(self.aws.store):
                described = self.aws.control.describe_backup(BackupArn=backup)["BackupDescription"].get("SourceTableFeatureDetails", {})
            arguments |= overrides(self.copies.marked.table(place.name), described)
        if why := put_off(self.aws.store, self.aws.paced.restore_table_from_backup, **arguments):
            log.info("%s: %s", place.name, why)

    def _places(self, kept: Kept | None) -> list[Place]:
        names = self.copies.names
        live, copies = standings(self.aws, list(names)), standings(self.aws, list(names.values()))
        ours = backups_named(self.aws, self.copies.working, self.copies.began_at)
        theirs = self._backups(kept) if kept else []
        return [_place(live[name], copies[copy], ours, theirs, kept) for name, copy in names.items()]

    def _backups(self, kept: Kept) -> list[dict[str, Any]]:
        return backups_named(self.aws, kept.aside, kept.began_at)

    def _require_nobody_goes_back(self, kept: Kept) -> None:
        """A process that stood still for long must not delete what another one has put back."""
        now = self.notes.kept()
        if self.notes.going_back or now is None or now.digest != kept.digest:
            raise LeaseHeldError(f"store {self.aws.store} is being put back by somebody else", fix="start a new run")

    def _refuse_others(self, places: list[Place], kept: Kept, wanted: Whose) -> None:
        """What stands in the way and is nobody's of ours is not deleted, whatever is to come there."""
        if others := [place.name for place in places if place.whose is Whose.OTHER and Whose.OTHER not in _goal(place, kept, wanted)]:
            raise TargetExistsError(
                f"store {self.aws.store}: {listed(others)} {'was' if len(others) == 1 else 'were'} made by somebody else meanwhile",
                fix="see who makes tables under these names; what was live is in the backups " + kept.aside,
            )

    def _refuse_lost(self, places: list[Place], kept: Kept) -> None:
        """Nothing is begun where there would be no way back for one of them."""
        begun = any(place.whose is not Whose.LIVE and place.old for place in places)
        if lost := [
            place.name for place in places if kept.table(place.name) and place.whose is Whose.NOBODYS and not place.old and not begun
        ]:
            raise RestoreFailedError(
                f"store {self.aws.store}: {listed(lost)} {'is' if len(lost) == 1 else 'are'} gone, and there is no backup of it",
                fix="nothing was moved; see who deletes tables, then start a new run",
            )

    def _waiting(self, detail: str) -> Waiting:
        return waiting(self.aws.store, detail, self._began, self.aws.spec.restore_timeout)


def _say_differences(putting: Putting, to: str) -> None:
    for difference in putting.differences():
        log.warning("Not as %s: %s", to, difference)


def _goal(place: Place, kept: Kept, wanted: Whose) -> tuple[Whose, ...]:
    """What may stand there in the end."""
    if wanted is Whose.NEW:
        return (Whose.NEW,)
    return (Whose.LIVE, Whose.BACK) if kept.table(place.name) else (Whose.NOBODYS, Whose.OTHER)


def _arrived(place: Place, kept: Kept, wanted: Whose) -> bool:
    return place.whose in _goal(place, kept, wanted) and (place.standing.ready or place.whose in (Whose.NOBODYS, Whose.OTHER))


def _place(live: Standing, copy: Standing, ours: list[dict[str, Any]], theirs: list[dict[str, Any]], kept: Kept | None) -> Place:
    before = kept.table(live.name) if kept else None
    of_copy = [each for each in ours if each["TableName"] == copy.name and each["TableId"] == copy.said.get("TableId", each["TableId"])]
    of_live = [each for each in theirs if before and each["TableId"] == before.table_id]
    source = live.restored.get("SourceBackupArn")
    if not live.said:
        whose = Whose.NOBODYS
    elif before and live.said["TableId"] == before.table_id:
        whose = Whose.LIVE
    elif source and source in [each["BackupArn"] for each in of_copy]:
        whose = Whose.NEW
    elif source and source in [each["BackupArn"] for each in of_live]:
        whose = Whose.BACK
    else:
        whose = Whose.OTHER
    return Place(live, whose, copy.said, _oldest(of_copy), _oldest(of_live))


def _oldest(backups: list[dict[str, Any]]) -> str:
    return next((str(each["BackupArn"]) for each in reversed(backups) if available(each)), "")


def overrides(wanted: TableSettings, described: Mapping[str, Any]) -> dict[str, Any]:
    """Billing and capacity of a restored table and of its indexes: what a backup has is what the table had when it was made.

    :param described: a table of the same keys and indexes
    """
    arguments: dict[str, Any] = {"BillingModeOverride": wanted.billing}
    if wanted.billing == "PROVISIONED":
        if wanted.capacity:
            arguments["ProvisionedThroughputOverride"] = throughput(wanted.capacity)
    elif wanted.limits:
        arguments["OnDemandThroughputOverride"] = limits(wanted.limits)
    settings = {index.name: index for index in wanted.indexes}
    indexes = []
    for said in described.get("GlobalSecondaryIndexes") or ():
        index: dict[str, Any] = {key: said[key] for key in ("IndexName", "KeySchema", "Projection")}
        its = settings.get(said["IndexName"])
        if wanted.billing == "PROVISIONED" and (capacity := (its and its.capacity) or wanted.capacity):
            index["ProvisionedThroughput"] = throughput(capacity)  # without any the service refuses the restore
        if its and its.limits and wanted.billing != "PROVISIONED":
            index["OnDemandThroughput"] = limits(its.limits)
        indexes.append(index)
    if indexes:
        arguments["GlobalSecondaryIndexOverride"] = indexes
    return arguments

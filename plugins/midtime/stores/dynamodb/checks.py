"""The preflight of a backup: all that a mark, and a restore to it, will need. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import cast

from midtime.errors import NotRestorableError, StoreAccessError, StoreStatementError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.topology import Topology
from midtime.model.topology.cloud import Dynamodb
from midtime.model.words import counted, listed
from midtime.stores.base import Question
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.copies import standings
from midtime.stores.dynamodb.fences import describe_fence
from midtime.stores.dynamodb.history import GOING, LONGEST, History, histories
from midtime.stores.dynamodb.reading import read_settings
from midtime.stores.dynamodb.tables import (
    NAMESPACES,
    beginnings,
    fence_name,
    find_tables,
    full_name,
    known_to_scalardb,
    list_tables,
    neighbours,
)


class BackupChecks:
    """The questions about one store; each stands on the answers before it."""

    def __init__(self, topology: Topology, aws: Aws) -> None:
        self.topology, self.aws = topology, aws
        self._found: list[History] = []

    def questions(self) -> Iterator[Question]:
        """In the order in which they make sense."""
        yield "is reachable", self._reachable
        yield "has its tables", self._tables
        if others := [name for name in neighbours(self.topology, self.aws.spec) if name != self.aws.store]:
            yield "shares no table", lambda: self._apart(others)
        yield "is at rest", self._at_rest
        yield "keeps a history", self._history
        yield "may be marked", self._rights
        yield "can be restored", self._pace
        if self.aws.spec.fence and self.topology.needs_pause:
            yield "has a fence table", lambda: describe_fence(self.aws, self._fence)

    @property
    def _fence(self) -> str:
        return fence_name(self.topology, self.aws.store, self.aws.spec)

    def _reachable(self) -> str:
        there = sum(1 for _ in list_tables(self.aws))
        return f"{self.aws.spec.region}, {counted(there, 'table')} for this login"

    def _tables(self) -> str:
        names = find_tables(self.topology, self.aws)
        if missing := [name for name in known_to_scalardb(self.topology, self.aws) if name not in names]:
            raise StoreAccessError(
                f"store {self.aws.store}: ScalarDB's metadata names {listed(missing)}, which {'is' if len(missing) == 1 else 'are'} not there",
                fix="create these tables with ScalarDB's schema loader (--repair-all), or drop them with it",
            )
        self._found = histories(self.aws, [name for name in names if name != self._fence])
        namespaces = full_name(self.aws.spec, self.topology.scalardb.metadata_namespace, NAMESPACES)
        old = "" if namespaces in names else f"; no {namespaces}, as in older versions of ScalarDB"
        return f"{counted(len(self._found), 'table')}{old}"

    def _apart(self, others: Sequence[str]) -> str:
        """Stores by different connections, or with prefixes that run into the namespaces, may be the same tables all the same."""
        for other in others:
            alike = [each for each in self._found if each.name.startswith(beginnings(self.topology, other))]
            if alike and self._is_there(other, alike[0]):
                raise StoreAccessError(
                    f"store {self.aws.store}: {listed([each.name for each in alike])} are also store {other}'s",
                    fix="list a table in one store only: correct their connections, prefixes and namespaces",
                )
        return f"with {', '.join(others)}"

    def _is_there(self, other: str, table: History) -> bool:
        """Whether the other store's login means this very table, and not one of another account."""
        aws = Aws(other, cast(Dynamodb, self.topology.store(other)))
        return standings(aws, [table.name])[table.name].said.get("TableId") == table.table_id

    def _at_rest(self) -> str:
        if going := [f"{each.name} ({each.status or 'deleted'})" for each in self._found if not each.table_id or each.status in GOING]:
            raise StoreStatementError(
                f"store {self.aws.store}: {listed(going)}", fix="wait until nobody creates or deletes tables any more, then try again"
            )
        if replicated := [each.name for each in self._found if each.description.get("Replicas")]:
            return f"yes; a restored copy of {listed(replicated)} is no global table any more"
        return "yes"

    def _history(self) -> str:
        """Switched on for every table, and begun."""
        off = [each.name for each in self._found if not each.on]
        if off:
            raise StoreAccessError(
                f"store {self.aws.store}: point-in-time recovery is off for {listed(off)}",
                fix="switch it on for every table (ScalarDB's schema loader does, without --no-backup); its history begins then",
            )
        now = utc_now()
        if young := [each.name for each in self._found if each.earliest is None or each.earliest > now]:
            raise NotRestorableError(
                f"store {self.aws.store}: the history of {listed(young)} has not begun yet", fix="try again in minutes"
            )
        return _kept(self._found, self.topology.retention.keep_days)

    def _rights(self) -> str:
        """There is no dry run of these calls, but all of them only read."""
        read_settings(self.aws, self._found[:1])
        return "the settings that a restore loses can be read"

    def _pace(self) -> str:
        at_once = min(self.aws.spec.parallel_restores, len(self._found))
        return f"{counted(len(self._found), 'table')}, {at_once} at once (`parallel_restores`; Amazon's default quota is 50 per account)"


def _kept(found: Sequence[History], keep_days: int) -> str:
    youngest = max(found, key=lambda each: each.earliest or utc_now())
    shortest = min(found, key=lambda each: each.period or LONGEST)
    days = shortest.period or LONGEST
    said = f"all begin by {to_rfc3339(youngest.earliest or utc_now())} ({youngest.name}); the shortest is of {days} days ({shortest.name})"
    if timedelta(days=days) < timedelta(days=keep_days):
        said += f"; `retention.keep_days` is {keep_days}, but what is older than {days} days cannot be restored"
    return said

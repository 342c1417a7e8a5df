"""Where DynamoDB's tables are restored to, what that will be, and whether it can be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import cast

from midtime.errors import NotRestorableError, RequestError, StoreAccessError, StoreStatementError
from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cloud import Dynamodb
from midtime.model.topology.targets import Target as TargetWish
from midtime.model.words import counted, listed
from midtime.stores.base import WILL_BE, Question, Target
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.copies import copy_names, require_ours, standings
from midtime.stores.dynamodb.history import GOING, histories
from midtime.stores.dynamodb.marking import require_fit
from midtime.stores.dynamodb.notes import Notes
from midtime.stores.dynamodb.reading import read_settings
from midtime.stores.dynamodb.restoring import require_free
from midtime.stores.dynamodb.tables import beginnings, find_tables, neighbours
from midtime.stores.naming import working_name

_PREFIX = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,149}")
ENDS = "every restore point made of it before ends with a restore in place: DynamoDB's history went with the tables that gave way"


def target_of(topology: Topology, store: str, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
    """Names; nothing is touched.

    :raises RequestError: what was wished for is no prefix, or the live tables' own, or a prefix in place
    """
    spec, working = cast(Dynamodb, topology.store(store)), working_name(store, run)
    if wish and wish.region not in (None, spec.region):
        raise RequestError(
            f"store {store!r}: a restore into another region ({wish.region}) is not supported yet", fix="leave the target's region out"
        )
    conn_id = (wish.conn_id if wish else None) or spec.conn_id
    prefix = (wish.prefix or wish.to or "") if wish else ""
    if prefix and not _PREFIX.fullmatch(prefix):
        raise RequestError(
            f"store {store!r}: {prefix!r} is no prefix of table names", fix="use up to 150 letters, digits, dots, dashes and underscores"
        )
    if drill:
        name = prefix + working
        _require_apart(topology, store, [name])
        return Target(store, conn_id, name, name)
    if in_place:
        if prefix:  # beside the tables, and beside other stores that are replaced: a set of two instants
            raise RequestError(
                f"store {store!r}: a restore in place takes the live tables' own names, so {prefix!r} means nothing",
                fix="leave the store out of targets, or leave in_place out",
            )
        return Target(store, conn_id, working, f"{spec.prefix or ''}*", working.replace("midtime_tmp_", "midtime_kept_", 1))
    prefix = prefix or f"restored_{run}_"
    if prefix == (spec.prefix or ""):
        raise RequestError(f"store {store!r}: {prefix!r} is the prefix of the live tables", fix="choose another one, or set in_place")
    _require_apart(topology, store, [f"{prefix}{namespace}." for namespace in topology.all_namespaces(store)])
    return Target(store, conn_id, working, prefix)


def _require_apart(topology: Topology, store: str, names: Sequence[str]) -> None:
    """No copy may be taken for a live table, by the next backup or by whoever else reads names.

    :param names: what the copies' begin with
    :raises RequestError: one would
    """
    for other in neighbours(topology, cast(Dynamodb, topology.store(store))):
        if alike := [name for name in names if name.startswith(beginnings(topology, other))]:
            raise RequestError(
                f"store {store!r}: tables {alike[0]}* would count as live ones of store {other!r}", fix="choose another prefix"
            )


def aws_of(topology: Topology, target: Target) -> Aws:
    """The clients of a target: the store's own, unless the target names another connection."""
    spec = cast(Dynamodb, topology.store(target.store))
    if target.conn_id == spec.conn_id:
        return Aws(target.store, spec)
    drilled = topology.drill.targets.get(target.store)
    data = drilled.data_conn_id if drilled and drilled.conn_id == target.conn_id else None
    return Aws(target.store, spec.model_copy(update={"conn_id": target.conn_id, "data_conn_id": data}))


class RestoreChecks:
    """The preflight of a restore. It changes nothing."""

    def __init__(self, topology: Topology, aws: Aws, target: Target, backup: StoreBackup) -> None:
        self.topology, self.aws, self.target, self.backup = topology, aws, target, backup
        self.tables: dict[str, str] = dict(backup.details["tables"])
        self._sizes: dict[str, int] = {}

    def questions(self) -> Iterator[Question]:
        """Each stands on the answers before it."""
        yield "is the store that was marked", self._same
        yield "can be restored to the instant", self._history
        if self.target.aside:
            yield "can give way", self._can_give_way
        yield WILL_BE, self._will_be
        yield "is restored", self._pace
        yield "gets its settings back", self._settings

    def _same(self) -> str:
        spec, said = self.aws.spec, self.backup.details
        if (said["region"], said["prefix"]) != (spec.region, spec.prefix or ""):
            raise StoreAccessError(
                f"store {self.aws.store} was marked in {said['region']} with prefix {said['prefix']!r}",
                fix="correct the store's region and prefix: a history cannot be restored elsewhere",
            )
        return f"{counted(len(self.tables), 'table')} in {spec.region}, account {said['account']}"

    def _history(self) -> str:
        instant = self.backup.midtime
        found = histories(self.aws, list(self.tables))
        require_fit(self.aws.store, instant, ((each.name, each.unfit(instant, self.tables[each.name])) for each in found))
        foreign = [each.name for each in found if each.description["TableArn"].split(":")[4] != self.backup.details["account"]]
        if foreign:
            raise StoreAccessError(f"store {self.aws.store}: {listed(foreign)} are another account's", fix="correct the connection")
        if behind := [each.name for each in found if not each.reaches(instant)]:
            raise NotRestorableError(
                f"store {self.aws.store}: the history of {listed(behind)} does not reach {to_rfc3339(instant)}", fix="try again in minutes"
            )
        self._sizes = {each.name: int(each.description.get("TableSizeBytes") or 0) for each in found}
        return f"to {to_rfc3339(instant)}, {sum(self._sizes.values()):,} bytes"

    def _can_give_way(self) -> str:
        found = histories(self.aws, list(self.tables))
        if replicated := [each.name for each in found if each.description.get("Replicas")]:
            raise StoreAccessError(
                f"store {self.aws.store}: {listed(replicated)} are global tables, whose replicas a restore in place would lose",
                fix="restore beside, and move the product's prefix; or remove the replicas first",
            )
        if going := [f"{each.name} ({each.status})" for each in found if each.status in GOING]:
            raise StoreStatementError(
                f"store {self.aws.store}: {listed(going)}", fix="wait until nobody creates or deletes tables any more"
            )
        return "no global tables, none is being changed"

    def _will_be(self) -> str:
        names = copy_names(self.target, self.backup.details["prefix"], list(self.tables))
        notes = Notes(self.topology, self.target).copies()
        if notes and notes.names == names:
            require_ours(notes, standings(self.aws, list(names.values())), self.aws.store)
        else:
            require_free(self.aws, list(names.values()))
        if not self.target.aside:
            shown = f"`{self.target.final}*`" if self.target.final != self.target.working else f"`{self.target.working}_*`"
            return f"{counted(len(names), 'table')} {shown}, in {self.aws.spec.region}"
        return f"{counted(len(names), 'table')} under their own names, replacing what is there{self._others()}. **{ENDS[0].upper()}{ENDS[1:]}**"

    def _others(self) -> str:
        """What is left as it is, and what is kept."""
        kept = f", which is kept as on-demand backups `{self.target.aside}`"
        try:
            live = find_tables(self.topology, self.aws)
        except StoreAccessError:
            return kept
        others = [name for name in live if name not in self.tables]
        return kept + (f"; {listed(others)}, made since, {'stays' if len(others) == 1 else 'stay'}" if others else "")

    def _pace(self) -> str:
        at_once = min(self.aws.spec.parallel_restores, len(self.tables))
        twice = "; twice, the second time while the products are stopped" if self.target.aside else ""
        return f"{at_once} at once, by DynamoDB, in minutes to hours{twice}"

    def _settings(self) -> str:
        """The rights to read are those to compare; whether we may write them shows only then."""
        if self.target.final == self.target.working:
            return "no: a drill's tables go again"
        read_settings(self.aws, histories(self.aws, list(self.tables)[:1]))
        return "as they were marked; what the login may not put back is said"


def drill_questions(topology: Topology, aws: Aws, target: Target) -> Iterator[Question]:
    """Whether the topology's drill target makes names that fit."""

    def fits() -> str:
        names = copy_names(target, aws.spec.prefix or "", find_tables(topology, aws))
        return f"{counted(len(names), 'table')} `{target.working}_*`"

    yield "can be drilled", fits

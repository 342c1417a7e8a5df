"""Where an instance or a cluster is restored to, what that will be, and whether it can be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from midtime.errors import NotRestorableError, RequestError, StoreAccessError, TargetExistsError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.topology.cloud import Aurora, Rds
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import WILL_BE, Question, Target
from midtime.stores.naming import fit, working_name
from midtime.stores.rds.classes import smallest_class
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.dialects import data_of, is_unread
from midtime.stores.rds.groups import NOTED, groups_of, require_groups
from midtime.stores.rds.history import History, history_at, history_of, spread_of
from midtime.stores.rds.marking import require_fit
from midtime.stores.rds.notes import Notes
from midtime.stores.rds.reading import read
from midtime.stores.rds.servers import INSTANCES, flavour_of
from midtime.stores.rds.settings import MarkedServer
from midtime.stores.rds.standing import require_ours
from midtime.stores.rds.unread import require_nothing_to_judge

LONGEST = 60
"""Characters of a name: Amazon takes 63, of which an instance of a cluster needs some."""
_NAME = re.compile(r"[a-z](-?[a-z0-9])*")
IN_PLACE = (
    "RDS restores into a new instance or cluster only, so there is nothing to put into the place of the live one: products that were started "
    "again would find the other stores of the restore point beside the live data, a torn set"
)


def target_of(topology: Topology, store: str, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
    """Names; nothing is touched.

    :raises RequestError: what was wished for is no name, or the live one's; or a restore in place
    """
    spec = cast(Rds | Aurora, topology.store(store))
    if in_place:
        raise RequestError(
            f"store {store!r}: {IN_PLACE}",
            fix="leave in_place out, restore all stores beside, and rename, or move the products (docs/runbooks/rds-cut-over.md)",
        )
    if wish and (wish.database or wish.prefix):
        raise RequestError(
            f"store {store!r}: a restore is of the whole {flavour_of(spec).noun}; its databases keep their names",
            fix="leave `database` and `prefix` out; they are for `method: dump`",
        )
    conn_id = (wish.conn_id if wish else None) or spec.conn_id
    name = (wish.name or wish.to or "").lower() if wish else ""
    working = server_name(working_name(store, run))
    if drill:
        working = fit(name, f"-{run}", limit=LONGEST) if name else working
        return _valid(Target(store, conn_id, working, working))
    final = name or server_name(f"restored-{run}-{flavour_of(spec).live(spec)}")
    if final == flavour_of(spec).live(spec).lower():
        raise RequestError(f"store {store!r}: {final!r} is the live one", fix="choose another name: a restore makes a new one")
    return _valid(Target(store, conn_id, working, final))


def server_name(text: str) -> str:
    """A name that Amazon takes, made of one that it may not take."""
    return re.sub(r"-+", "-", re.sub(r"[^a-z0-9-]", "-", text.lower()))[:LONGEST].strip("-")


def aws_of(topology: Topology, target: Target) -> RdsClients:
    """The clients of a target: of the connection that it names, and of the region in which its run began, whatever the topology says now."""
    spec, note = cast(Rds | Aurora, topology.store(target.store)), Notes(topology, target).copy()
    region = note.marked.region if note else spec.region
    return RdsClients(target.store, spec.model_copy(update={"conn_id": target.conn_id, "region": region}))


def wish_of(topology: Topology, target: Target) -> TargetWish:
    """What the topology says of a drill; nothing of any other restore."""
    drilled = topology.drill.targets.get(target.store) if target.final == target.working else None
    return drilled or TargetWish()


class RestoreChecks:
    """The preflight of a restore. It changes nothing."""

    def __init__(self, topology: Topology, aws: RdsClients, target: Target, backup: StoreBackup) -> None:
        self.topology, self.aws, self.target, self.backup = topology, aws, target, backup
        self.flavour = flavour_of(aws.spec)
        self._history = History(None, None)

    def questions(self) -> Iterator[Question]:
        """Each stands on the answers before it."""
        yield "is what was marked", self._same
        yield "can be restored to the instant", self._can_be
        yield WILL_BE, self._will_be
        yield "has its groups", self._groups
        yield "can be read afterwards", self._verified
        yield "gets its settings back", self._settings

    def _same(self) -> str:
        said, spec = self.backup.details, self.aws.spec
        if said["region"] != spec.region:
            raise StoreAccessError(
                f"store {self.aws.store} was marked in {said['region']}",
                fix="correct the store's region: a history cannot be restored elsewhere",
            )
        self._history = history_of(self.aws, said["resource_id"])
        server = self._history.server
        if server and server.account != said["account"]:
            raise StoreAccessError(f"store {self.aws.store} was marked in account {said['account']}", fix="correct the connection")
        now = "" if server and server.name == said["name"] else f", called {server.name} now" if server else ", deleted since"
        return f"{self.flavour.noun} {said['name']} ({said['resource_id']}){now}"

    def _can_be(self) -> str:
        instant = self.backup.midtime
        require_fit(self.aws, self.backup.details["name"], instant, self._history, alive=False)
        if not self._history.reaches(instant, spread_of(self.aws.spec)):
            raise NotRestorableError(
                f"store {self.aws.store}: the history of {self.backup.details['name']} does not reach {to_rfc3339(instant)}",
                fix="try again in minutes",
            )
        return f"to {to_rfc3339(instant)}"

    def _will_be(self) -> str:
        name, notes = self.target.final, Notes(self.topology, self.target)
        found, copy = self.flavour.find(self.aws, name), notes.copy()
        if found and copy:
            require_ours(self.aws, copy, notes.progress(), found)
        elif found:
            raise TargetExistsError(f"store {self.aws.store}: there is an {self.flavour.noun} {name}", fix="choose another name")
        if not copy and self.flavour is not INSTANCES and (taken := INSTANCES.find(self.aws, member_name(name, 1))):
            raise TargetExistsError(f"store {self.aws.store}: there is an instance {taken.name}", fix="choose another name")
        return f"new {self.flavour.noun} `{name}` in {self.aws.spec.region}"

    def _groups(self) -> str:
        return require_groups(self.aws, self.backup.details.get(NOTED) or {}, wish_of(self.topology, self.target).subnet_group)

    def _verified(self) -> str:
        if is_unread(self.aws.spec):
            return require_nothing_to_judge(self.topology, self.aws)
        return (
            f"by the login of {data_of(self.topology, self.aws).conn_id}, with the users of the instant: it must have had its password then"
        )

    def _settings(self) -> str:
        if self.target.final == self.target.working:
            wish = wish_of(self.topology, self.target)
            return f"those of the network; class {wish.instance_class or 'as small as Amazon offers'}, one zone: a drill's goes again"
        return "as they were marked; IAM roles, custom endpoints, and what the service will not take, are listed for you to put back"


def drill_questions(topology: Topology, aws: RdsClients, target: Target) -> Iterator[Question]:
    """Whether the topology's drill target can be made."""
    flavour, wish = flavour_of(aws.spec), wish_of(topology, target)

    def drills() -> str:
        history = history_at(aws, flavour.live(aws.spec))
        if history.server is None:
            raise StoreAccessError(
                f"store {aws.store}: there is no {flavour.noun} {flavour.live(aws.spec)} in {aws.spec.region}",
                fix=f"correct the store's region and {flavour.noun}",
            )
        marked = read(aws, history.server, history, utc_now())
        require_groups(aws, groups_of(marked), wish.subnet_group)
        return f"{flavour.noun} `{target.working}`, class {wish.instance_class or class_of(aws, marked)}"

    yield "can be drilled", drills


def class_of(aws: RdsClients, marked: MarkedServer) -> str:
    """A drill's, where nobody names one. A cluster that scales by itself has the class that does."""
    own = {each.settings.get("DBInstanceClass") for each in marked.members}
    return "db.serverless" if own == {"db.serverless"} else smallest_class(aws, marked)


def member_name(cluster: str, number: int) -> str:
    """Of an instance of a cluster that Midtime makes."""
    return f"{cluster}-{number}"


def _valid(target: Target) -> Target:
    if not _NAME.fullmatch(target.final) or len(target.final) > LONGEST:
        raise RequestError(
            f"store {target.store!r}: {target.final!r} is no name of an instance or cluster",
            fix=f"use up to {LONGEST} letters, digits and single hyphens, a letter first",
        )
    return target

"""What a run of a restore or a drill asks for, read and resolved before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from midtime.catalog import Catalog, Lease
from midtime.catalog.leases import BETWEEN_TASKS
from midtime.errors import MidtimeError, RequestError
from midtime.model.instants import from_rfc3339, id_instant, run_suffix, to_rfc3339, utc_now
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import Target as TargetWish
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.base import Target

APPROVAL_TIME = timedelta(hours=24)
"""How long a plan waits for a person; its restore point is kept so long."""
NODE = "restore_node"
"""Kind of a plan that brings back one lost node: it needs no whole restore point."""
ATTEMPT = "attempt"
"""XCom key of a drill that could not be planned: what its report is made of."""


class RestoreRequest(BaseModel):
    """The conf of a restore or a drill (DESIGN.md 8, fixed)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    restore_point: str = "latest"
    targets: dict[str, str] = Field(default_factory=dict)
    in_place: bool = False
    approve: bool = True

    @classmethod
    def parse(cls, conf: Mapping[str, Any], topology: Topology, *, kind: str = "restore") -> RestoreRequest:
        """Read a run's conf.

        :param kind: ``restore`` or ``drill``; a drill is never in place, so it is not asked whether
        :raises RequestError: an unknown key, a wrong type, an unknown store, or an unattended restore in place
        """
        try:
            request = cls.model_validate(dict(conf))
        except ValidationError as error:
            raise wrong_parameters(error, cls) from error
        if kind == "drill" and (meant := sorted(request.model_fields_set & {"in_place", "approve"})):
            raise RequestError(f"a drill knows no {' or '.join(meant)}", fix="leave it out, or run the restore instead")
        known = {store.name for store in topology.stores}
        if unknown := sorted(request.targets.keys() - known):
            raise RequestError(f"targets name unknown stores: {', '.join(unknown)}", fix=f"{topology.name} has {', '.join(sorted(known))}")
        if request.in_place and not request.approve:
            raise RequestError("a restore in place replaces live databases and is never done without approval", fix="set approve to true")
        return request


def wrong_parameters(error: ValidationError, request: type[BaseModel]) -> RequestError:
    """What to tell whoever wrote a run's conf."""
    said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return RequestError(f"the run's parameters are wrong: {said}", fix=f"allowed are {', '.join(request.model_fields)}")


@dataclass(slots=True)
class Attempt:
    """What is known of a drill before it has a plan, filled in on the way: the report of one that never got a plan is made of it."""

    started_at: datetime = field(default_factory=utc_now)
    as_of: datetime | None = None
    """The date of a backfill's run."""
    restore_point: str = ""
    """The one that was meant, once that is known."""
    midtime: datetime | None = None

    @property
    def age(self) -> timedelta:
        """As a plan's."""
        return (self.as_of or self.started_at) - (self.midtime or id_instant(self.restore_point))

    def to_dict(self) -> dict[str, Any]:
        """For XCom."""
        instants = {"started_at": self.started_at, "as_of": self.as_of, "midtime": self.midtime}
        return {"restore_point": self.restore_point} | {key: to_rfc3339(at) if at else None for key, at in instants.items()}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Attempt:
        """Read what :meth:`to_dict` wrote."""
        instants = {key: from_rfc3339(body[key]) if body[key] else None for key in ("as_of", "midtime")}
        return cls(from_rfc3339(body["started_at"]), restore_point=body["restore_point"], **instants)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is going to do. Small and plain: it travels as XCom."""

    kind: str
    """``restore``, ``drill`` or ``restore_node``."""
    restore_point: str
    midtime: datetime
    started_at: datetime
    in_place: bool
    targets: tuple[Target, ...]
    lease: str
    stops: tuple[str, ...] = ()
    """In place: the products that are stopped and started."""
    stop_by_hand: tuple[str, ...] = ()
    """In place: the products that somebody else must have stopped by then."""
    as_of: datetime | None = None
    """In a backfill: the date that the drill stands for."""
    will_be: Mapping[str, str] = field(default_factory=dict)
    """By store: what its target said that it will be, and what gives way to it."""

    @property
    def replaces(self) -> bool:
        """Whether something live gives way."""
        return any(target.aside for target in self.targets)

    @property
    def asks(self) -> bool:
        """Whether something that is there gives way, live or not: a person has to approve that."""
        return self.replaces or any(target.overwrites for target in self.targets)

    @property
    def age(self) -> timedelta:
        """How old the restore point is, or was at ``as_of``: what a loss at that moment would cost."""
        return (self.as_of or self.started_at) - self.midtime

    def target(self, store: str) -> Target:
        """The target of one store."""
        return next(target for target in self.targets if target.store == store)

    def to_dict(self) -> dict[str, Any]:
        """For XCom."""
        return {
            "kind": self.kind,
            "restore_point": self.restore_point,
            "midtime": to_rfc3339(self.midtime),
            "started_at": to_rfc3339(self.started_at),
            "in_place": self.in_place,
            "targets": [target.to_dict() for target in self.targets],
            "lease": self.lease,
            "stops": list(self.stops),
            "stop_by_hand": list(self.stop_by_hand),
            "as_of": to_rfc3339(self.as_of) if self.as_of else None,
            "will_be": dict(self.will_be),
            "summary": self.summary(),
        }

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Plan:
        """Read what :meth:`to_dict` wrote."""
        fields = {key: value for key, value in body.items() if key != "summary"}
        fields["midtime"], fields["started_at"] = from_rfc3339(body["midtime"]), from_rfc3339(body["started_at"])
        fields["stops"], fields["stop_by_hand"] = tuple(body.get("stops", ())), tuple(body.get("stop_by_hand", ()))
        fields["as_of"] = from_rfc3339(body["as_of"]) if body.get("as_of") else None
        fields["targets"] = tuple(Target.from_dict(target) for target in body["targets"])
        return cls(**fields)

    def summary(self) -> str:
        """What a person has to know before approving, as Markdown."""
        when = f" on {to_rfc3339(self.as_of)}" if self.as_of else ""
        lines = [f"Restore point **{self.restore_point}**, midtime {to_rfc3339(self.midtime)}, {_age(self.age)} old{when}.", ""]
        lines += ["| store | through connection | will be |", "|---|---|---|"]
        lines += [f"| {target.store} | {target.conn_id or '-'} | {self._fate(target)} |" for target in self.targets]
        if self.replaces:
            lines += ["", self._about_the_live(), "", self._about_products()]
        elif self.asks:
            lines += ["", "**What is in the other cluster gives way.** Nothing live is touched, and no product is stopped."]
        return "\n".join(lines)

    def _fate(self, target: Target) -> str:
        if target.store in self.will_be:
            return self.will_be[target.store]
        return f"`{target.final}`" + (f", what is there is kept as `{target.aside}`" if target.aside else "")

    def _about_the_live(self) -> str:
        if self.kind == NODE:
            return "**What is on the node gives way**, as far as anything is left of it; it is kept aside."
        if self.will_be and not any("replacing" in answer for answer in self.will_be.values()):
            return "**Nothing is there now under these names**, so nothing gives way."
        return "**Live databases are replaced.** Everything that was committed after the midtime is in the kept copies only."

    def _about_products(self) -> str:
        if not self.stops and not self.stop_by_hand:
            return "**No products are declared, so nothing is stopped.** Stop whatever writes to these databases before you approve: sessions are cut off."
        said = [f"Stopped before, started afterwards: {', '.join(self.stops)}."] if self.stops else []
        said += [f"**Stop by hand before you approve: {', '.join(self.stop_by_hand)}.**"] if self.stop_by_hand else []
        return " ".join(said)


def make_plan(topology: Topology, request: RestoreRequest, point: RestorePoint, *, kind: str, run: str) -> Plan:
    """Name every target. Nothing is touched.

    :raises RequestError: the restore point holds a store that the topology has no more; or nobody is to approve what replaces something
    """
    known = {store.name for store in topology.stores}
    if gone := sorted({backup.store for backup in point.stores} - known):
        raise RequestError(
            f"restore point {point.id} holds stores that {topology.name} has no more: {', '.join(gone)}",
            fix="all stores are restored or none: put them back into the topology file",
        )
    if missing := sorted(request.targets.keys() - {backup.store for backup in point.stores}):
        raise RequestError(
            f"restore point {point.id} holds no store {', '.join(missing)}", fix="leave it out of targets, or use a newer one"
        )
    targets = tuple(
        open_store(topology, backup.store).target(
            _wish(topology, request, backup.store, drill=kind == "drill"),
            run=run_suffix(run),
            drill=kind == "drill",
            in_place=request.in_place,
        )
        for backup in point.stores
    )
    plan = new_plan(topology, kind, point, targets, run, in_place=request.in_place)
    if plan.asks and not request.approve:
        raise RequestError("what is in another cluster is replaced, which is never done without approval", fix="set approve to true")
    return plan


def new_plan(topology: Topology, kind: str, point: RestorePoint, targets: tuple[Target, ...], run: str, *, in_place: bool) -> Plan:
    """The plan of a run, with what it means to the products."""
    stops = tuple(product.label for product in topology.products if product.stop)
    by_hand = tuple(product.label for product in topology.products if not product.stop)
    lease = f"{kind}-{run_suffix(run)}"
    return Plan(kind, point.id, point.midtime, utc_now(), in_place, targets, lease, stops=stops, stop_by_hand=by_hand)


def _wish(topology: Topology, request: RestoreRequest, store: str, *, drill: bool) -> TargetWish | None:
    if store in request.targets:
        return TargetWish(to=request.targets[store])
    return topology.drill.targets.get(store) if drill else None


def reserve(catalog: Catalog, plan: Plan, holder: str) -> Lease:
    """Take the run's lease: it keeps the restore point from retention, and tells the sweeper what to remove should this run die.

    :raises RestorePointNotFoundError: retention was faster; the lease is given back
    :raises ManifestError: the restore point cannot be restored any more; the lease is given back
    """
    details = {"kind": plan.kind, "restore_point": plan.restore_point, "targets": [target.to_dict() for target in plan.targets]}
    ttl = APPROVAL_TIME + BETWEEN_TASKS if plan.asks else BETWEEN_TASKS
    lease = catalog.leases.acquire(plan.lease, holder, details=details, ttl=ttl)
    try:
        # Once more, and only now: retention marks a restore point first and reads the leases then, so one of the two sees the other.
        catalog.resolve(plan.restore_point, whole=plan.kind != NODE)
    except MidtimeError:
        catalog.leases.release(plan.lease, holder)
        raise
    return lease


def _age(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    return f"{days} d {hours} h" if days else f"{hours} h {minutes} min" if hours else f"{minutes} min"

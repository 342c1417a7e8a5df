"""Preflight: every question whose answer could spoil a backup or a restore, asked before anything is touched."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from midtime import fencing
from midtime.catalog import Catalog, objects, placings
from midtime.catalog.pause_leases import PauseLeases, lease_place
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.errors import MidtimeError, RequestError
from midtime.model.durations import format_duration
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import Product, Topology
from midtime.model.words import counted
from midtime.pausing import endpoints_of, require_unpaused
from midtime.products import require_stopped
from midtime.snapshots import snapshotted
from midtime.stores import open_store
from midtime.stores.base import Check, Question, Store, Target, ask
from midtime.stores.managed import ManagedStore
from midtime.windows import require_one_place, require_slots

if TYPE_CHECKING:
    from midtime.scalar.endpoint import Endpoint

SHOWN = 5
"""Endpoints that an answer names."""


def backup_checks(topology: Topology, catalog: Catalog) -> Iterator[Check]:
    """Everything that a backup needs."""
    yield from ask("destination", _destination_questions(catalog))
    for store in topology.stores:
        yield from _store_checks(topology, store.name, fence=topology.needs_pause)
    if topology.needs_pause:
        yield from window_checks(topology)


def snapshot_checks(topology: Topology, catalog: Catalog, *, stopped: bool) -> Iterator[Check]:
    """Everything that snapshots without a pause need.

    :param stopped: the products must be stopped
    """
    yield from ask("destination", _destination_questions(catalog))
    if stopped:
        yield from ask("products", iter([("are stopped", lambda: "; ".join(require_stopped(topology)))]))
    for name in snapshotted(topology):
        yield from _store_checks(topology, name, fence=False)


def window_checks(topology: Topology) -> Iterator[Check]:
    """Everything that a pause window needs. Nothing is paused."""
    yield from ask("window", iter([("lasts", lambda: _outage(topology))]))
    yield from ask("executor", iter([("has room for the window", lambda: require_slots(topology))]))
    yield from ask("leases", iter([("lie in one place", lambda: require_one_place(topology))]))
    for product in topology.pause_set:
        yield from ask(product.label, _product_questions(topology, product))


def _outage(topology: Topology) -> str:
    pause = topology.pause
    limits = f"drain {format_duration(pause.drain)} at most, everything is unpaused after {format_duration(pause.deadline)}"
    if isinstance(pause.hold, timedelta) and pause.hold and all(store.captured for store in topology.stores):
        return f"{limits}; held for {format_duration(pause.hold)}, of which captured stores need nothing: `hold: auto` makes the outage shorter"
    held = "as long as the stores' clocks need"
    if isinstance(pause.hold, timedelta) and pause.hold:
        return f"{limits}; held for {format_duration(pause.hold)}, longer if that is not {held}"
    return f"{limits}; held until the captures have reported, or for {held}"


def _product_questions(topology: Topology, product: Product) -> Iterator[Question]:
    found: list[Endpoint] = []

    def find() -> str:
        found.extend(endpoints_of([product]))
        return ", ".join(endpoint.address for endpoint in found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")

    def free() -> str:
        PauseLeases(lease_place(topology.destination)).require_free([endpoint.address for endpoint in found], holder="")
        return "no other window has a lease on it"

    def unpaused() -> str:
        require_unpaused(found)
        return f"{counted(len(found), 'endpoint')} not paused"

    yield "is found at", find
    yield "is free", free
    yield "answers scalar-admin", unpaused


def drill_checks(topology: Topology) -> Iterator[Check]:
    """Whether the drills that follow have somewhere to go."""
    for store in topology.stores:
        with suppress(RequestError):  # an unsupported engine has been told of already
            yield from _drill_checks(open_store(topology, store.name))


def _drill_checks(store: Store) -> Iterator[Check]:
    try:
        yield from ask(store.name, store.drill_questions())
    except RequestError as error:  # of the drill's target, before anything is asked
        yield Check(store.name, "can be drilled", False, str(error), error)


def restore_checks(topology: Topology, point: RestorePoint, targets: Mapping[str, Target]) -> Iterator[Check]:
    """Everything that a restore of ``point`` to these targets needs, of all stores before the first is touched."""
    for name, target in targets.items():
        yield from ask(name, open_store(topology, name).restore_questions(target, point.store(name)))


def require(checks: Iterable[Check]) -> list[Check]:
    """All answers, if they are good.

    :raises MidtimeError: the first bad answer's own error, all bad answers in its message
    """
    answers = list(checks)
    bad = [check for check in answers if not check.ok]
    if bad:
        first = bad[0].error
        others = [f"{check.subject} {check.question}: {check.detail}" for check in bad[1:]]
        kind = type(first) if first else MidtimeError
        message = "\n".join([f"{bad[0].subject}: {first.message if first else bad[0].detail}", *others])
        raise kind(message, fix=first.fix if first else "") from first
    return answers


def _store_checks(topology: Topology, name: str, *, fence: bool) -> Iterator[Check]:
    store = open_store(topology, name)
    questions = store.questions()
    if fence:
        fenced: list[Question] = [("is fenced", lambda: fencing.describe(store))]
        questions = chain(fenced, questions)
    if fence and isinstance(store, ManagedStore):
        clock: list[Question] = [("tells its time", partial(_clock, store))]
        questions = chain(questions, clock)
    yield from ask(name, questions)


def _clock(store: ManagedStore) -> str:
    """What the window will stand on."""
    reading = store.read_clock()
    return f"its clock is {reading.low.total_seconds():+.3f} s to {reading.high.total_seconds():+.3f} s from this worker's"


def _destination_questions(catalog: Catalog) -> Iterator[Question]:
    yield "can be written", lambda: _probe(catalog)
    yield "is in use by", lambda: _lease(catalog)
    yield "what it holds is replaced", lambda: placings.require_settled(catalog)


def _probe(catalog: Catalog) -> str:
    path = catalog.root / ".leases" / f".probe-{uuid.uuid4().hex}"
    objects.replace(path, to_rfc3339(utc_now()).encode())
    objects.read(path)
    objects.remove_tree(path)
    return str(catalog.root)


def _lease(catalog: Catalog) -> str:
    lease = catalog.leases.current(BACKUP_LEASE)
    if lease and lease.live(utc_now()):
        return f"{lease.holder}, until {to_rfc3339(lease.expires_at)} at least"
    return "nobody"

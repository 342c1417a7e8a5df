"""Preflight: every question whose answer could spoil a backup or a restore, asked before anything is touched."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from midtime.catalog import Catalog, objects
from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.errors import MidtimeError, RequestError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import Topology
from midtime.stores import open_store
from midtime.stores.base import Check, Question, Target, ask


def backup_checks(topology: Topology, catalog: Catalog) -> Iterator[Check]:
    """Everything that a backup needs."""
    yield from ask("destination", _destination_questions(catalog))
    for store in topology.stores:
        yield from _store_checks(topology, store.name)


def drill_checks(topology: Topology) -> Iterator[Check]:
    """Whether the drills that follow have somewhere to go."""
    for store in topology.stores:
        with suppress(RequestError):  # an unsupported engine has been told of already
            yield from ask(store.name, open_store(topology, store.name).drill_questions())


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


def _store_checks(topology: Topology, name: str) -> Iterator[Check]:
    try:
        store = open_store(topology, name)
    except MidtimeError as error:
        yield Check(name, "is supported", False, str(error), error)
        return
    yield from ask(name, store.questions())


def _destination_questions(catalog: Catalog) -> Iterator[Question]:
    yield "can be written", lambda: _probe(catalog)
    yield "is in use by", lambda: _lease(catalog)


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

"""Rules between the sections of a topology. All broken ones are told at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from midtime.model.durations import format_duration
from midtime.model.topology.targets import Target

if TYPE_CHECKING:
    from midtime.model.topology.model import Topology

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class BrokenRule:
    """What is wrong, and where in the file."""

    key: Key
    reason: str


def broken_rules(topology: Topology) -> list[BrokenRule]:
    """Collect everything that the sections, each right by itself, get wrong together."""
    rules = (
        _reserved_name,
        _twins,
        _store_names,
        _coordinators,
        _transaction_manager,
        _namespaces,
        _pause,
        _products,
        _writers,
        _targets,
        _checks,
    )
    return [problem for rule in rules for problem in rule(topology)]


def _reserved_name(topology: Topology) -> Iterator[BrokenRule]:
    if topology.name == "midtime":
        yield BrokenRule(("name",), '"midtime" is taken: midtime__sweep and midtime__retention are Midtime\'s own DAGs')


def _twins(topology: Topology) -> Iterator[BrokenRule]:
    """Names that stand for two things, and stores that are one database: it would be captured twice, at two instants."""
    for index, store in enumerate(topology.stores):
        for other in topology.stores[:index]:
            if other.name == store.name:
                yield BrokenRule(("stores", index, "name"), f'two stores are called "{store.name}": names must differ')
            elif store.engine == other.engine and store.identity is not None and store.identity == other.identity:
                yield BrokenRule(
                    ("stores", index), f'is the same database as store "{other.name}": list a database once, with all its namespaces'
                )
    labels = [product.label for product in topology.products]
    for index, label in enumerate(labels):
        if label in labels[:index]:
            yield BrokenRule(("products", index), f'two products are called "{label}": give each a `name` of its own')


def _store_names(topology: Topology) -> Iterator[BrokenRule]:
    """References to stores."""
    names = [store.name for store in topology.stores]
    references: list[tuple[Key, str]] = [
        *((("scalardb", "coordinators", i, "store"), c.store) for i, c in enumerate(topology.scalardb.coordinators)),
        *((("products", i, "stores", k), n) for i, p in enumerate(topology.products) for k, n in enumerate(p.stores or ())),
        *((("drill", "targets", name), name) for name in topology.drill.targets),
        *((("checks", i, "store"), check.store) for i, check in enumerate(topology.checks)),
    ]
    for key, name in references:
        if name not in names:
            yield BrokenRule(key, f'there is no store "{name}"; the stores are: {", ".join(names)}')


def _coordinators(topology: Topology) -> Iterator[BrokenRule]:
    stated = topology.scalardb.coordinators
    for index, coordinator in enumerate(stated):
        if coordinator in stated[:index]:
            yield BrokenRule(
                ("scalardb", "coordinators", index), f'the Coordinator "{coordinator.namespace}" in this store stands here twice'
            )
    if not stated and len(topology.stores) > 1 and topology.scalardb.transaction_manager == "consensus-commit":
        names = ", ".join(store.name for store in topology.stores)
        yield BrokenRule(
            ("scalardb",),
            f"needs `coordinators: [{{store: ...}}]`: with several stores it cannot be guessed which of them ({names}) has the Coordinator",
        )


def _transaction_manager(topology: Topology) -> Iterator[BrokenRule]:
    manager = topology.scalardb.transaction_manager
    if manager != "consensus-commit" and topology.scalardb.coordinators:
        yield BrokenRule(("scalardb", "coordinators"), f"the transaction manager {manager} has no Coordinator")
    if manager == "jdbc" and topology.needs_pause:
        yield BrokenRule(
            ("scalardb", "transaction_manager"), "jdbc works on one relational database only, and this topology has other stores"
        )


def _namespaces(topology: Topology) -> Iterator[BrokenRule]:
    """A database that is copied by namespaces must have some."""
    coordinators = {coordinator.store for coordinator in topology.scalardb.coordinators}
    for index, store in enumerate(topology.stores):
        if store.lists_namespaces and not store.namespaces and store.name not in coordinators:
            yield BrokenRule(("stores", index), f"engine {store.engine} needs `namespaces`: only what is listed is backed up")


def _pause(topology: Topology) -> Iterator[BrokenRule]:
    if not topology.needs_pause:
        return
    if not topology.pause_set:
        why = "several databases" if len(topology.stores) > 1 else f"engine {topology.stores[0].engine}"
        found = "only an Auditor, which is not paused outside strict mode, is" if topology.products else "none are"
        yield BrokenRule(("products",), f"this topology needs a pause ({why}), so it needs the products to pause; {found} listed")
    for index, store in enumerate(topology.stores):
        if store.relational and not store.captured and getattr(store, "data_conn_id", True) is None:
            yield BrokenRule(("stores", index), "needs `data_conn_id` in a topology with a pause: the store's clock is read through it")
    pause = topology.pause
    managed = any(not store.captured for store in topology.stores)
    hold = pause.hold if isinstance(pause.hold, timedelta) else timedelta(seconds=5 if managed else 0)
    if pause.deadline <= pause.drain + hold:
        yield BrokenRule(
            ("pause", "deadline"),
            f"{format_duration(pause.deadline)} must be longer than drain and hold together "
            f"({format_duration(pause.drain)} + {format_duration(hold)}{' at least' if pause.hold == 'auto' else ''})",
        )


def _products(topology: Topology) -> Iterator[BrokenRule]:
    """Ledger and Auditor are always restored to the same restore point; whose store is whose, and who writes to a store, must be known."""
    kinds = {product.kind for product in topology.products}
    for index, product in enumerate(topology.products):
        if product.kind == "scalardl-auditor" and "scalardl-ledger" not in kinds:
            yield BrokenRule(
                ("products", index), "an Auditor is restored together with its Ledger: put the Ledger and its stores into this topology"
            )
        both = product.kind.startswith("scalardl") and {"scalardl-ledger", "scalardl-auditor"} <= kinds
        if both and len(topology.stores) > 1 and product.stores is None:
            yield BrokenRule(
                ("products", index), f"needs `stores`: with Ledger and Auditor it must be known which stores {product.label} writes to"
            )


def _writers(topology: Topology) -> Iterator[BrokenRule]:
    """Who writes to a store and is not listed is not paused."""
    for index, store in enumerate(topology.stores):
        if topology.products and not topology.writers(store.name):
            yield BrokenRule(
                ("stores", index), f'no product lists "{store.name}" in its `stores`: whoever writes to it would not be paused'
            )


def _targets(topology: Topology) -> Iterator[BrokenRule]:
    engines = {store.name: store for store in topology.stores}
    for name, target in topology.drill.targets.items():
        if name in engines:
            yield from _target(("drill", "targets", name), target, engines[name].engine, engines[name].fitting_targets)


def _target(key: Key, target: Target, engine: str, allowed: frozenset[str]) -> Iterator[BrokenRule]:
    for name in sorted(target.model_fields_set - allowed - {"to"}):
        yield BrokenRule((*key, name), f"does not fit engine {engine}; a target of it may have: {', '.join(sorted({'to', *allowed}))}")


def _checks(topology: Topology) -> Iterator[BrokenRule]:
    stores = {store.name: store for store in topology.stores}
    for index, check in enumerate(topology.checks):
        if check.store in stores and not stores[check.store].takes_queries:
            yield BrokenRule(("checks", index, "store"), f"engine {stores[check.store].engine} takes no queries; ask another store")

"""What the files in ``dags/`` have in common: which topologies, under which names, with which arguments. The chains are written there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, AssetOrTimeSchedule, CronTriggerTimetable, Param, get_parsing_context

from midtime.errors import TopologyError
from midtime.model.restore_point import State
from midtime.model.topology import Shape, Topology, load_named, load_topologies, topologies_folder
from midtime.model.topology.store import StoreBase
from midtime.settings import DEFAULT_TOPOLOGIES
from midtime.snapshots import snapshotted
from midtime.window_marks import marked_first

RESTORE_POINT_PATTERN = r"^(latest|\d{8}T\d{6}Z-[0-9a-f]{6})$"

LOOKS = 20
"""Retries of a task that looks at a service and is deferred in between. Looking again costs nothing, and Airflow takes a try away whenever its
scheduler stalls for longer than a deferral lasts: it finds the task queued again before it has heard that it was deferred."""


def folder() -> Path:
    """Where the topology files are: ``MIDTIME_TOPOLOGIES``, or ``include/topologies`` beside ``plugins``."""
    return topologies_folder(DEFAULT_TOPOLOGIES)


def topologies(suffix: str, *, shape: Shape | None = None, snapshots: bool = False) -> Iterator[Topology]:
    """The topologies for which a DAG file makes ``<topology>__<suffix>``.

    :param snapshots: only those with a store that is captured by snapshots

    All of them when the file is parsed; only the one that is needed when a task imports the file. Bad files are passed over here and
    shown as an import error of ``topology_errors.py``: an error in this file would take all good topologies with it.
    """
    wanted = get_parsing_context().dag_id
    if wanted is None:
        found = load_topologies(folder())[0]
    else:
        name, _, kind = wanted.rpartition("__")
        found = [load_named(folder(), name)] if kind == suffix else []
    yield from (topology for topology in found if shape in (None, topology.shape) and (snapshotted(topology) or not snapshots))


def topology_named(name: str) -> Topology:
    """One topology, for a DAG of your own.

    :raises TopologyError: no file holds it, or the one that does is wrong
    """
    return load_named(folder(), name)


def all_topologies() -> list[Topology]:
    """Every good topology, for housekeeping."""
    return load_topologies(folder())[0]


def topology_errors() -> list[TopologyError]:
    """What is wrong with the topology files."""
    return load_topologies(folder())[1]


def restore_points(topology: Topology) -> Asset:
    """The asset that gets an event whenever a restore point becomes restorable."""
    # No URI: to normalise one, Airflow imports the hooks of every provider.
    return Asset(name=f"{topology.name}__restore_points", group="midtime")


def backup_arguments(topology: Topology, doc: str | None) -> dict[str, Any]:
    """Arguments of ``<topology>__backup``."""
    schedule = CronTriggerTimetable(topology.schedule, timezone=topology.timezone) if topology.schedule else None
    return {**_arguments(topology, "backup", doc), "schedule": schedule, "max_active_runs": 1}


def coordinators_first(topology: Topology) -> tuple[list[str], list[str]]:
    """The captured stores with a Coordinator, and the others: these are captured after them."""
    first = [store.name for store in topology.coordinator_stores() if store.captured]
    return first, [store.name for store in topology.stores if store.captured and store.name not in first]


def captures_before(topology: Topology) -> list[str]:
    """Ids of the tasks that must have captured before a store without a Coordinator is: with one in a managed store, ``pause`` says so for it."""
    first = [capture_task(topology, store) for store in coordinators_first(topology)[0]]
    return [*first, "pause"] if marked_first(topology) else first


def managed(topology: Topology) -> list[str]:
    """The stores that are marked instead of captured."""
    return [store.name for store in topology.stores if not store.captured]


def restore_retries(store: StoreBase) -> dict[str, int]:
    """More than the DAG's where a service restores, and is only looked at."""
    return {} if store.captured else {"retries": LOOKS}


def capture_task(topology: Topology, store: str) -> str:
    """Id of the task that captures a store."""
    return f"{'snapshot' if store in snapshotted(topology) else 'dump'}_{store}"


def snapshot_arguments(topology: Topology, doc: str | None) -> dict[str, Any]:
    """Arguments of ``<topology>__snapshot``: only ever started by a person or a program, never by a clock."""
    stopped = Param(
        False,
        type="boolean",
        title="Products are stopped",
        description_md="You have stopped all products: the result is a restore point like any other. Refused while one of them answers. "
        "Without it, the result is only good to bring back one lost node.",
    )
    params = {} if set(snapshotted(topology)) < {store.name for store in topology.stores} else {"stopped": stopped}
    return {**_arguments(topology, "snapshot", doc), "schedule": None, "params": params, "max_active_runs": 1}


def restore_arguments(topology: Topology, doc: str | None) -> dict[str, Any]:
    """Arguments of ``<topology>__restore``: only ever started by a person or a program, never by a clock."""
    params = {
        "restore_point": _restore_point_param("The newest restorable one, or the id of any other (`midtime list`)."),
        "targets": _targets_param(
            topology,
            "A store that is not named is restored beside the original, under a generated name.",
        ),
        "in_place": Param(
            False,
            type="boolean",
            title="In place",
            description=_in_place(topology),
        ),
        "approve": Param(
            True,
            type="boolean",
            title="Ask for approval",
            description="A person approves before anything is replaced. Without it a restore in place, or into another cluster, is refused.",
        ),
    }
    return {**_arguments(topology, "restore", doc), "schedule": None, "params": params, "max_active_runs": 1}


def restore_node_arguments(topology: Topology, doc: str | None) -> dict[str, Any]:
    """Arguments of ``<topology>__restore_node``: only ever started by a person or a program, never by a clock."""
    stores = snapshotted(topology)
    listed = [node.host for store in stores for node in getattr(topology.store(store), "nodes", ())]
    proposed: dict[str, Any] = {"examples": listed} if listed else {}
    params = {
        "restore_point": Param(
            "latest",
            type="string",
            pattern=RESTORE_POINT_PATTERN,
            title="Restore point",
            description_md="`latest`: the newest one, also one that is not whole. Or the id of any other (`midtime list`).",
        ),
        "store": Param(stores[0], type="string", enum=stores, title="Store", description="The cluster that the node belongs to."),
        "node": Param(
            "",
            type="string",
            title="Node",
            description="Its address as the topology has it, or its pod's name.",
            **proposed,
        ),
        "approve": Param(
            True,
            type="boolean",
            title="Ask for approval",
            description="A person approves before anything is replaced. Without it the restore is refused.",
        ),
    }
    return {**_arguments(topology, "restore_node", doc), "schedule": None, "params": params, "max_active_runs": 1}


def drill_arguments(topology: Topology, doc: str | None) -> dict[str, Any]:
    """Arguments of ``<topology>__drill``."""
    params = {
        "restore_point": _restore_point_param(
            "The one that started the run; in a backfill the newest one at the run's date; else the newest one. Or the id of any other."
        ),
        "targets": _targets_param(
            topology, "A store that is not named goes to the topology's drill target, or beside the original. Always removed."
        ),
    }
    return {**_arguments(topology, "drill", doc), "schedule": _drill_schedule(topology), "params": params, "max_active_runs": 4}


def retention_params(topologies: list[Topology]) -> dict[str, Param]:
    """The trigger form of ``midtime__retention``."""
    return {
        "dry_run": Param(False, type="boolean", title="Dry run", description_md="Only say in the log what would be removed, and why."),
        "topology": Param(
            None,
            type=["null", "string"],
            enum=[None, *(topology.name for topology in topologies)],
            title="Topology",
            description_md="Only this one. Default: all of them.",
        ),
    }


def _drill_schedule(topology: Topology) -> Any:
    assets = [restore_points(topology)] if topology.drill.after_backup else []
    if topology.drill.schedule is None:
        return assets or None
    timetable = CronTriggerTimetable(topology.drill.schedule, timezone=topology.timezone)
    return AssetOrTimeSchedule(timetable=timetable, assets=assets) if assets else timetable


def _restore_point_param(meaning: str) -> Param:
    return Param(
        "latest",
        type="string",
        pattern=RESTORE_POINT_PATTERN,
        title="Restore point",
        description_md=f"`latest`: {meaning} A restore point must be {State.RESTORABLE} or {State.DRILLED}.",
    )


def _in_place(topology: Topology) -> str:
    if beside := [store.name for store in topology.stores if store.beside_only]:
        return f"Refused for this topology: {', '.join(beside)} can only be restored beside, and a restore point is replaced as a whole or not at all."
    lost = "".join(f" {store.name} loses {store.lost_in_place}." for store in topology.stores if store.lost_in_place)
    return f"Replace the live databases. Products are stopped, what is replaced is kept under another name.{lost}"


def _targets_param(topology: Topology, otherwise: str) -> Param:
    stores = topology.stores
    return Param(
        {},
        type="object",
        properties={store.name: {"type": "string"} for store in stores},
        additionalProperties=False,
        title="Targets",
        description_md=f'`{{"{stores[0].name}": "…"}}`. {otherwise}\n'
        + "".join(f"\n* **{store.name}**: {store.wished}" for store in stores),
    )


def _arguments(topology: Topology, kind: str, doc: str | None) -> dict[str, Any]:
    return {
        "dag_id": f"{topology.name}__{kind}",
        "description": topology.description or f"{kind.capitalize().replace('_', ' ')} of {topology.name}",
        "catchup": False,
        "doc_md": _doc(topology, doc),
        "tags": ["midtime", kind, topology.name, *topology.tags],
        "default_args": {"owner": topology.owner, "retries": 2, "retry_delay": timedelta(seconds=20)},
        "on_failure_callback": _notifiers(topology) or None,
    }


def _doc(topology: Topology, doc: str | None) -> str:
    rows = "\n".join(f"| {store.name} | {store.engine} | {store.method} | {', '.join(store.namespaces)} |" for store in topology.stores)
    facts = f"| store | engine | method | namespaces |\n|---|---|---|---|\n{rows}\n\nDestination: `{topology.destination}/{topology.name}`"
    return f"{doc or ''}\n\n## {topology.name}\n\n{topology.description or ''}\n\n{facts}\n"


def _notifiers(topology: Topology) -> list[Any]:
    return [_class(each.notifier)(**each.args) for each in topology.notifications.on_failure]


def _class(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)

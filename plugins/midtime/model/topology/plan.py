"""What is done with the stores: the pause, retention, drills, checks and notifications, and what ScalarDB is known to do."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from midtime.model.durations import DURATION_PATTERN, Duration, PositiveDuration, format_duration, parse_duration
from midtime.model.topology.base import Count, CountOrZero, Flag, Many, Name, Namespace, Scalar, Section, Text, broken, matching, shown
from midtime.model.topology.cron import Cron
from midtime.model.topology.targets import Target


def _hold(value: object) -> timedelta | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, timedelta):
        return value
    try:
        return parse_duration(value if isinstance(value, str) else "")
    except ValueError:
        broken(f'"{shown(value)}" is neither a duration such as 10s nor the word auto')


def _written(value: timedelta | str) -> str:
    return value if isinstance(value, str) else format_duration(value)


Hold = Annotated[
    timedelta | Literal["auto"],
    BeforeValidator(_hold),
    PlainSerializer(_written, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^auto$|{DURATION_PATTERN}", "examples": ["auto", "10s"]}),
]
ClassPath = Annotated[str, *matching(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", "a dotted path to a class is needed")]


class Coordinator(Section):
    """Where a Coordinator table is."""

    store: Name = Field(description="Name of the store.")
    namespace: Namespace = Field(default="coordinator", description="Namespace of the table `state`.")


class ScalarDb(Section):
    """What ScalarDB does that a verdict must know."""

    transaction_manager: Literal["consensus-commit", "jdbc", "single-crud-operation"] = Field(
        default="consensus-commit",
        description="ScalarDB's transaction manager. Only Consensus Commit has a Coordinator and records to verify.",
    )
    coordinators: Many[Coordinator] = Field(
        default=(), description="Coordinator tables. Default for a single store: in it, namespace `coordinator`."
    )
    metadata_namespace: Namespace = Field(default="scalardb", description="Namespace of ScalarDB's own metadata.")
    one_phase_commit: Flag = Field(
        default=False, description="`one_phase_commit.enabled` is on: such transactions leave no Coordinator row."
    )
    purge: Flag = Field(default=False, description="Coordinator rows are removed (ScalarDL state purge, `finishTransaction`).")
    coordinator_recreated: Flag = Field(
        default=False, description="The Coordinator was once truncated, re-created or moved; older records have no row in it."
    )
    copied_in: Many[Text] = Field(
        default=(),
        description="Tables (`namespace.table`) whose records were copied in from elsewhere together with ScalarDB's columns: "
        "their transactions are in no Coordinator.",
    )
    allow_unexplained: CountOrZero = Field(
        default=0,
        description="Unexplained findings (transactions, or records with an odd stamp or state) that a verdict may have and still be good.",
    )
    clock_bound: Duration = Field(
        default=parse_duration("500ms"), description="How far the products' clocks may be off where they cannot be measured."
    )


class Pause(Section):
    """The pause window. Allowed on every topology, used by those that need a pause: a second store may join later."""

    hold: Hold = Field(
        default="auto",
        description="How long the window is kept open for point-in-time stores; it always lengthens the outage. "
        "`auto`: the shortest hold that is safe, none where all stores are dumped.",
    )
    drain: PositiveDuration = Field(default=parse_duration("10s"), description="How long outstanding requests may take to finish.")
    deadline: PositiveDuration = Field(
        default=parse_duration("30s"),
        description="Everything is unpaused after this time, counted from the first Pause sent, drain included.",
    )
    strict: Flag = Field(default=False, description="Pause the Auditor as well (before the Ledger).")
    arm: PositiveDuration = Field(
        default=parse_duration("10m"), description="How long captures may take to get ready before anything is paused."
    )


class Retention(Section):
    """Which restore points stay. A point stays if either rule keeps it; the newest restorable and the newest drilled one always stay."""

    keep_last: Count = Field(default=7, description="Number of newest restore points that stay.")
    keep_days: CountOrZero = Field(default=30, description="Days for which every restore point stays.")


class Drill(Section):
    """Restores into throw-away targets, verified, timed and removed."""

    schedule: Cron | None = Field(default=None, description="Cron expression. Default: none.")
    after_backup: Flag = Field(default=True, description="Drill each restore point as soon as it is restorable.")
    targets: dict[Name, Target] = Field(
        default={},
        description="Target of each store, by its name. Default: beside the original, under a generated name; for Cassandra there is none.",
    )


class Check(Section):
    """A question to a restored store, and the answer that a good restore gives."""

    name: Text | None = Field(default=None, description="Name in reports. Default: the query.")
    store: Name = Field(description="Name of the store.")
    sql: Text = Field(description="Query in the store's own language (SQL, CQL) that returns one value. DynamoDB and Cosmos DB take none.")
    expect: Scalar = Field(description="The value: text, number, true, false or null.")


def _arguments(value: dict[str, Any]) -> dict[str, Any]:
    for key in value:
        if not key.isidentifier():
            broken(f'"{shown(key)}" cannot be the name of an argument')
    return value


class Notification(Section):
    """One of Airflow's notifiers."""

    notifier: ClassPath = Field(description="Class, such as `airflow.providers.smtp.notifications.smtp.SmtpNotifier`.")
    args: Annotated[dict[str, Any], AfterValidator(_arguments)] = Field(
        default={}, description="Its keyword arguments. No secrets: name an Airflow connection (`smtp_conn_id`, ...)."
    )


class Notifications(Section):
    """Who is told, by Airflow's own notifiers."""

    on_failure: Many[Notification] = Field(default=(), description="Called when a backup, a restore or a drill fails.")

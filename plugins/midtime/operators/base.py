"""What all operators share: a topology, its catalog, one way to fail and one way to be killed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from midtime.catalog import Catalog
from midtime.errors import MidtimeError
from midtime.model.instants import to_rfc3339

if TYPE_CHECKING:
    from airflow.sdk import Context

    from midtime.model.topology import Topology


class TaskKilledError(BaseException):
    """Raised inside a task that Airflow ends, so that ``finally`` clauses run; SIGTERM alone would not interrupt it."""


class TopologyOperator(BaseOperator):
    """
    Base of all operators of Midtime.

    Does its work in :meth:`work`. A deliberate error that trying again cannot mend fails the task at once, whatever its retries.

    :param topology: the topology that this task is about
    """

    template_fields: Sequence[str] = ()
    ui_color = "#e8f0fe"
    time_limit: ClassVar[timedelta | None] = timedelta(minutes=15)
    """Default ``execution_timeout``: a peer that hangs must not hang a task for ever. None where the data decide how long it takes."""

    def __init__(self, *, topology: Topology, **kwargs: Any) -> None:
        kwargs.setdefault("execution_timeout", self.time_limit)
        super().__init__(**kwargs)
        self.topology = topology

    @cached_property
    def catalog(self) -> Catalog:
        """The topology's restore points."""
        return Catalog(self.topology.destination, self.topology.name)

    def work(self, context: Context) -> Any:
        """Do what the task is for; its return value becomes XCom."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Run :meth:`work` and translate its errors for Airflow."""
        return self.guarded(self.work, context)

    def guarded(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run something and translate its errors for Airflow."""
        try:
            return work(*arguments)
        except MidtimeError as error:
            if error.retryable:
                raise
            raise AirflowFailException(str(error)) from error

    def on_kill(self) -> NoReturn:
        """Interrupt :meth:`work`, so that it cleans up behind itself."""
        raise TaskKilledError(f"task {self.task_id} was told to end")


def run_name(context: Context) -> str:
    """What names this run for ever, in leases and restore points.

    Two installations give the same id to the scheduled run of one instant; they do not start it in the same microsecond.
    """
    run = context["dag_run"]
    started = run.start_date or run.run_after
    return f"{context['dag'].dag_id}/{context['run_id']} started {to_rfc3339(started)}"

"""The first task of a backup: ask everything, take the lease, sweep."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRescheduleException

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.model.instants import utc_now
from midtime.operators.base import TopologyOperator, run_name
from midtime.preflight import backup_checks, require
from midtime.windows import take_turn

WAIT = timedelta(seconds=10)
"""From one look for a free turn to the next."""

if TYPE_CHECKING:
    from airflow.sdk import Context


class PreflightOperator(TopologyOperator):
    """
    Find out whether a backup can succeed, before anything is touched, and take the topology's backup lease.

    Two backups of one topology exclude each other, also between two Airflow installations: the second one fails here.
    What dead backups left half-written is removed.

    A topology that needs a pause waits for its turn first, holding no slot meanwhile: half-armed windows would take each other's room.

    :return: the answers, as a list of ``{subject, question, ok, detail}``
    """

    def work(self, context: Context) -> list[dict[str, Any]]:
        """Ask, then take the lease."""
        holder = run_name(context)
        if self.topology.needs_pause and (waits_for := take_turn(self.topology, holder)):
            self.log.info("Not our turn yet: %s", waits_for)
            raise AirflowRescheduleException(utc_now() + WAIT)  # type: ignore[no-untyped-call]
        answers = []
        for check in require(backup_checks(self.topology, self.catalog)):
            self.log.info("%s %s: %s", check.subject, check.question, check.detail)
            answers.append(check.to_dict())
        self.catalog.leases.acquire(BACKUP_LEASE, holder)
        for swept in self.catalog.sweep_half_written(holder=holder):
            self.log.warning("Removed %s: a backup that never ended", swept)
        return answers

"""The first task of a backup: ask everything, take the lease, sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.operators.base import TopologyOperator, run_name
from midtime.preflight import backup_checks, require

if TYPE_CHECKING:
    from airflow.sdk import Context


class PreflightOperator(TopologyOperator):
    """
    Find out whether a backup can succeed, before anything is touched, and take the topology's backup lease.

    Two backups of one topology exclude each other, also between two Airflow installations: the second one fails here.
    What dead backups left half-written is removed.

    :return: the answers, as a list of ``{subject, question, ok, detail}``
    """

    def work(self, context: Context) -> list[dict[str, Any]]:
        """Ask, then take the lease."""
        answers = []
        for check in require(backup_checks(self.topology, self.catalog)):
            self.log.info("%s %s: %s", check.subject, check.question, check.detail)
            answers.append(check.to_dict())
        holder = run_name(context)
        self.catalog.leases.acquire(BACKUP_LEASE, holder)
        for swept in self.catalog.sweep_half_written(holder=holder):
            self.log.warning("Removed %s: a backup that never ended", swept)
        return answers

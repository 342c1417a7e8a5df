"""The first task of a backup: ask everything, take the lease, sweep."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRescheduleException

from midtime.catalog.restore_points import BACKUP_LEASE
from midtime.model.instants import to_rfc3339, utc_now
from midtime.operators.base import TopologyOperator, run_name
from midtime.preflight import backup_checks, require, snapshot_checks
from midtime.snapshots import clear_dead, wants_stopped
from midtime.windows import take_turn

WAIT = timedelta(seconds=10)
"""From one look for a free turn to the next."""

if TYPE_CHECKING:
    from airflow.sdk import Context

    from midtime.stores.base import Check


class PreflightOperator(TopologyOperator):
    """
    Find out whether a backup can succeed, before anything is touched, and take the topology's backup lease.

    Two backups of one topology exclude each other, also between two Airflow installations: the second one fails here.
    What dead backups left half-written is removed, and the snapshots that they left on nodes are cleared.

    A topology that needs a pause waits for its turn first, holding no slot meanwhile: half-armed windows would take each other's room.

    :return: the answers, as a list of ``{subject, question, ok, detail}``
    """

    def work(self, context: Context) -> list[dict[str, Any]]:
        """Ask, then take the lease."""
        holder = run_name(context)
        if self.topology.needs_pause and (waits_for := take_turn(self.topology, holder)):
            self.log.info("Not our turn yet: %s", waits_for)
            raise AirflowRescheduleException(utc_now() + WAIT)  # type: ignore[no-untyped-call]
        return self.admit(holder, backup_checks(self.topology, self.catalog))

    def admit(self, holder: str, checks: Iterable[Check]) -> list[dict[str, Any]]:
        """Ask, take the lease, sweep."""
        answers = []
        for check in require(checks):
            self.log.info("%s %s: %s", check.subject, check.question, check.detail)
            answers.append(check.to_dict())
        self.catalog.leases.acquire(BACKUP_LEASE, holder)
        self._sweep(holder)
        return answers

    def _sweep(self, holder: str) -> None:
        for swept in self.catalog.sweep_half_written(holder=holder):
            self.log.warning("Removed %s: a backup that never ended", swept)
        for line in clear_dead(self.topology, self.catalog):
            self.log.warning("%s", line)


class SnapshotPreflightOperator(PreflightOperator):
    """
    The same for snapshots without a pause. With the run's param ``stopped`` the products must be stopped already.

    :return: an instant before all snapshots of the run, RFC 3339: what they are going to be dated
    """

    def work(self, context: Context) -> Any:
        """Ask, then take the lease."""
        stopped = wants_stopped(self.topology, context)
        self.admit(run_name(context), snapshot_checks(self.topology, self.catalog, stopped=stopped))
        return to_rfc3339(utc_now())

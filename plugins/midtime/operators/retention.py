"""Housekeeping of every day: restore points that no rule keeps any longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from midtime.errors import RequestError
from midtime.operators.base import run_name
from midtime.operators.housekeeping import HousekeepingOperator
from midtime.retention import Retention

if TYPE_CHECKING:
    from airflow.sdk import Context

    from midtime.model.topology import Topology


class RetentionOperator(HousekeepingOperator):
    """
    Remove the restore points that their topology's ``retention`` keeps no longer, and backups that never ended.

    Never touches the newest that can be restored, the newest that was drilled, one that a restore or a drill works with, or one that it
    does not understand. Reads the run's params ``dry_run`` and ``topology``.

    :return: ``{topology: {removed, kept, reasons, half_written, dry_run}}``
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Go through the topologies, then fail if one could not be done."""
        try:
            topologies, dry_run = self._request({**context["params"], **(context["dag_run"].conf or {})})
        except RequestError as error:
            raise AirflowFailException(str(error)) from error
        holder, done = run_name(context), dict[str, Any]()

        def one(topology: Topology) -> None:
            done[topology.name] = Retention(topology, holder, dry_run=dry_run).run().to_dict()

        self.for_each(topologies, one)
        return done

    def _request(self, conf: dict[str, Any]) -> tuple[list[Topology], bool]:
        wanted, dry_run = conf.pop("topology", None), conf.pop("dry_run", False)
        if conf:  # it may be a misspelt dry_run
            raise RequestError(f"unknown parameters: {', '.join(sorted(conf))}", fix="allowed are dry_run, topology")
        if not isinstance(dry_run, bool):
            raise RequestError(f"dry_run is {dry_run!r}", fix="set it to true or false")
        found = [topology for topology in self.topologies if wanted in (None, topology.name)]
        if wanted is not None and not found:
            raise RequestError(f"there is no topology {wanted!r}, or its file is bad", fix="leave it out, or mend its file")
        return found, dry_run

"""Housekeeping of every minute: what the dead left paused, and what they left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midtime.operators.housekeeping import HousekeepingOperator
from midtime.sweeping import sweep
from midtime.unpausing import sweep_pauses

if TYPE_CHECKING:
    from airflow.sdk import Context

    from midtime.model.topology import Topology


class SweepPausesOperator(HousekeepingOperator):
    """
    Unpause what expired leases name: only what is still the same, and only until ten minutes after its deadline. Later it only alarms.

    :return: what was done, one sentence each
    """

    def execute(self, context: Context) -> list[str]:
        """Sweep every place of leases, then fail if something is still paused."""
        done: list[str] = []
        for line in sweep_pauses(self.topologies):
            self.log.warning("%s", line)
            done.append(line)
        return done


class SweepOperator(HousekeepingOperator):
    """
    Remove what dead backups, restores and drills left behind. One topology's trouble keeps no other from being swept.

    :return: what was done, one sentence each
    """

    def execute(self, context: Context) -> list[str]:
        """Sweep each topology, then fail if one could not be swept."""
        done: list[str] = []

        def one(topology: Topology) -> None:
            for line in sweep(topology):
                self.log.warning("%s: %s", topology.name, line)
                done.append(f"{topology.name}: {line}")

        self.for_each(self.topologies, one)
        return done

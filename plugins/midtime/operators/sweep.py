"""Housekeeping over all topologies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from midtime.sweeping import sweep

if TYPE_CHECKING:
    from airflow.sdk import Context

    from midtime.model.topology import Topology


class SweepOperator(BaseOperator):
    """
    Remove what dead backups, restores and drills left behind. One topology's trouble keeps no other from being swept.

    :param topologies: all topologies
    :return: what was done, one sentence each
    """

    def __init__(self, *, topologies: Sequence[Topology], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.topologies = topologies

    def execute(self, context: Context) -> list[str]:
        """Sweep each topology, then fail if one could not be swept."""
        done: list[str] = []
        errors: list[Exception] = []
        for topology in self.topologies:
            try:
                for line in sweep(topology):
                    self.log.warning("%s: %s", topology.name, line)
                    done.append(f"{topology.name}: {line}")
            except Exception as error:
                # Whatever a driver or a backend raises for one topology, the others are swept; the task fails at its end.
                self.log.exception("%s: %s", topology.name, error)
                errors.append(error)
        if errors:
            raise errors[0]
        return done

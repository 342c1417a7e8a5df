"""What is done for all topologies, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

if TYPE_CHECKING:
    from midtime.model.topology import Topology


class HousekeepingOperator(BaseOperator):
    """
    Base of housekeeping. One topology's trouble keeps no other from being looked after.

    :param topologies: all topologies
    """

    def __init__(self, *, topologies: Sequence[Topology], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.topologies = topologies

    def for_each(self, topologies: Iterable[Topology], work: Callable[[Topology], object]) -> None:
        """Do it for each topology, then fail if one could not be done."""
        errors: list[Exception] = []
        for topology in topologies:
            try:
                work(topology)
            except Exception as error:
                # Whatever a driver or a backend raises for one topology, the others are done; the task fails at its end.
                self.log.exception("%s: %s", topology.name, error)
                errors.append(error)
        if errors:
            raise errors[0]

"""Oracle and SQL Server without a `data_conn_id`: marked and restored, and read by nobody. What Midtime cannot judge it does not call good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from midtime.errors import StoreAccessError
from midtime.model.topology import Topology
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.dialects import SPOKEN


def require_nothing_to_judge(topology: Topology, aws: RdsClients) -> str:
    """Nobody expects ScalarDB's records, or a clock, to be read from it.

    :raises StoreAccessError: somebody does
    """
    spoken = SPOKEN[aws.spec.dialect]
    if topology.needs_pause or topology.scalardb.transaction_manager == "consensus-commit" or topology.checks:
        raise StoreAccessError(
            f"store {aws.store} has no `data_conn_id`, so neither its clock nor ScalarDB's records in it can be read",
            fix=f"name a connection to {spoken} itself; only a single database without Consensus Commit "
            "(`scalardb.transaction_manager`) and without checks needs none",
        )
    return f"not by Midtime, which has no `data_conn_id` to {spoken}: read it yourself before products do"


class Unread:
    """A restored database that nobody has looked into."""

    def __init__(self, aws: RdsClients, differences: Callable[[], Sequence[str]]) -> None:
        self.aws, self._differences = aws, differences

    def content(self) -> tuple[()]:
        """Nothing: a mark counts nothing."""
        return ()

    def schema_differences(self) -> tuple[()]:
        """Nothing to compare."""
        return ()

    def setting_differences(self) -> Sequence[str]:
        """That it was not read stands first."""
        return [f"{SPOKEN[self.aws.spec.dialect]}: its data were not read, the topology names no `data_conn_id`", *self._differences()]

    def records(self) -> NoReturn:
        """Cannot be read."""
        self._refuse()

    def coordinators(self) -> NoReturn:
        """Cannot be read."""
        self._refuse()

    def scalar(self, query: str) -> Any:
        """Cannot be asked."""
        self._refuse()

    def fences(self, window: str, namespace: str) -> NoReturn:
        """Cannot be read."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreAccessError(
            f"store {self.aws.store} has no `data_conn_id`, by which it could be read", fix="name one, or verify it by hand"
        )

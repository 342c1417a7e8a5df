"""CQL for the tests, through the driver that Airflow's provider brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cassandra import ConsistencyLevel
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import ConstantReconnectionPolicy, RoundRobinPolicy
from cassandra.query import SimpleStatement, tuple_factory

PROTOCOL = 5


class Session:
    """Connected when it is first used, and again after :meth:`close`."""

    def __init__(self, hosts: Sequence[str], port: int, login: tuple[str, str] | None) -> None:
        self._hosts, self._port, self._login = list(hosts), port, login
        self._cluster: Any = None
        self._session: Any = None

    def execute(self, statement: str, parameters: Any, consistency: str) -> list[tuple[Any, ...]]:
        if self._session is None:
            self._connect()
        level = ConsistencyLevel.name_to_value[consistency]
        return list(self._session.execute(SimpleStatement(statement, consistency_level=level), parameters))

    def once(self, statement: str) -> list[tuple[Any, ...]]:
        """And close: of one node, for what only it can say."""
        try:
            return self.execute(statement, None, "ONE")
        finally:
            self.close()

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.shutdown()
        self._cluster = self._session = None

    def _connect(self) -> None:
        profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), row_factory=tuple_factory, request_timeout=30)
        self._cluster = Cluster(
            self._hosts,
            port=self._port,
            protocol_version=PROTOCOL,
            auth_provider=PlainTextAuthProvider(*self._login) if self._login else None,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            reconnection_policy=ConstantReconnectionPolicy(1.0, None),
            connect_timeout=10,
        )
        self._session = self._cluster.connect()

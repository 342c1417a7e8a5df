"""Folders on disk, on S3 and on Azure Blob for tests of the catalog: each test has its own, and may have a bad network before it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from midtime.catalog import objects
from tests.stack.azurite import Azurite
from tests.stack.fault_proxy import FaultProxy, fault_proxy
from tests.stack.s3 import S3

IMPATIENT: dict[str, dict[str, Any]] = {
    "s3": {"retries": {"mode": "legacy", "total_max_attempts": 3}, "read_timeout": 1},
    "azurite": {"retry_total": 3, "read_timeout": 1},
}
"""So that a test of a fault takes seconds."""
HOPELESS: dict[str, dict[str, Any]] = {
    "s3": {"retries": {"total_max_attempts": 1}, "read_timeout": 1},
    "azurite": {"retry_total": 0, "read_timeout": 1},
}
"""For faults that do not end."""
PREFIX = "Test of/midtime"
"""With a blank and a slash, as people name folders."""


@dataclass
class Place:
    """A folder of its own in a bucket.

    :param conn: the Airflow connection, as ``AIRFLOW_CONN_…`` takes it
    """

    server: S3 | Azurite
    prefix: str
    destination: str
    conn: str
    proxy: FaultProxy | None = None

    @property
    def root(self) -> Any:
        return objects.open_destination(self.destination)

    @property
    def faults(self) -> FaultProxy:
        assert self.proxy
        return self.proxy

    def keys(self) -> list[str]:
        """What a stranger sees there."""
        return [key.removeprefix(f"{self.prefix}/") for key in self.server.keys(f"{self.prefix}/")]

    def unfinished(self) -> list[str]:
        return self.server.unfinished(f"{self.prefix}/")

    def put(self, name: str, content: bytes = b"") -> None:
        """As another program would."""
        self.server.put(f"{self.prefix}/{name}", content)


@contextmanager
def place(server: S3 | Azurite, proxy: FaultProxy | None = None, bucket: str = "", **options: Any) -> Iterator[Place]:
    """A folder, and a connection to it that nobody has used yet."""
    conn_id, prefix = f"{server.name}_{uuid.uuid4().hex}", f"{PREFIX}/{uuid.uuid4().hex}"
    conn = server.conn(proxy.url if proxy else "", **({"config_kwargs": options} if options else {}))
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    os.environ[variable] = conn
    try:
        yield Place(server, prefix, server.destination(prefix, conn_id, *filter(None, [bucket])), conn, proxy)
    finally:
        del os.environ[variable]


@contextmanager
def proxied(server: S3 | Azurite, **options: Any) -> Iterator[Place]:
    """The same behind a proxy."""
    with fault_proxy(server.url) as proxy, place(server, proxy, **options) as made:
        yield made


def server_of(request: pytest.FixtureRequest, kind: str) -> S3 | Azurite:
    found: S3 | Azurite = request.getfixturevalue({"s3": "s3_server", "azure": "azurite_server"}[kind])
    return found

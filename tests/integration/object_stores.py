"""Folders on disk, on S3 and on Azure Blob for tests of the catalog: each test has its own, and may have a bad network before it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Place:
    """A folder of its own in a bucket."""

    server: S3 | Azurite
    conn_id: str
    prefix: str
    proxy: FaultProxy | None = None
    bucket: str = ""

    @property
    def destination(self) -> str:
        return self.server.destination(self.prefix, self.conn_id, *filter(None, [self.bucket]))

    @property
    def root(self) -> Any:
        return objects.open_destination(self.destination)

    @property
    def faults(self) -> FaultProxy:
        assert self.proxy
        return self.proxy

    def fresh(self) -> Place:
        """Another folder behind the same connection, and no faults."""
        if self.proxy:
            self.proxy.forget()
        return replace(self, prefix=f"{PREFIX}/{uuid.uuid4().hex}")

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
    conn_id = f"{server.name}_{uuid.uuid4().hex}"
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    os.environ[variable] = server.conn(proxy.url if proxy else "", **({"config_kwargs": options} if options else {}))
    try:
        yield Place(server, conn_id, "", proxy, bucket).fresh()
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

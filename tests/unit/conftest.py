"""What unit tests share: the same examples on every run, and a catalog on this machine's disk or in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest
from airflow.sdk.io import attach
from hypothesis import settings

from midtime.catalog import Catalog

settings.register_profile("midtime", derandomize=True, deadline=None, database=None)
settings.load_profile("midtime")


@pytest.fixture
def destination(tmp_path: Path) -> str:
    """A destination on disk."""
    return f"file://{tmp_path}/destination"


@pytest.fixture
def catalog(destination: str) -> Catalog:
    """The catalog of topology ``bank`` on disk; nothing is there yet."""
    return Catalog(destination, "bank")


@pytest.fixture(params=["file", "memory"])
def any_catalog(request: pytest.FixtureRequest, destination: str) -> Iterator[Catalog]:
    """The same on disk, and in an object store that knows nothing of files."""
    if request.param == "file":
        yield Catalog(destination, "bank")
        return
    memory = fsspec.filesystem("memory")
    attach("memory", fs=memory)
    yield Catalog(f"memory://{uuid4().hex}/destination", "bank")
    memory.store.clear()


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill does not lose what the kernel has, and no test cuts the power: a busy disk must not slow them down."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def memory_catalogs() -> Iterator[Iterator[Catalog]]:
    """As many catalogs in memory as a test wants, each empty."""
    memory = fsspec.filesystem("memory")
    attach("memory", fs=memory)

    def catalogs() -> Iterator[Catalog]:
        while True:
            memory.store.clear()
            yield Catalog(f"memory://{uuid4().hex}/destination", "bank")

    yield catalogs()
    memory.store.clear()

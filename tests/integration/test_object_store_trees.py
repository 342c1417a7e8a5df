"""Whole trees of objects on the real protocols: listed with their sizes by a few requests, removed by a few more. The pool lives by it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog, objects, old_pool
from midtime.catalog.bases import look_at_artifacts
from midtime.catalog.pool import Pool
from midtime.model.instants import utc_now
from tests.integration.object_stores import place, server_of
from tests.unit.pool_examples import STORE, add, names, put

pytestmark = pytest.mark.integration
MANY = 1205
"""More than one page and one bulk deletion of S3."""


@pytest.fixture(params=["file", "s3", "azure"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Catalog]:
    if request.param == "file":
        yield Catalog(f"file://{tmp_path}/destination", "bank")
        return
    with place(server_of(request, request.param)) as there:
        yield Catalog(there.fresh().destination, "bank")


def test_sizes_and_ages(catalog: Catalog) -> None:
    root = catalog.root / "a"
    assert list(objects.tree(root)) == []
    for name, content in {"x": b"1", "b/y": b"", "b/c d/z": b"333"}.items():
        objects.create(root / name, content)
    objects.create(catalog.root / "ab", b"a neighbour")
    found = dict(objects.tree(root))
    assert {name: look.size for name, look in found.items()} == {"x": 1, "b/y": 0, "b/c d/z": 3}
    assert all(abs(time.time() - look.changed) < 60 for look in found.values())


def test_many(catalog: Catalog) -> None:
    root: Any = catalog.root / "many"
    wanted = [f"{number % 7}/{number:05}" for number in range(MANY)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: objects.create(root / name, b"x"), wanted))
    objects.create(catalog.root / "many2", b"kept")
    assert sorted(name for name, _ in objects.tree(root)) == sorted(wanted)
    objects.remove_all(root, [*wanted[:-1], "never/there"])
    assert [name for name, _ in objects.tree(root)] == wanted[-1:]
    assert objects.read(catalog.root / "many2") == b"kept"


def test_a_pool(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = add(catalog, 1, b"needed", b"")
    put(catalog, b"not needed")
    assert not old_pool.collect(catalog, Pool(catalog, STORE), utc_now(), lambda: None).sizes, "it is too young"
    monkeypatch.setattr(old_pool, "AT_LEAST", -old_pool.AT_LEAST)
    assert old_pool.collect(catalog, Pool(catalog, STORE), utc_now(), lambda: None).size == len(b"not needed")
    assert len(names(catalog)) == 2
    look_at_artifacts(catalog, kept)

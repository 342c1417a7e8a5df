"""What differs in stores that are no file system: how they refuse an object, and how old they say one is."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem

from midtime.catalog import Catalog, objects
from midtime.errors import DestinationError

MINE = b"mine"
TWO_HOURS = 7200


class S3Like(MemoryFileSystem):  # type: ignore[misc]
    """Refuses as s3fs does, and tells as s3fs does when an object was written."""

    cachable = False
    store: dict[str, Any] = {}
    pseudo_dirs = [""]
    before_put: Callable[[str], None] = staticmethod(lambda path: None)
    refusal: BaseException | None = None
    age = 0.0
    name = ""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self.before_put(path)
        if mode == "create" and (self.refusal or self._strip_protocol(path) in self.store):
            raise self.refusal or OSError(errno.EINVAL, "At least one of the pre-conditions you specified did not hold")
        super().pipe_file(path, value)

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return {**super().info(path), "LastModified": datetime.fromtimestamp(time.time() - self.age, UTC)}

    def stat(self, path: str, **kwargs: Any) -> dict[str, Any]:
        return self.info(path)


@pytest.fixture
def s3() -> Iterator[S3Like]:
    made = S3Like()
    made.name = f"s3like{uuid4().hex}"
    attach("memory", conn_id=made.name, fs=made)
    yield made
    made.store.clear()


@pytest.fixture
def path(s3: S3Like) -> Any:
    found = objects.open_destination(f"memory://{s3.name}@bucket/bank") / "c.json"
    assert found.fs is s3
    return found


class TestCreate:
    def test_a_new_one(self, path: Any) -> None:
        objects.create(path, MINE)
        assert objects.read(path) == MINE

    @pytest.mark.parametrize("theirs", [b"theirs", b"", MINE + b"x"])
    def test_is_refused_over_another_s(self, path: Any, theirs: bytes) -> None:
        objects.replace(path, theirs)
        with pytest.raises(FileExistsError, match=r"c\.json"):
            objects.create(path, MINE)
        assert objects.read(path) == theirs

    def test_a_reply_that_was_lost(self, path: Any, s3: S3Like) -> None:
        """The client repeats its PUT by itself and is told of the object that its first one made."""
        s3.before_put = lambda where: MemoryFileSystem.pipe_file(s3, where, MINE)  # type: ignore[method-assign]
        objects.create(path, MINE)
        assert objects.read(path) == MINE

    @pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), ValueError("broken"), PermissionError("broken")])
    def test_a_fault_is_no_rival(self, path: Any, s3: S3Like, error: Exception) -> None:
        s3.refusal = error
        with pytest.raises(DestinationError, match="broken"):
            objects.create(path, MINE)

    def test_a_fault_that_lasts(self, path: Any, s3: S3Like, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whether it is there cannot be told: what the write said counts."""
        objects.replace(path, b"theirs")

        def fails(*args: Any, **kwargs: Any) -> None:
            raise OSError(errno.EIO, "cannot read either")

        s3.refusal = OSError(errno.EIO, "cannot write")
        monkeypatch.setattr(s3, "cat_file", fails)
        with pytest.raises(DestinationError, match="cannot write"):
            objects.create(path, MINE)


class TestLitter:
    DRAFT = f".drill-abcdef.1.json.{'0a' * 16}"
    PROBE = f".probe-{'0a' * 16}"
    KEPT = ("drill-abcdef.1.json", ".probe", ".hidden", ".drill-abcdef.1.json.0a", "notes." + "0a" * 16)

    def write(self, catalog: Catalog, age: float, *names: str) -> None:
        for folder in (catalog.leases.folder, catalog.root / ".writing"):
            for name in names:
                objects.create(folder / name, b"")
                if local := objects.local_path(folder / name):
                    os.utime(local, (time.time() - age, time.time() - age))

    def test_old(self, catalog: Catalog) -> None:
        self.write(catalog, TWO_HOURS, self.DRAFT, self.PROBE, *self.KEPT)
        assert sorted(catalog.remove_litter()) == sorted([self.DRAFT, self.PROBE] * 2)
        assert sorted(objects.names(catalog.leases.folder)) == sorted(self.KEPT)
        assert sorted(objects.names(catalog.root / ".writing")) == sorted(self.KEPT)

    def test_young(self, catalog: Catalog) -> None:
        self.write(catalog, 3000, self.DRAFT, self.PROBE)
        assert catalog.remove_litter() == []
        assert len(objects.names(catalog.leases.folder)) == 2

    def test_none(self, any_catalog: Catalog) -> None:
        assert any_catalog.remove_litter() == []

    @pytest.mark.parametrize(("age", "removed"), [(TWO_HOURS, 1), (3000, 0)])
    def test_in_an_object_store(self, path: Any, s3: S3Like, age: float, removed: int) -> None:
        objects.create(path.parent / self.PROBE, b"")
        s3.age = age
        assert len(objects.remove_litter(path.parent)) == removed

    def test_of_an_age_that_nobody_tells(self, path: Any, s3: S3Like, monkeypatch: pytest.MonkeyPatch) -> None:
        objects.create(path.parent / self.PROBE, b"")
        monkeypatch.setattr(s3, "stat", lambda where: {"size": 0})
        assert objects.remove_litter(path.parent) == []

    def test_that_somebody_else_removes(self, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        self.write(catalog, TWO_HOURS, self.PROBE)
        real = objects.names

        def late(folder: Any) -> list[str]:
            found = real(folder)
            for name in found:
                Path(folder.path, name).unlink()
            return found

        monkeypatch.setattr(objects, "names", late)
        assert catalog.remove_litter() == []

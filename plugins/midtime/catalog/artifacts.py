"""Artifacts on their way to and from the object store: hashed while they are read, so nothing is read twice.

Memory stays at one chunk a file, whatever the size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from midtime.catalog.objects import destination_errors, make_durable, open_stream
from midtime.errors import ArtifactError, StagingSpaceError
from midtime.model.restore_point import Artifact

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

CHUNK = 1 << 20
PARALLEL = 4
Progress = Callable[[int], object]
"""Told how many more bytes are done."""
Sink = Callable[[bytes], object]
T = TypeVar("T")
R = TypeVar("R")


def ignore_progress(count: int) -> None:
    """For callers that nobody watches."""


def upload(source: Path, folder: ObjectStoragePath, prefix: str, *, progress: Progress = ignore_progress) -> tuple[Artifact, ...]:
    """Copy all files of a staging folder to ``folder/prefix``.

    :param folder: the restore point's folder, to which the artifacts' paths are relative
    :return: one artifact a file, sorted by path
    """
    files = sorted(path for path in source.rglob("*") if path.is_file())
    with destination_errors(folder / prefix, "write"):
        (folder / prefix).mkdir(parents=True, exist_ok=True)

    def one(path: Path) -> Artifact:
        return _upload_file(path, folder, f"{prefix}/{path.relative_to(source).as_posix()}", progress)

    return _in_parallel(one, files)


def _upload_file(source: Path, folder: ObjectStoragePath, name: str, progress: Progress) -> Artifact:
    target = folder / name
    with destination_errors(target, "write"), source.open("rb") as reader:
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_stream(target, "wb") as writer:
            size, sha256 = _pump(reader, writer.write, progress)
        make_durable(target)
    return Artifact(path=name, size=size, sha256=sha256)


def download(
    artifacts: Iterable[Artifact], folder: ObjectStoragePath, prefix: str, target: Path, *, progress: Progress = ignore_progress
) -> None:
    """Copy a store's artifacts into a local folder, refusing whatever is not what was written.

    :raises ArtifactError: a file is missing, truncated or altered
    """

    def one(artifact: Artifact) -> None:
        local = target / artifact.path.removeprefix(f"{prefix}/")
        local.parent.mkdir(parents=True, exist_ok=True)
        with local.open("wb", buffering=0) as writer:
            _check(artifact, folder, _staging_sink(writer), progress)

    _in_parallel(one, list(artifacts))


def verify(artifacts: Iterable[Artifact], folder: ObjectStoragePath, *, progress: Progress = ignore_progress) -> list[ArtifactError]:
    """Read every artifact again and compare size and SHA-256 with the manifest.

    :return: what is wrong, one error a file; empty when all is well
    """

    def one(artifact: Artifact) -> ArtifactError | None:
        try:
            _check(artifact, folder, lambda _: None, progress)
        except ArtifactError as error:
            return error
        return None

    return [error for error in _in_parallel(one, list(artifacts)) if error]


def check_sizes(artifacts: Iterable[Artifact], folder: ObjectStoragePath) -> None:
    """A quick look, without reading: is every artifact there, and as long as it should be?

    :raises ArtifactError: for the first that is not
    """

    def one(artifact: Artifact) -> None:
        path = folder / artifact.path
        try:
            with destination_errors(path, "look at"):
                size = path.stat().st_size
        except FileNotFoundError:
            raise _missing(path) from None
        if size != artifact.size:
            raise _truncated(path, artifact, size)

    _in_parallel(one, list(artifacts))


def _missing(path: object) -> ArtifactError:
    return ArtifactError(f"artifact {path} is missing", fix="use another restore point")


def _truncated(path: object, artifact: Artifact, size: int) -> ArtifactError:
    return ArtifactError(f"artifact {path} has {size} bytes, its manifest says {artifact.size}", fix="use another restore point")


def _staging_sink(writer: IO[bytes]) -> Sink:
    def sink(chunk: bytes) -> None:
        left = memoryview(chunk)
        try:
            while left:  # unbuffered, so that a full disk shows here; the last write before that may be short
                left = left[writer.write(left) :]
        except OSError as error:
            raise StagingSpaceError(
                f"cannot write {writer.name}: {error}", fix="make room there, or point MIDTIME_STAGING to a larger disk"
            ) from error

    return sink


def _check(artifact: Artifact, folder: ObjectStoragePath, sink: Sink, progress: Progress) -> None:
    path = folder / artifact.path
    try:
        with destination_errors(path, "read"), open_stream(path, "rb") as reader:
            size, sha256 = _pump(reader, sink, progress)
    except FileNotFoundError:
        raise _missing(path) from None
    if size != artifact.size:
        raise _truncated(path, artifact, size)
    if sha256 != artifact.sha256:
        raise ArtifactError(f"artifact {path} was altered: its SHA-256 differs from its manifest", fix="use another restore point")


def _pump(reader: IO[bytes], sink: Sink, progress: Progress) -> tuple[int, str]:
    size, sha256 = 0, hashlib.sha256()
    while chunk := reader.read(CHUNK):
        sha256.update(chunk)
        sink(chunk)
        size += len(chunk)
        progress(len(chunk))
    return size, sha256.hexdigest()


def _in_parallel(work: Callable[[T], R], items: list[T]) -> tuple[R, ...]:
    with ThreadPoolExecutor(PARALLEL) as pool:
        return tuple(pool.map(work, items))

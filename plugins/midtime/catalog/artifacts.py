"""Artifacts on their way to and from the object store: hashed while they are read, so nothing is read twice.

Memory stays at one chunk a file, whatever the size.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

from midtime.catalog.objects import begin_upload, destination_errors, look, open_stream, remove_tree
from midtime.catalog.refusals import was_refused
from midtime.errors import AlteredArtifactError, ArtifactError, StagingSpaceError
from midtime.model.restore_point import Artifact

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

log = logging.getLogger(__name__)

CHUNK = 1 << 20
PARALLEL = 4
Progress = Callable[[int], object]
"""Told how many more bytes are done."""
Sink = Callable[[bytes | bytearray | memoryview], object]
T = TypeVar("T")
R = TypeVar("R")


def ignore_progress(count: int) -> None:
    """For callers that nobody watches."""


class ArtifactWriter:
    """Hashes what it writes; made by :func:`new_artifact`."""

    artifact: Artifact
    """What was written; there once the block of :func:`new_artifact` ended well."""

    def __init__(self, target: ObjectStoragePath) -> None:
        self._target, self._upload = target, begin_upload(target)
        self._size, self._sha256, self._appears = 0, hashlib.sha256(), False

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append to the object."""
        self._sha256.update(chunk)
        with self._errors():
            self._upload.write(chunk)
        self._size += memoryview(chunk).nbytes

    @property
    def so_far(self) -> tuple[int, str]:
        """Size and SHA-256 of what was written."""
        return self._size, self._sha256.hexdigest()

    def finish(self, name: str) -> None:
        """Make the object appear, and ask the store whether all of it has arrived."""
        self._appears = True
        with self._errors():
            self._upload.finish()
            if (arrived := look(self._target).size) != self._size:
                raise OSError(f"{arrived} of {self._size} bytes have arrived")
        self.artifact = Artifact(path=name, size=self._size, sha256=self._sha256.hexdigest())

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with destination_errors(self._target, "write"):
            try:
                yield
            except (FileNotFoundError, FileExistsError) as error:  # an upload that somebody aborted: no answer of ours
                raise OSError(f"the upload is lost: {error}") from error

    def abort(self, cause: BaseException) -> None:
        """Leave nothing that could be taken for the object; what cannot be removed now is told."""
        try:
            self._upload.abort()
            if self._appears and not was_refused(cause):  # else what is there is of another try, and stays
                remove_tree(self._target)
        except Exception as error:  # noqa: BLE001 - the error that made us abort counts
            log.warning("Parts of %s may be left at the store: %s", self._target, error)


@contextmanager
def new_artifact(folder: ObjectStoragePath, name: str) -> Iterator[ArtifactWriter]:
    """Write one artifact chunk by chunk, of a length that nobody knows yet; when the block fails there is no object.

    :param folder: the restore point's folder
    :param name: the artifact's path in it
    """
    writer = ArtifactWriter(folder / name)
    try:
        yield writer
        writer.finish(name)
    except BaseException as error:
        writer.abort(error)
        raise


def upload(source: Path, folder: ObjectStoragePath, prefix: str, *, progress: Progress = ignore_progress) -> tuple[Artifact, ...]:
    """Copy all files of a staging folder to ``folder/prefix``.

    :param folder: the restore point's folder, to which the artifacts' paths are relative
    :return: one artifact a file, sorted by path
    """
    files = sorted(path for path in source.rglob("*") if path.is_file())

    def one(path: Path) -> Artifact:
        return _upload_file(path, folder, f"{prefix}/{path.relative_to(source).as_posix()}", progress)

    return _in_parallel(one, files)


def _upload_file(source: Path, folder: ObjectStoragePath, name: str, progress: Progress) -> Artifact:
    with destination_errors(folder / name, "write"), source.open("rb") as reader, new_artifact(folder, name) as writer:
        while chunk := reader.read(CHUNK):
            writer.write(chunk)
            progress(len(chunk))
    return writer.artifact


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
    return [error for _, error in damaged(artifacts, folder, progress=progress)]


def damaged(
    artifacts: Iterable[Artifact], folder: ObjectStoragePath, *, progress: Progress = ignore_progress
) -> list[tuple[Artifact, ArtifactError]]:
    """As :func:`verify`, each with the artifact that is meant."""

    def one(artifact: Artifact) -> tuple[Artifact, ArtifactError] | None:
        try:
            _check(artifact, folder, lambda _: None, progress)
        except ArtifactError as error:
            return artifact, error
        return None

    return [found for found in _in_parallel(one, list(artifacts)) if found]


def read(artifact: Artifact, folder: ObjectStoragePath) -> bytes:
    """A small artifact, whole.

    :raises ArtifactError: it is missing, truncated or altered
    """
    content = bytearray()
    _check(artifact, folder, content.extend, ignore_progress)
    return bytes(content)


def check_sizes(artifacts: Iterable[Artifact], folder: ObjectStoragePath) -> None:
    """A quick look, without reading: is every artifact there, and as long as it should be?

    :raises ArtifactError: for the first that is not
    """

    def one(artifact: Artifact) -> None:
        path = folder / artifact.path
        try:
            size: int | None = look(path).size
        except FileNotFoundError:
            size = None
        require_size(artifact, folder, size)

    _in_parallel(one, list(artifacts))


def require_size(artifact: Artifact, folder: ObjectStoragePath, size: int | None) -> None:
    """Judge the size that an artifact was found to have; None where it was not found.

    :raises ArtifactError: it is missing, or has another size
    """
    if size is None:
        raise _missing(folder / artifact.path)
    if size != artifact.size:
        raise _truncated(folder / artifact.path, artifact, size)


def _missing(path: object) -> ArtifactError:
    return ArtifactError(f"artifact {path} is missing", fix="use another restore point")


def _truncated(path: object, artifact: Artifact, size: int) -> ArtifactError:
    return ArtifactError(f"artifact {path} has {size} bytes, its manifest says {artifact.size}", fix="use another restore point")


def _staging_sink(writer: IO[bytes]) -> Sink:
    def sink(chunk: bytes | bytearray | memoryview) -> None:
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
    for chunk in chunks(artifact, folder):
        sink(chunk)
        progress(len(chunk))


def chunks(artifact: Artifact, folder: ObjectStoragePath) -> Iterator[bytes]:
    """An artifact's content, of which the end comes only if all of it is what was written.

    :raises ArtifactError: it is missing, truncated or altered
    """
    path, size, sha256 = folder / artifact.path, 0, hashlib.sha256()
    try:
        with destination_errors(path, "read"), open_stream(path, "rb") as reader:
            while chunk := reader.read(CHUNK):
                sha256.update(chunk)
                size += len(chunk)
                yield chunk
    except FileNotFoundError:
        raise _missing(path) from None
    require_size(artifact, folder, size)
    if sha256.hexdigest() != artifact.sha256:
        raise AlteredArtifactError(f"artifact {path} was altered: its SHA-256 differs from its manifest", fix="use another restore point")


def _in_parallel(work: Callable[[T], R], items: list[T]) -> tuple[R, ...]:
    with ThreadPoolExecutor(PARALLEL) as pool:
        return tuple(pool.map(work, items))

"""Files of a node on their way into the pool: several streams at once, the large files first, many small ones in one stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter

from midtime.catalog.pool import Pool
from midtime.stores.base import Say
from midtime.stores.cassandra.nodes import files
from midtime.stores.cassandra.nodes.base import Node
from midtime.stores.cassandra.nodes.files import FileSeen

STREAM_BYTES = 64 << 20
"""A stream ends after the file that reaches this: whoever is ready first takes the next."""
STREAM_FILES = 500
TELL = 5.0
"""Seconds between two lines of progress."""
BURST = 1.0
"""Seconds for which what was not used may be made up."""


class _GivenUp(BaseException):
    """A stream is ended because another one failed. No Exception: the catalog would take that for a failure of its own."""


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file whose content the pool lacks."""

    seen: FileSeen
    sha256: str


class Throttle:
    """So many bytes a second, over all who ask.

    :param rate: None: no limit
    """

    def __init__(
        self, rate: int | None, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._rate, self._clock, self._sleep = rate, clock, sleep
        self._lock, self._paid_until = threading.Lock(), clock()

    def take(self, count: int) -> None:
        """Wait until that many bytes may pass; whoever asks later waits for them as well."""
        if self._rate is None:
            return
        with self._lock:
            now = self._clock()
            begin = max(self._paid_until, now - BURST)
            self._paid_until = begin + count / self._rate
        if begin > now:
            self._sleep(begin - now)


@dataclass(slots=True)
class Progress:
    """Counts what is sent, and says so now and then."""

    subject: str
    files: int
    bytes: int
    say: Say
    clock: Callable[[], float] = time.monotonic
    sent_files: int = 0
    sent_bytes: int = 0
    begun: float = field(init=False)
    told: float = field(init=False)
    lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.begun = self.told = self.clock()

    def add(self, *, files: int = 0, count: int = 0) -> None:
        """So much more is sent."""
        with self.lock:
            self.sent_files, self.sent_bytes = self.sent_files + files, self.sent_bytes + count
            if self.clock() - self.told >= TELL:
                self.tell()

    def tell(self) -> None:
        """Say how far it is."""
        self.told = self.clock()
        rate = self.sent_bytes / 1e6 / max(self.told - self.begun, 0.001)
        done = f"{self.sent_bytes:,} of {self.bytes:,} bytes, {self.sent_files:,} of {self.files:,} files"
        self.say(f"{self.subject}: sent {done}, {rate:,.1f} MB/s")


class Sender:
    """Sends files of one node into the pool.

    :param uploads: streams at once
    """

    def __init__(self, node: Node, pool: Pool, *, uploads: int, throttle: Throttle, progress: Progress) -> None:
        self._node, self._pool, self._uploads = node, pool, uploads
        self._throttle, self._progress = throttle, progress
        self._failed = threading.Event()

    def send(self, missing: Iterable[Hashed]) -> dict[tuple[str, int], str]:
        """Send them all; their names in the pool by SHA-256 and size. When one fails the others are ended, and what was sent stays sent.

        :raises CopyError: a file was changed meanwhile
        :raises StoreError: as for :func:`midtime.stores.cassandra.nodes.files.send_out`
        """
        found: dict[tuple[str, int], str] = {}
        with ThreadPoolExecutor(self._uploads, thread_name_prefix="midtime-upload") as executor:
            streams = [executor.submit(self._stream, files) for files in in_streams(missing)]
            try:
                for stream in as_completed(streams):
                    found |= stream.result()
            except BaseException:
                self._failed.set()
                executor.shutdown(wait=False, cancel_futures=True)
                raise
        return found

    def _stream(self, batch: Sequence[Hashed]) -> dict[tuple[str, int], str]:
        if self._failed.is_set():  # the thread that ends them all may be the last to hear of it
            return {}
        try:
            return self._sent(batch)
        except _GivenUp:
            return {}
        except BaseException:
            self._failed.set()
            raise

    def _sent(self, batch: Sequence[Hashed]) -> dict[tuple[str, int], str]:
        found = {}
        with files.send_out(self._node, batch[0].seen.root, [file.seen.path for file in batch]) as members:
            for (_, _, chunks), file in zip(members, batch, strict=False):
                found[file.sha256, file.seen.size] = self._pool.put(file.sha256, file.seen.size, self._counted(chunks))
                self._progress.add(files=1)
        return found

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._failed.is_set():
                raise _GivenUp
            self._throttle.take(len(chunk))
            yield chunk
            self._progress.add(count=len(chunk))


def in_streams(missing: Iterable[Hashed]) -> Iterator[list[Hashed]]:
    """The files of each stream: of one root, the largest first, each alone once it is large."""
    by_root = sorted(missing, key=lambda file: (file.seen.root, -file.seen.size, file.seen.path))
    streams = [stream for _, found in groupby(by_root, attrgetter("seen.root")) for stream in _cut(found)]
    yield from sorted(streams, key=lambda stream: -sum(file.seen.size for file in stream))


def _cut(found: Iterable[Hashed]) -> Iterator[list[Hashed]]:
    stream, size = list[Hashed](), 0
    for file in found:
        stream.append(file)
        size += file.seen.size
        if size >= STREAM_BYTES or len(stream) >= STREAM_FILES:
            yield stream
            stream, size = [], 0
    if stream:
        yield stream

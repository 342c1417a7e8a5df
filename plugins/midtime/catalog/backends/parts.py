"""A large object in parts, of which the store makes one object in the end: S3's multipart upload, Azure's block list."""

from __future__ import annotations

from midtime.catalog.backends.base import Upload

PART = 32 << 20
"""Bytes of the first parts; an object that is smaller goes in one request."""
GROW_EVERY = 1000
"""After so many parts they grow by :data:`PART`: S3 takes 10,000 parts, which so hold 1.8 TB, and small objects need little memory."""


def part_size(number: int) -> int:
    """Bytes of the part of that number, counted from 0."""
    return PART * (1 + number // GROW_EVERY)


class PartsUpload(Upload):
    """Collects one part in memory, sends it, collects the next."""

    def __init__(self) -> None:
        self.parts = 0
        """How many were sent."""
        self._buffer = bytearray()

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append, and send each part that is full."""
        left = memoryview(chunk).cast("B")
        while left:
            room = part_size(self.parts) - len(self._buffer)
            self._buffer += left[:room]
            left = left[room:]
            if len(self._buffer) == part_size(self.parts):
                self._send()

    def finish(self) -> None:
        """Send the rest and have the parts put together."""
        if not self.parts:
            return self.put_whole(self._buffer)
        if self._buffer:
            self._send()
        return self.put_together()

    def _send(self) -> None:
        self.put_part(self._buffer)
        self.parts, self._buffer = self.parts + 1, bytearray()

    def put_whole(self, content: bytearray) -> None:
        """All in one request."""
        raise NotImplementedError

    def put_part(self, content: bytearray) -> None:
        """The next part."""
        raise NotImplementedError

    def put_together(self) -> None:
        """One object of all parts."""
        raise NotImplementedError

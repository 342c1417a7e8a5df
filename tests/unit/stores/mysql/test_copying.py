"""The thread that compresses: whatever happens to it, whoever feeds it goes on or hears of it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from midtime.stores.mysql.copying import QUEUED, Packer
from tests.unit.processes import until


class Writer:
    def __init__(self, fail_after: int = 10**9) -> None:
        self.chunks: list[bytes] = []
        self.fail_after = fail_after

    def write(self, chunk: bytes) -> None:
        if len(self.chunks) >= self.fail_after:
            raise OSError("the destination is gone")
        self.chunks.append(chunk)


def packer(writer: Any) -> Packer:
    found = Packer(writer, "none", 0)
    found.start()
    return found


def feed(found: Packer, chunks: int) -> None:
    for number in range(chunks):
        found.put(b"%d" % number)


def test_everything_in_order() -> None:
    writer = Writer()
    found = packer(writer)
    feed(found, 100)
    found.finish()
    assert writer.chunks == [b"%d" % number for number in range(100)]


@pytest.mark.timeout(20)
def test_whoever_waits_for_room_is_let_go() -> None:
    """The queue is full and its feeder waits in it when the destination fails."""
    found = Packer(Writer(), "none", 0)  # type: ignore[arg-type]

    def fail_when_full(_: bytes) -> bytes:
        until(found.chunks.full, "a full queue")
        time.sleep(0.1)
        raise OSError("the destination is gone")

    setattr(found.compressor, "compress", fail_when_full)  # noqa: B010 - a method, for the type checker
    found.start()
    with pytest.raises(OSError, match="destination is gone"):
        feed(found, 10 * QUEUED)
    with pytest.raises(OSError, match="destination is gone"):
        found.finish()
    assert not found.is_alive()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("where", ["write", "compress", "flush"])
def test_one_that_dies_is_heard_of_and_blocks_nobody(where: str) -> None:
    found = Packer(Writer(3 if where == "write" else 10**9), "none", 0)  # type: ignore[arg-type]

    def broken(*_: object) -> bytes:
        raise OSError("no memory")

    if where != "write":
        setattr(found.compressor, where, broken)
    found.start()
    with pytest.raises(OSError, match=r"destination is gone|no memory"):
        feed(found, 10 * QUEUED if where != "flush" else 3)
        found.finish()
    with pytest.raises(OSError, match=r"destination is gone|no memory"):
        found.finish() if found.is_alive() else found.put(b"")
    found.join(10)
    assert not [each for each in threading.enumerate() if each.name == "pack"]

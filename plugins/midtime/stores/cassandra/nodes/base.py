"""One node's tools and files, wherever the node is. All that is asked of an access is to run a command there; the rest is a shell's work."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from midtime.errors import StoreError, ToolError

SHORT = 60.0
"""Seconds that a command which moves no data may take."""
SILENCE = 3600.0
"""Seconds that a command may neither take nor give a byte: as long as the hash of the largest file takes."""
PIECE = 1 << 20


class Running(ABC):
    """A command that runs on a node. Used as a context manager: on leaving, whatever still runs is ended, as far as the access can.

    One thread may send while another one reads.
    """

    silence: float = SILENCE
    """Seconds for which :meth:`send` and :meth:`read` wait until something moves; may be set."""

    @abstractmethod
    def send(self, chunk: bytes) -> None:
        """Write to its standard input.

        :raises StoreUnreachableError: the node is gone
        :raises ToolError: the command has ended
        """

    @abstractmethod
    def end_input(self) -> None:
        """Close its standard input. Idempotent."""

    @abstractmethod
    def read(self, size: int = 1 << 20) -> bytes:
        """The next bytes of its standard output, at least one; empty at its end.

        :raises StoreUnreachableError: the node is gone, or said nothing for too long
        """

    @abstractmethod
    def wait(self, timeout: float) -> None:
        """Until it has ended, with exit code 0.

        :raises ToolError: another exit code; its last words are in the message
        :raises StoreUnreachableError: it has not ended in time, or the node is gone
        """

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether it still runs, as far as that can be told at once."""

    @abstractmethod
    def close(self) -> None:
        """End it. Idempotent, never raises."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Node(ABC):
    """One node. Thread-safe: several commands may run at once.

    :param label: what names it for ever: its address, or its pod's name; for reports, and folders of artifacts
    :param host: its address as the ring shows it now
    """

    here = False
    """Whether its files are the worker's own."""

    def __init__(self, label: str, host: str) -> None:
        self.label, self.host = label, host

    @abstractmethod
    def start(self, command: Sequence[str]) -> Running:
        """Start a command there; it is not read by a shell. Nothing secret may be in it: everybody on the node sees it.

        :raises StoreUnreachableError: the node does not answer
        :raises StoreAccessError: it refuses us
        """

    def run(self, command: Sequence[str], *, sent: bytes = b"", timeout: float = SHORT) -> str:
        """Run a command to its end; what it said to standard output.

        :param sent: its standard input
        :raises StoreError: as for :meth:`start` and :meth:`Running.wait`
        """
        return self.output(command, sent=sent, timeout=timeout).decode(errors="replace")

    def output(self, command: Sequence[str], *, sent: bytes = b"", timeout: float = SHORT) -> bytes:
        """Like :meth:`run`, for what may be no text."""
        with self.start(command) as running, fed(running, sent):
            running.silence = timeout
            said = bytearray()
            while chunk := running.read():
                said += chunk
            running.wait(timeout)
        return bytes(said)

    def shell(self, script: str, *arguments: str, sent: bytes = b"", timeout: float = SHORT) -> str:
        """Run a POSIX shell script there, with ``$1``, ``$2``, ...; it ends at the first command that fails."""
        return self.run(["sh", "-euc", script, "midtime", *arguments], sent=sent, timeout=timeout)

    def close(self) -> None:  # noqa: B027 - most keep nothing open
        """Let go of connections. Idempotent."""


@contextmanager
def fed(running: Running, sent: bytes) -> Iterator[None]:
    """Send a command all of its input while the block reads its output: neither may wait for the other.

    :raises StoreError: the node is gone. A command that ends without reading everything is no error: its exit code says what it thinks of it
    """
    failures: list[StoreError] = []

    def feed() -> None:
        try:
            for start in range(0, len(sent), PIECE):
                running.send(sent[start : start + PIECE])
            running.end_input()
        except ToolError:
            pass
        except StoreError as error:
            failures.append(error)

    feeder = threading.Thread(target=feed, name="midtime-feed", daemon=True)
    feeder.start()
    try:
        yield
    except BaseException:
        running.close()  # or the feeder would wait for ever
        raise
    finally:
        feeder.join()
    if failures:
        raise failures[0]

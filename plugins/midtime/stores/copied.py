"""Stores whose data Midtime copies itself: the instant is fixed by a capture inside the window, and read out after it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from midtime.model.restore_point import StoreBackup
from midtime.stores.base import Say, Shelf, Store, Target


class Capture(Protocol):
    """A store's data, fixed at one instant."""

    @property
    def midtime(self) -> datetime:
        """The instant, in the store's own clock."""


class Armed(ABC):
    """A store that is ready: connected, locked, asked everything; only the instant is not fixed yet."""

    __slots__ = ()

    @abstractmethod
    def fix(self) -> Capture:
        """Fix the instant, now. Near-constant time, whatever the size of the data."""

    def check(self) -> None:  # noqa: B027 - most hold nothing that could end by itself
        """Whether it still is ready, as far as that can be told at once; asked again and again while the window is waited for.

        :raises StoreError: it is not: a program that waits for the window has ended
        """


class CopiedStore(Store):
    """A database whose data Midtime copies itself."""

    @abstractmethod
    def capture(self) -> AbstractContextManager[Capture]:
        """Fix the instant; on leaving, whatever held it is let go."""

    @abstractmethod
    def arm(self) -> AbstractContextManager[Armed]:
        """Get ready to fix the instant in a pause window; on leaving, whatever held it is let go."""

    @abstractmethod
    def copy(self, capture: Any, shelf: Shelf, say: Say) -> StoreBackup:
        """Read a capture out into artifacts.

        :param say: is told how far it got, one line at a time
        """


class SnapshotStore(CopiedStore):
    """A store whose capture stays on its own nodes until each of them was copied: capture and copy are tasks of their own.

    Only :meth:`prove` needs the worker that captured; everything after it is told by what lies at the destination, so that any worker can go on.
    """

    @abstractmethod
    def arm(self, tag: str = "") -> AbstractContextManager[Armed]:
        """Get ready to take a snapshot on every node at once.

        :param tag: the snapshot's name on the nodes, see :func:`midtime.stores.naming.snapshot_tag`; by default one is made up
        """

    @abstractmethod
    def prove(self, capture: Any, shelf: Shelf) -> None:
        """Make sure that every node has all of the snapshot, and put down what the others need to know of it.

        :raises CopyError: it has not, or the cluster changed meanwhile
        """

    @abstractmethod
    def labels(self, shelf: Shelf) -> list[str]:
        """The nodes of a snapshot that was proven."""

    @abstractmethod
    def upload(self, label: str, shelf: Shelf, say: Say) -> dict[str, Any]:
        """Copy one node's files out; what an earlier try has sent is not sent again.

        :return: ``{files, bytes, sent_files, sent_bytes}``
        """

    @abstractmethod
    def collect(self, shelf: Shelf, midtime: datetime, seconds: float) -> StoreBackup:
        """The store's part of the restore point, made of what all uploads left at the destination."""

    @abstractmethod
    def node_target(self, label: str, *, run: str) -> Target:
        """What a restore of one lost node is going to replace; nothing is touched. All that a restore does knows it by its ``node``.

        :param run: six hexadecimal digits of the run
        """

    @abstractmethod
    def forget(self, tag: str) -> None:
        """Clear a snapshot on every node that has it. Idempotent; never another's than our own.

        :raises StoreError: nodes do not answer; it was cleared on all the others
        """

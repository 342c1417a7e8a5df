"""What a store is to the rest of Midtime: one protocol for every database whose data we copy ourselves.

Operators speak only this; each engine's folder below ``stores/`` answers it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from midtime.errors import MidtimeError, RequestError
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.verify.records import Coordinator, RecordSource

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from midtime.model.clock_readings import ClockReading
    from midtime.model.topology import Topology
    from midtime.model.topology.targets import Target as TargetWish


@dataclass(frozen=True, slots=True)
class Check:
    """The answer to one question of a preflight."""

    subject: str
    """The store, product or destination that was asked."""
    question: str
    ok: bool
    detail: str
    error: MidtimeError | None = None

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"subject": self.subject, "question": self.question, "ok": self.ok, "detail": self.detail}


Say = Callable[[str], object]
"""Takes one line of progress for people."""
Question = tuple[str, Callable[[], str]]
"""A question, and what answers it: it returns a detail, or raises."""


WILL_BE = "will be"
"""The question of a restore whose answer names what its target becomes, and what gives way to it (with the word *replacing*)."""


def ask(subject: str, questions: Iterator[Question]) -> Iterator[Check]:
    """Answer questions one after the other; the first that fails ends them, because the next ones would only repeat it."""
    for question, answer in questions:
        try:
            yield Check(subject, question, True, answer())
        except MidtimeError as error:
            yield Check(subject, question, False, str(error), error)
            return


@dataclass(frozen=True, slots=True)
class Target:
    """Where one store is restored to: first under a working name, then, verified, under its final one."""

    store: str
    conn_id: str
    working: str
    """Made by us, removed by us; nobody else uses such a name."""
    final: str
    """Equal to ``working`` for a drill."""
    aside: str | None = None
    """In place: the name under which what is replaced is kept."""

    def to_dict(self) -> dict[str, Any]:
        """For XCom and leases."""
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Target:
        """Read what :meth:`to_dict` wrote."""
        return cls(**body)


class Capture(Protocol):
    """A store's data, fixed at one instant."""

    @property
    def midtime(self) -> datetime:
        """The instant, in the store's own clock."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where one store's artifacts of one restore point lie."""

    folder: ObjectStoragePath
    """The restore point's folder."""
    store: str

    @property
    def prefix(self) -> str:
        """The store's folder below it."""
        return self.store


class RestoredSet(Protocol):
    """One restored store, open for verification."""

    def content(self) -> Sequence[TableContent]:
        """Counts and digests as :attr:`StoreBackup.tables` has them."""

    def schema_differences(self) -> Sequence[str]:
        """How the restored schema differs from the captured one, one sentence each."""

    def records(self) -> RecordSource:
        """ScalarDB's records."""

    def coordinators(self) -> Sequence[Coordinator]:
        """The Coordinator tables in this store."""

    def scalar(self, query: str) -> Any:
        """The one value that a user's check returns."""


class ClockedStore(Protocol):
    """A store that is restored to an instant of its own clock: a managed one."""

    resolution: timedelta
    """Of the instants that it can be restored to."""
    fleet: bool
    """Whether other machines tell the time than keep it."""

    def read_clock(self) -> ClockReading:
        """Its clock against this worker's, now.

        :raises StoreError: it does not say
        """


class Armed(Protocol):
    """A store that is ready: connected, locked, asked everything; only the instant is not fixed yet."""

    def fix(self) -> Capture:
        """Fix the instant, now. Near-constant time, whatever the size of the data."""


class CopiedStore(ABC):
    """A database whose data Midtime copies itself.

    :param topology: the topology
    :param name: the store's name in it
    """

    def __init__(self, topology: Topology, name: str) -> None:
        self.topology = topology
        self.name = name

    @abstractmethod
    def questions(self) -> Iterator[Question]:
        """The preflight of a backup. It changes nothing."""

    @abstractmethod
    def capture(self) -> AbstractContextManager[Capture]:
        """Fix the instant; on leaving, whatever held it is let go."""

    def arm(self) -> AbstractContextManager[Armed]:
        """Get ready to fix the instant in a pause window; on leaving, whatever held it is let go.

        :raises RequestError: this engine cannot do that (yet)
        """
        raise RequestError(
            f"store {self.name!r}: engine {self.topology.store(self.name).engine} cannot be captured in a pause window yet",
            fix="back it up in a topology of its own, if nothing else belongs to its transactions",
        )

    def require_armable(self) -> str:
        """Whether :meth:`arm` works.

        :raises RequestError: it does not
        """
        if type(self).arm is CopiedStore.arm:
            self.arm()
        return "yes"

    @abstractmethod
    def copy(self, capture: Any, shelf: Shelf, say: Say) -> StoreBackup:
        """Read a capture out into artifacts.

        :param say: is told how far it got, one line at a time
        """

    @abstractmethod
    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """Turn what a person wrote into names; nothing is touched.

        :param wish: what the run or the topology says of this store, if anything
        :param run: six hexadecimal digits of the run
        """

    @abstractmethod
    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """The preflight of a restore."""

    def drill_questions(self) -> Iterator[Question]:
        """Whether the topology's drill target can be restored to; asked by ``midtime check``, a backup does not depend on it."""
        return iter(())

    @abstractmethod
    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> None:
        """Restore under the working name; begun afresh when it is called again."""

    @abstractmethod
    def restored(self, backup: StoreBackup, target: Target) -> AbstractContextManager[RestoredSet]:
        """Open what was restored under the working name."""

    @abstractmethod
    def place(self, backup: StoreBackup, target: Target) -> None:
        """Give the verified set its final name, keeping aside what had it. Idempotent."""

    @abstractmethod
    def discard(self, target: Target) -> None:
        """Remove the working copy. Idempotent."""

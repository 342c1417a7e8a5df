"""What a store is to the rest of Midtime: one protocol for every database of a topology.

Operators speak only this; each engine's folder below ``stores/`` answers it. How a backup is made of it parts the stores into two families:
:mod:`midtime.stores.copied` and :mod:`midtime.stores.managed`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from midtime.errors import MidtimeError
from midtime.model.restore_point import StoreBackup, TableContent
from midtime.stores.fences import FenceWriter
from midtime.verify.records import Coordinator, RecordSource

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

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
    port: int | None = None
    """Of a server of its own, where the store is restored into one."""
    node: str | None = None
    """The one node that is restored, where it is not the whole store."""
    overwrites: bool = False
    """What is in another cluster gives way to it for good, and a person has to know."""

    def to_dict(self) -> dict[str, Any]:
        """For XCom and leases."""
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Target:
        """Read what :meth:`to_dict` wrote."""
        return cls(**body)


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

    def fences(self, window: str, namespace: str) -> frozenset[str]:
        """Which fence rows of a window it holds: ``before``, ``after``; none where the namespace has no such table."""


@runtime_checkable
class ComparesSettings(Protocol):
    """A restored store of a service that loses settings when it restores."""

    def setting_differences(self) -> Sequence[str]:
        """What is not as it was marked and is no data (roles, network, throughput, tags), one sentence each, with the value to be put back."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How a restored account or server is reached by whoever uses it."""

    conn_type: str
    """Of the Airflow connection."""
    login: str
    """For an account of a cloud its address."""
    password: str = field(repr=False)
    host: str = ""
    """Of a server; of an account nothing."""
    port: int | None = None
    schema: str = ""
    extra: str = field(default="", repr=False)
    """As JSON. There may be secrets in it, too."""

    @property
    def address(self) -> str:
        """For people."""
        return f"{self.host}:{self.port}" if self.host and self.port else self.host or self.login


@runtime_checkable
class HandsOver(Protocol):
    """A store that is restored to an address of its own."""

    def reached(self, name: str) -> Reached:
        """How what was restored under this final name is reached.

        :raises RequestError: Midtime has placed nothing of that name
        """


@dataclass(frozen=True, slots=True)
class Restorable:
    """Whether a store can be restored to a point of its history by now."""

    ready: bool
    detail: str
    """Up to when, or what is lacking."""
    passed: tuple[str, ...] = ()
    """Names of parts of it that need not be asked again, where asking is dear: handed back at the next look."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Somebody else goes on with a restore that was asked for, a managed service; whoever waits for it asks again later."""

    detail: str
    """What is waited for, and how far it is."""
    look_again: timedelta
    """In how long."""


class PointInTimeStore(Protocol):
    """A store that is restored to a point of its own history (``point_in_time``), which what keeps the history may reach some time after it."""

    def restorable(self, backup: StoreBackup, passed: Collection[str] = ()) -> Restorable:
        """Ask whoever keeps the history whether it has reached the point; cheap enough to be asked again every few seconds.

        :param passed: what the look before has answered as :attr:`Restorable.passed`
        :raises MidtimeError: it does not say, or the point cannot be reached any more
        """


class Store(ABC):
    """One database of a topology: what every family of them can.

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
    def fence(self) -> AbstractContextManager[FenceWriter]:
        """A session of its own that writes fence rows; nothing is made or written yet."""

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
    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> Waiting | None:
        """Restore under the working name; begun afresh when it is called again.

        :return: None once it is there; else it is to be called again, by anybody and on any worker: nothing is begun afresh then
        """

    @abstractmethod
    def restored(self, backup: StoreBackup, target: Target) -> AbstractContextManager[RestoredSet]:
        """Open what was restored under the working name."""

    def verified_in_place(self, target: Target) -> bool:
        """Whether what is restored can be read only where :meth:`place` puts it: then it is placed first, and the whole set verified after that."""
        return False

    @abstractmethod
    def place(self, backup: StoreBackup, target: Target) -> None:
        """Give the verified set its final name, keeping aside what had it.

        Idempotent: a process may be killed in the middle of it, and then it is called again, or :meth:`put_back` is. Products are stopped
        meanwhile, where something live is replaced. What fails here must leave behind what :meth:`put_back` can undo.

        :raises TargetExistsError: the final name, or the one to keep it under, was taken by somebody since the plan
        :raises StoreUnreachableError: somebody keeps hold of what is live
        """

    @abstractmethod
    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """Undo :meth:`place`, however far it came: another store of the set could not be placed, so none may be.

        Afterwards what was kept aside is live again under the final name, with its data and all that belonged to it; nothing is left under
        the name it was kept by. What was placed is the working copy again (a later :meth:`place` of the same run works), and :meth:`discard`
        removes it. Restored beside, the final name is free again.

        Idempotent, and called for stores whose :meth:`place` did nothing at all: then it changes nothing. It has to tell by what the database
        itself says (a mark, an identity, a note that is moved in the same transaction), not by names alone: what :meth:`place` of this very
        run did not make or move stays as it is. Where that can be told no more, it raises and moves nothing. As few moments as possible in
        which the final name means nothing: one transaction, one statement or one rename where the engine has it.

        Never called once :meth:`discard` was, nor once the products were started on the restored set.

        :raises RestoreFailedError: the working copy, or what was kept aside, is gone, so nobody can tell what stands where
        :raises StoreUnreachableError: the database does not answer, or somebody keeps hold of it
        """

    def ends_history(self, target: Target) -> str:
        """Why no restore point made of this store so far can be restored any more, now that this target was placed, or put back.

        :return: empty where they all can
        :raises StoreError: it does not say
        """
        return ""

    @abstractmethod
    def discard(self, target: Target) -> None:
        """Remove the working copy. Idempotent."""

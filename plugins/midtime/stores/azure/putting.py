"""What a restore loses, put back: change by change, each an operation of the service's, told by what the service itself says is there.

A change that is vital fails the restore if the service refuses it; any other one is said, and left.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from midtime.errors import RestoreFailedError, StoreError
from midtime.model.instants import utc_now
from midtime.model.words import counted
from midtime.stores.azure import operations
from midtime.stores.azure.clients import Clients
from midtime.stores.azure.notes import Operation, Progress, ProgressNotes

log = logging.getLogger(__name__)

AT_A_TIME = 20
"""Operations that one look begins."""
REPEATS = 3
"""Of one change that the service takes, and that does not show."""


@dataclass(frozen=True, slots=True)
class Change:
    """One operation."""

    what: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...]
    vital: bool = False


class Putting:
    """Changes of one copy, begun by one process and seen through by any.

    :param at_a_time: operations that one look begins
    """

    def __init__(self, azure: Clients, notes: ProgressNotes, at_a_time: int = AT_A_TIME) -> None:
        self.azure, self.notes, self.at_a_time = azure, notes, at_a_time

    def under_way(self, *, there: bool = True) -> str:
        """What the service works on that it was asked for; empty where that is nothing.

        :param there: what was restored is whole: of an operation that was forgotten nobody knows what came of it
        :raises RestoreFailedError: it says that it failed
        """
        progress = self.notes.progress()
        if not progress or not progress.operations:
            return ""
        running, given_up = [], dict(progress.given_up)
        for operation in progress.operations:
            found = operations.look(self.azure, operation)
            if found.failed and not operation.vital:
                given_up[operation.what] = found.failed
                log.warning("%s could not be put back: %s", operation.what, found.failed)
            elif found.failed:
                if progress.there:  # what failed is a change, and a next try may ask again; a restore that failed stays failed
                    self.notes.say(progress.model_copy(update={"operations": ()}))
                raise RestoreFailedError(
                    f"store {self.azure.store}: {operation.what}: {found.failed}", fix="see the service's words; then clear this task"
                )
            running += [operation.what] if found.running else []
        if not running:
            self.notes.say(progress.model_copy(update={"operations": (), "there": progress.there or there, "given_up": given_up}))
        return _several(running)

    def make(self, changes: Iterable[Change]) -> str:
        """Ask for what is left, as much as may be asked for now.

        :return: what is left; empty where that is nothing
        :raises RestoreFailedError: the service refuses something vital
        """
        progress = self.notes.progress() or Progress(at=utc_now())
        left = [change for change in changes if change.what not in progress.given_up]
        if not left:
            return ""
        begun: list[Operation] = []
        asked, given_up, later = dict(progress.asked), dict(progress.given_up), ""
        for change in left[: self.at_a_time]:
            operation, why = self._begin(change, asked.get(change.what, 0))
            if operation:
                begun.append(operation)
                asked[change.what] = asked.get(change.what, 0) + 1
            elif why:
                given_up[change.what] = why
                log.warning("%s could not be put back: %s", change.what, why)
            else:
                later = "; the service takes no more now"
        now = {"at": utc_now(), "there": True, "operations": tuple(begun), "asked": asked, "given_up": given_up}
        self.notes.say(progress.model_copy(update=now))
        waited = [change.what for change in left if change.what not in given_up]
        return _several(waited) + later if waited else ""

    def forget(self) -> None:
        """All was done: should the same be asked for again, it is another time."""
        if progress := self.notes.progress():
            self.notes.say(progress.model_copy(update={"asked": {}}))

    def _begin(self, change: Change, times: int) -> tuple[Operation | None, str]:
        """The operation; or why it is given up; or neither, then it is for later."""
        if times >= REPEATS:
            why = f"the service took it {times} times, and it does not show"
        else:
            try:
                begun, _ = operations.begin(self.azure, change.what, change.call, *change.arguments)
                return begun and begun.model_copy(update={"vital": change.vital}), ""
            except StoreError as error:
                why = error.message
                if not change.vital:
                    return None, why
                raise
        if change.vital:
            raise RestoreFailedError(f"store {self.azure.store}: {change.what}: {why}", fix="see the activity log; start a new run")
        return None, why


def _several(names: list[str]) -> str:
    return names[0] + (f" and {counted(len(names) - 1, 'other change')}" if len(names) > 1 else "") if names else ""

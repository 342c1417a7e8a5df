"""Several actors of whom one at a time moves, a chosen number of operations on objects at a time: any order that a plan wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from midtime.catalog import objects
from midtime.errors import MidtimeError
from tests.unit.processes import PATIENCE
from tests.unit.steps import OPERATIONS, Killed


class Actor:
    """Does some work in a thread of its own, as far as it is let."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.allowed, self.killed, self.ended = 0, False, False
        self.error: BaseException | None = None
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._do, args=(work,), daemon=True)
        self._thread.start()

    def go(self, steps: int) -> None:
        """Let it do so many operations, or fewer when its work ends."""
        if not self.ended:
            self.allowed = steps
            self._turn.release()
            assert self._back.acquire(timeout=PATIENCE)
            if self.error:
                raise self.error

    def kill(self) -> None:
        """It never does another operation."""
        self.killed = True
        self.go(1)

    def step(self) -> None:
        """Before each operation."""
        if self.killed:
            raise Killed
        while self.allowed == 0:
            self._back.release()
            assert self._turn.acquire(timeout=PATIENCE)
            if self.killed:
                raise Killed
        self.allowed -= 1

    def _do(self, work: Callable[[], object]) -> None:
        assert self._turn.acquire(timeout=PATIENCE)
        current.actor = self
        try:
            work()
        except (MidtimeError, Killed):
            pass  # a rival was faster
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.error = error
        finally:
            self.ended = True
            self._back.release()


current = threading.local()


@contextmanager
def scheduled() -> Iterator[None]:
    """Every operation of an actor waits for its turn."""
    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            real = getattr(objects, name)

            def instead(path: Any, *args: Any, real: Any = real) -> Any:
                if actor := getattr(current, "actor", None):
                    actor.step()
                return real(path, *args)

            patch.setattr(objects, name, instead)
        yield

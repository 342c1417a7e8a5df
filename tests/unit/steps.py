"""Somebody else, or death, at a chosen step: every operation on an object is one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from midtime.catalog import objects
from tests.unit.processes import PATIENCE

OPERATIONS = ("create", "replace", "remove_tree", "read", "names", "tree", "remove_all")


class Killed(BaseException):
    """kill -9, as far as one process can play it."""


def die(*_: object, **__: object) -> None:
    """In place of what must not be reached."""
    raise Killed


@contextmanager
def at_operation(number: int, act: Callable[[], object]) -> Iterator[list[str]]:
    """Let somebody act right before the so many-th operation on an object; what is done is written down."""
    done: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            real = getattr(objects, name)

            def instead(path: Any, *args: Any, name: str = name, real: Any = real) -> Any:
                done.append(f"{name} {path}")
                if len(done) == number:
                    with pytest.MonkeyPatch.context() as truly:
                        for each, function in reals.items():
                            truly.setattr(objects, each, function)
                        act()
                return real(path, *args)

            patch.setattr(objects, name, instead)
        yield done


reals = {name: getattr(objects, name) for name in OPERATIONS}


def kill() -> None:
    raise Killed


class Stepper:
    """Two threads, of which one at a time moves: the first for some steps, the second for some, the first to its end, the second to its end."""

    def __init__(self, first_steps: int, second_steps: int) -> None:
        self.limits = {"first": first_steps, "second": second_steps}
        self.steps = {"first": 0, "second": 0}
        self.go = {"first": threading.Event(), "second": threading.Event()}
        self.stopped = {"first": threading.Event(), "second": threading.Event()}
        self.results: dict[str, Any] = {}

    def step(self) -> None:
        name = threading.current_thread().name
        if name in self.steps:
            self.steps[name] += 1
            if self.steps[name] == self.limits[name]:
                self.stopped[name].set()
                assert self.go[name].wait(PATIENCE)

    def run(self, first: Callable[[], Any], second: Callable[[], Any]) -> tuple[Any, Any]:
        threads = {
            name: threading.Thread(target=self._do, args=(name, work), name=name) for name, work in (("first", first), ("second", second))
        }
        for name in ("first", "second"):
            threads[name].start()
            assert self.stopped[name].wait(PATIENCE)
        for name in ("first", "second"):
            self.go[name].set()
            threads[name].join(PATIENCE)
            assert not threads[name].is_alive()
        return self.results["first"], self.results["second"]

    def _do(self, name: str, work: Callable[[], Any]) -> None:
        try:
            self.results[name] = work()
        finally:
            self.stopped[name].set()


@contextmanager
def stepped(stepper: Stepper) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in OPERATIONS:
            real = getattr(objects, name)

            def instead(path: Any, *args: Any, real: Any = real) -> Any:
                stepper.step()
                return real(path, *args)

            patch.setattr(objects, name, instead)
        yield

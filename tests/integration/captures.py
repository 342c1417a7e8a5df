"""Captures of all stores of a set, a moment apart, in a pause window of our own code or without one; each with its fence."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from midtime.errors import WindowVoidError
from midtime.fencing import fenced
from midtime.model.instants import restore_point_id, utc_now
from midtime.model.topology import Topology
from midtime.model.window import Window
from midtime.pausing import Pausing
from midtime.stores import open_store

if TYPE_CHECKING:
    from tests.integration.sets import Sets, Taken

APART = 0.02
"""Seconds from one capture to the next."""


class Between(Protocol):
    """What captures are taken between."""

    def open(self) -> None: ...

    def close(self) -> Window: ...


class NoPause:
    """Says that it is a window, and stops nobody."""

    def open(self) -> None:
        self.start = utc_now()

    def close(self) -> Window:
        return Window(self.start, utc_now())


class Pause:
    """A pause window of our own code, with its watchdog."""

    def __init__(self, stack: ExitStack, topology: Topology) -> None:
        self._pausing = Pausing(topology, "proof")
        self._guard, _ = stack.enter_context(self._pausing.ready())

    def open(self) -> None:
        self._guard.begin()
        while not self._guard.opened.wait(0.01) and not self._guard.ended.is_set():
            pass
        self._require_good()

    def close(self) -> Window:
        self._guard.finish()
        assert self._guard.ended.wait(60)
        self._require_good()
        return self._pausing.window(self._guard)

    def _require_good(self) -> None:
        if error := self._guard.error or self._guard.stuck:
            raise error
        if not self._guard.opened.is_set():
            raise WindowVoidError("it never opened", fix="")


class Arming:
    """One set on its way: armed, captured, copied. Several may be armed at once, so that they can be captured close to each other."""

    def __init__(self, stack: ExitStack, sets: Sets, order: Sequence[str], *, paused: bool) -> None:
        self._sets, self._id = sets, uuid.uuid4().hex[:12]
        self._between: Between = Pause(stack, sets.topology) if paused else NoPause()
        stores = {name: open_store(sets.topology, name) for name in order}
        self._fences = {name: stack.enter_context(fenced(store)) for name, store in stores.items()}
        self._armed = {name: stack.enter_context(store.arm()) for name, store in stores.items()}
        for fence in self._fences.values():
            fence.connect()
        self._captures: dict[str, Any] = {}

    def capture(self) -> None:
        """One after the other, between one instant and another."""
        self._between.open()
        for name, armed in self._armed.items():
            if self._captures:
                time.sleep(APART)
            self._fences[name].write(self._id, "before")
            self._captures[name] = armed.fix()
        self._window = self._between.close()
        for fence in self._fences.values():
            fence.write(self._id, "after")

    def copy(self) -> Taken:
        point = restore_point_id(self._window.middle, self._id)
        backups = {name: self._sets.copied(name, capture, point, self._fences[name]) for name, capture in self._captures.items()}
        return self._sets.taken(self._id, self._window, point, backups)

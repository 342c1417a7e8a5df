"""Death before each statement of a store's way into place, and of its way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest


class Killed(BaseException):
    """As if the process had died."""


@contextmanager
def _dying(patch: pytest.MonkeyPatch, of: Any, name: str, step: int, counts: Callable[[Any], bool]) -> Iterator[None]:
    """Before the so many-th statement that counts."""
    real, calls = getattr(of, name), [0]

    def instead(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        if counts(query):
            if calls[0] == step:
                raise Killed
            calls[0] += 1
        return real(self, query, *args, **kwargs)

    with patch.context() as inner:
        inner.setattr(of, name, instead)
        yield


def dying_at_each(
    patch: pytest.MonkeyPatch, of: Any, name: str, counts: Callable[[Any], bool], forth: Callable[[], None], back: Callable[[], None]
) -> Iterator[tuple[str, int]]:
    """Die before each statement of either way, up to one that comes to its end, and go back each time.

    :param of: the class whose method ``name`` runs a statement
    :param counts: whether one is worth dying before
    :return: which way it was, and how many times it was begun; by then all has to be as it was
    """
    for start, death in ((back, forth), (forth, back)):
        for step in count():
            start()
            died = False
            with _dying(patch, of, name, step, counts):
                try:
                    death()
                except Killed:
                    died = True
            back()
            yield death.__name__, step + 1
            if not died:
                break

"""Death before a chosen statement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class Killed(BaseException):
    """As if the process had died."""


@contextmanager
def dying(patch: pytest.MonkeyPatch, of: Any, name: str, step: int, counts: Callable[[Any], bool]) -> Iterator[list[int]]:
    """Die before the so many-th statement that counts."""
    real, calls = getattr(of, name), [0]

    def instead(self: Any, query: Any, *args: Any, **kwargs: Any) -> Any:
        if counts(query):
            if calls[0] == step:
                raise Killed
            calls[0] += 1
        return real(self, query, *args, **kwargs)

    with patch.context() as inner:
        inner.setattr(of, name, instead)
        yield []

"""One question asked of many things, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
AT_ONCE = 8
"""Calls to a service that run beside each other."""


def of_each(things: Iterable[Asked], ask: Callable[[Asked], Answer]) -> list[Answer]:
    """The answers, in order; the first that raises ends them."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="each") as pool:
        return list(pool.map(ask, things))

"""Words for people."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 5
"""Names that a message spells out."""


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "table"), counted(2000, "row")
    ('1 table', '2,000 rows')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """The first few of many names.

    >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e", "f", "g"])
    ('a, b', 'a, b, c, d, e and 2 more')
    """
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")

"""What stores answer when they are asked whether something can be done."""

from __future__ import annotations

from collections.abc import Iterator

from midtime.errors import MidtimeError
from midtime.stores.base import Question, ask


def refusal(questions: Iterator[Question]) -> MidtimeError:
    """The error of the one question that fails."""
    (bad,) = [check for check in ask("accounts", questions) if not check.ok]
    assert bad.error is not None
    return bad.error

"""A service is looked at more and more seldom, and not for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest

from midtime.errors import RestoreFailedError
from midtime.model.instants import utc_now
from midtime.stores import looks
from midtime.stores.base import Waiting
from midtime.stores.looks import QUICK, SLOW, to_the_end, waiting


def test_looked_at_more_seldom_the_longer_it_takes() -> None:
    found = [waiting("points", "x", utc_now() - timedelta(seconds=passed), timedelta(hours=9)).look_again for passed in (0, 300, 9000)]
    assert found[0] == QUICK
    assert QUICK < found[1] < SLOW
    assert found[2] == SLOW


def test_not_for_ever() -> None:
    with pytest.raises(RestoreFailedError, match="x, after 2m"):
        waiting("points", "x", utc_now() - timedelta(minutes=2), timedelta(minutes=1))


def test_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(looks, "sleep", slept.append)
    found, said = iter([Waiting("a", timedelta(seconds=5)), Waiting("b", timedelta(seconds=7)), None]), list[str]()
    to_the_end(lambda: next(found), said.append)
    assert (slept, said) == ([5.0, 7.0], ["a", "b"])

"""The end of a deferral: not too early, not told second by second, and the same after a restart."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from importlib import import_module

import pytest

from midtime.model.instants import from_rfc3339, utc_now
from midtime.triggers import look_again
from midtime.triggers.look_again import LookAgainTrigger


async def first(trigger: LookAgainTrigger) -> object:
    async for event in trigger.run():
        return event.payload
    return None


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that goes by what is slept, and each sleep of it."""
    sleeps, began = list[float](), utc_now()

    async def sleep(seconds: float) -> None:
        sleeps.append(seconds)

    def now() -> datetime:
        return began + timedelta(seconds=sum(sleeps))

    monkeypatch.setattr(look_again, "utc_now", now)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return sleeps


def test_so_long_and_no_longer(slept: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    trigger = LookAgainTrigger.after(timedelta(seconds=150))
    assert asyncio.run(first(trigger)) == trigger.at
    assert slept == [60, 60, pytest.approx(30)]
    assert capsys.readouterr().out == ""  # where Airflow's log goes


def test_another_triggerer_waits_for_the_same_instant(slept: list[float]) -> None:
    trigger = LookAgainTrigger.after(timedelta(seconds=50))
    slept.append(40)
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    asyncio.run(first(getattr(import_module(module), name)(**arguments)))
    assert sum(slept) == pytest.approx(50)


def test_an_instant_that_is_over(slept: list[float]) -> None:
    trigger = LookAgainTrigger.after(timedelta(seconds=-1))
    assert from_rfc3339(str(asyncio.run(first(trigger)))) < look_again.utc_now()
    assert slept == []

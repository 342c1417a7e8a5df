"""What a person sees of a window with many endpoints, and of one that the watchdog had to end."""

from __future__ import annotations

from typing import Any

import pytest

from midtime.catalog import Entry
from midtime.cli import screen
from midtime.model.restore_point import State
from tests.unit.builders import point
from tests.unit.cli.test_screen import EVIDENCE


def shown(capsys: pytest.CaptureFixture[str], **changes: Any) -> str:
    screen.restore_point(Entry("20261121T020007Z-3fa9c1", State.RESTORABLE, "", point(evidence=EVIDENCE | changes)), [])
    return capsys.readouterr().out


def test_polls_that_were_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    polls = [{"sent_ms": -1, "round_trip_ms": 1, "paused": False}, {"sent_ms": 9, "round_trip_ms": 1, "paused": True}]
    endpoint = {
        "address": "10.0.0.1:60053",
        "product": "scalardb-cluster",
        "pause": {"sent_ms": 0.1, "answered_ms": 8.3},
        "polls": polls,
        "polls_in_all": 300,
        "polls_not_paused": 1,
    }
    assert "evidence: 10.0.0.1:60053 (scalardb-cluster) drained in 8 ms, seen paused 299 times\n" in shown(capsys, endpoints=[endpoint])


@pytest.mark.parametrize(
    ("between", "said"), [([0.5, 9.25], "for 0.500 s or more, at most 9.250 s, unpaused"), ([0.5, None], "for 0.500 s or more, unpaused")]
)
def test_a_pause_whose_length_is_not_known(capsys: pytest.CaptureFixture[str], between: list[float | None], said: str) -> None:
    changes = {"seconds_paused": None, "seconds_paused_between": between, "unpaused": {"by": "the watchdog", "at": None}}
    assert f"2026-11-21T02:00:07.500000Z, paused {said} by the watchdog\n" in shown(capsys, **changes)

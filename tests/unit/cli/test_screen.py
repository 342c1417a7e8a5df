"""What a person sees of a restore point that a pause window made."""

from __future__ import annotations

import pytest

from midtime.catalog import Entry
from midtime.cli import screen
from midtime.model.restore_point import RESTORABLE_UNTIL, State
from tests.unit.builders import part, point

EVIDENCE = {
    "kind": "pause window",
    "window": {"start": "2026-11-21T02:00:07Z", "end": "2026-11-21T02:00:07.500000Z"},
    "seconds_paused": 0.5274,
    "endpoints": [
        {
            "address": "10.0.0.1:60053",
            "product": "scalardb-cluster",
            "pause": {"sent_ms": 0.1, "answered_ms": 8.3},
            "polls": [{"sent_ms": -1, "round_trip_ms": 1, "paused": False}, *[{"sent_ms": 9, "round_trip_ms": 1, "paused": True}] * 3],
            "error": "paused again by somebody else right after",
        }
    ],
    "captures": {"dump_accounts": {"store": "accounts", "begun": "2026-11-21T02:00:07.100000Z", "seconds": 0.0071}},
}


def test_the_evidence_of_a_window(capsys: pytest.CaptureFixture[str]) -> None:
    screen.restore_point(Entry("20261121T020007Z-3fa9c1", State.RESTORABLE, "", point(evidence=EVIDENCE)), [])
    shown = capsys.readouterr().out
    for line in (
        "evidence: window 2026-11-21T02:00:07Z to 2026-11-21T02:00:07.500000Z, paused for 0.527 s",
        "evidence: 10.0.0.1:60053 (scalardb-cluster) drained in 8 ms, seen paused 3 times; paused again by somebody else right after",
        "evidence: accounts captured by dump_accounts at 2026-11-21T02:00:07.100000Z in 7 ms",
    ):
        assert line in shown


def test_the_evidence_of_a_single_transaction(capsys: pytest.CaptureFixture[str]) -> None:
    screen.restore_point(Entry("20261121T020007Z-3fa9c1", State.RESTORABLE, "", point()), [])
    assert "evidence: single transaction\n" in capsys.readouterr().out


@pytest.mark.parametrize("state", State)
def test_until_when_it_can_be_restored(capsys: pytest.CaptureFixture[str], state: State) -> None:
    made = point(stores=(part(method="pitr", details={RESTORABLE_UNTIL: "2026-12-26T02:00:07Z"}),))
    screen.restore_point(Entry(made.id, state, "", made), [])
    told = "can be restored until 2026-12-26T02:00:07Z" in capsys.readouterr().out
    assert told is (state not in (State.INVALID, State.EXPIRED))

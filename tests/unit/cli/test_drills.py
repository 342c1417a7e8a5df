"""`midtime drills`: every drill there is, whether the newest were good, and nothing hidden."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from rich.console import Console

from midtime.catalog import Catalog, drill_reports, objects
from midtime.cli import screen
from midtime.cli.main import main
from midtime.model.restore_point import DrillReport
from tests.unit.builders import MIDTIME, days_later, drill_report
from tests.unit.cli.conftest import Files, Midtime


def add(catalog: Catalog, day: int, *, good: bool = True, **changes: Any) -> DrillReport:
    verdict = {"good": good, "summary": "good: 1 table" if good else "not good: bank.acct lacks 3 rows"}
    fields = {"topology": catalog.topology, "verdict": verdict, "bytes": 38_900} | changes
    report = drill_report(days_later(day), good=good).model_copy(update=fields)
    drill_reports.add(catalog, report)
    return report


def test_all_topologies_newest_first(midtime: Midtime, files: Files) -> None:
    for name in ("bank", "loans"):
        catalog = files.add(name)[1]
        for day in range(3):
            add(catalog, day, rto_seconds=10.0 + day)
    answer = midtime("drills", "--json")
    assert answer.good
    assert [(each["topology"], each["restore_point"]) for each in answer.json["drills"]] == [
        (name, days_later(day).id) for name in ("bank", "loans") for day in (2, 1, 0)
    ]
    first = answer.json["drills"][0]
    assert (first["rto_seconds"], first["rpo_seconds"], first["bytes"], first["rows"]) == (12.0, 3600.0, 38_900, 3)
    assert (first["good"], first["verdict"], first["as_of"], first["run_id"]) == (True, "good: 1 table", None, "manual")
    assert [each["topology"] for each in answer.json["topologies"]] == ["bank", "loans"]
    assert answer.json["topologies"][0]["rto_seconds"] == {"median": 11.0, "p95": 12.0, "max": 12.0}


def test_one_topology(midtime: Midtime, files: Files) -> None:
    add(files.add("bank")[1], 0)
    files.add("loans")
    assert midtime("drills", "bank").good
    assert not midtime("drills").good  # loans was never drilled


@pytest.mark.parametrize(("days", "good"), [([True, False], False), ([False, True], True), ([], False)])
def test_good_is_what_the_newest_says(midtime: Midtime, files: Files, days: list[bool], good: bool) -> None:
    catalog = files.add("bank")[1]
    for day, each in enumerate(days):
        add(catalog, day, good=each)
    assert midtime("drills").good is good
    assert midtime("drills", "--json").good is good


def test_a_backfill_does_not_hide_last_nights_failure(midtime: Midtime, files: Files) -> None:
    catalog = files.add("bank")[1]
    add(catalog, 20, good=False)
    for day in range(5):
        began = MIDTIME + timedelta(days=21, minutes=day)
        add(catalog, day, as_of=days_later(day).midtime + timedelta(hours=3), started_at=began, finished_at=began)
    answer = midtime("drills", "--json")
    assert not answer.good
    assert [each["good"] for each in answer.json["drills"]] == [False, *[True] * 5]


def test_one_that_cannot_be_read_is_shown(midtime: Midtime, files: Files) -> None:
    catalog = files.add("bank")[1]
    add(catalog, 0)
    path = catalog.folder(days_later(1).id) / "drills" / "2026-11-22T050000Z.json"
    objects.replace(path, b"{")
    answer = midtime("drills", "--json")
    assert not answer.good
    row = answer.json["drills"][0]
    assert (row["readable"], row["path"], row["started_at"]) == (False, str(path), "2026-11-22T05:00:00Z")
    assert answer.json["topologies"][0]["unreadable"] == 1
    text = midtime("drills").text
    assert "unreadable: " in text
    assert "2026-11-22T05:00Z" in text


def test_the_limit_shows_less_and_sums_up_all(midtime: Midtime, files: Files) -> None:
    catalog = files.add("bank")[1]
    for day in range(5):
        add(catalog, day)
    answer = midtime("drills", "--limit", "2", "--json").json
    assert (len(answer["drills"]), answer["topologies"][0]["drills"]) == (2, 5)
    assert "bank: 5 drills, 5 good (100%), the newest good; the newest 2 are shown" in midtime("drills", "--limit", "2").text


def test_since(midtime: Midtime, files: Files) -> None:
    catalog = files.add("bank")[1]
    for day in range(5):
        add(catalog, day)
    assert midtime("drills", "--since", "2026-11-24", "--json").json["topologies"][0]["drills"] == 2
    assert not midtime("drills", "--since", "2027-01-01").good


@pytest.mark.parametrize("date", ["yesterday", "2026-13-01", "2026-11-01T05:00:00", "20261101"])
def test_since_when(date: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["drills", "--since", date])
    assert caught.value.code == 2


def test_a_line_for_each_in_a_pipe(midtime: Midtime, files: Files) -> None:
    """For grep: nothing is wrapped, whatever is said."""
    catalog = files.add("bank")[1]
    add(catalog, 0)
    add(catalog, 1, good=False, verdict={"good": False, "summary": "not good: " + "bank.acct differs, " * 30})
    add(catalog, 2, as_of=days_later(2).midtime, rto_seconds=200.0)
    lines = midtime("drills").text.splitlines()
    assert lines[0].split("  ")[0] == "topology"
    assert [line.split()[0] for line in lines[1:4]] == ["bank"] * 3
    assert "3 min 20 s" in lines[1]
    assert "bank.acct differs" in lines[2]
    assert days_later(1).id in lines[2]


@time_machine.travel(MIDTIME + timedelta(days=40), tick=False)
def test_in_eighty_columns(midtime: Midtime, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is left out, what matters is not: the reason stands on a line of its own."""
    monkeypatch.setattr(screen, "console", lambda: Console(width=80, highlight=False))
    catalog = files.add("bank")[1]
    for day in range(9):
        add(catalog, day, rto_seconds=60.0 + 10 * day)
    add(catalog, 9, good=False)
    text = midtime("drills").text
    assert max(map(len, text.splitlines())) <= 80
    assert f"2026-11-30T03:00Z  {days_later(9).id}  3m 0s   1h 0m  38.9 kB  not good" in text.splitlines()[1]
    assert f"✗ 2026-11-30T03:00Z {days_later(9).id}: not good" in text
    assert "bank: 10 drills, 9 good (90%), the newest not good" in text
    assert "RTO trend: rising (+80% over 9 good drills)" in text
    assert f"last good: {days_later(8).id}, 31 d 23 h ago" in text


def test_no_topologies_at_all(midtime: Midtime, files: Files) -> None:
    answer = midtime("drills")
    assert not answer.good
    assert "holds no topology files" in answer.text


def test_a_wrong_file_is_not_passed_over(midtime: Midtime, files: Files) -> None:
    """Its drills would be missing without a word."""
    add(files.add("bank")[1], 0)
    (files.folder / "wrong.yaml").write_text("name: [")
    assert not midtime("drills").good

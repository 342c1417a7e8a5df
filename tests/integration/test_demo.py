"""`make demo` as a newcomer runs it: it shows all of the main path, ends by itself, and leaves nothing behind, however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.stack import launch
from tests.stack.airflow import REPOSITORY
from tests.stack.demo import DemoError
from tests.stack.demo.control import Round
from tests.stack.demo.state import MARK

pytestmark = [pytest.mark.integration, pytest.mark.alone, pytest.mark.airflow]
STEPS = ["PostgreSQL", "MariaDB", "ScalarDB Server", "Airflow", "Bank", "Check", "Backup", "List", "Drill", "Restore", "No window", "Count"]


class Newcomer:
    """Runs the demo in a state directory of his own; everything below him carries his mark in its environment."""

    def __init__(self, state: Path) -> None:
        self.state, self.mark = state, f"MIDTIME_NEWCOMER={uuid.uuid4().hex}"

    def start(self) -> subprocess.Popen[str]:
        name, _, value = self.mark.partition("=")
        environment = {**os.environ, name: value, "MIDTIME_STATE": str(self.state), "KEEP": ""}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.stack.demo"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPOSITORY, env=environment,
        )  # fmt: skip

    def processes(self) -> list[int]:
        return launch.marked(self.mark)


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    return Newcomer(tmp_path)


@pytest.mark.timeout(600)
def test_the_demo_shows_the_main_path_and_ends(newcomer: Newcomer) -> None:
    with newcomer.start() as demo:
        output = demo.communicate(timeout=590)[0]
    assert demo.returncode == 0, output
    assert newcomer.processes() == []

    assert re.findall(r"^✓ ([^:]+):", output, re.MULTILINE) == STEPS
    assert re.search(r"http://127\.0\.0\.1:\d+, login admin / admin", output)

    happened, _, worth = output.partition("What happened")[2].partition("What the window is worth")
    summary = dict(re.findall(r"^([A-Z][\w' ]*?)  +(\S.*?) *$", happened, re.MULTILINE))
    point = summary["Restore point"].partition(",")[0]
    folder = newcomer.state / "demo" / "restore-points" / "bank" / point
    manifest = json.loads((folder / "manifest.json").read_text())
    (report,) = ((json.loads(file.read_text())) for file in (folder / "drills").glob("*.json"))
    assert summary["Restore point"].endswith("DRILLED")
    assert summary["Midtime"].startswith(manifest["midtime"])
    assert summary["RTO"].startswith(f"{report['rto_seconds']:.1f} s")
    assert summary["RPO"].startswith(f"{report['rpo_seconds']:.1f} s")
    assert summary["Drill"].startswith("good")
    assert summary["Restore"].startswith("good")
    assert summary["The bank's sum"] == "100,000 restored, 100,000 live, 100,000 expected: exact"
    assert "during the backup" in summary["Outage"]
    assert summary["Pause"].startswith(f"{1000 * manifest['evidence']['seconds_paused']:.0f} ms; 2 endpoints")
    assert str(folder) in output
    require_worth(worth)


def require_worth(table: str) -> None:
    """With the window whole; without it torn in either order of the captures, unless a sum that is right says otherwise."""
    rows = [tuple(re.split(r" {2,}", line.strip())) for line in table.splitlines() if line.startswith("with")]
    (captures, gap, money, verdict), *controls = rows
    assert (captures, money, verdict) == ("with the window", "100,000: exact", "good, records good")
    assert float(gap.removesuffix(" ms")) > 0
    assert {captures for captures, *_ in controls} == {f"without, Coordinator's store {order}" for order in ("first", "last")}
    wrong = [verdict for _, _, money, verdict in controls if "off by" in money]
    assert wrong, "no control was torn, so the demo shows nothing"
    assert all(verdict.startswith("torn: ") for verdict in wrong)


@pytest.mark.timeout(120)
@pytest.mark.long  # a second demo
def test_an_interrupted_demo_leaves_nothing_behind(newcomer: Newcomer) -> None:
    with newcomer.start() as demo:
        assert demo.stdout is not None
        while "Airflow: starting" not in (line := demo.stdout.readline()):
            assert line, "the demo ended early"
        demo.send_signal(signal.SIGINT)
        output = demo.stdout.read()
    assert demo.returncode == 130, output
    assert newcomer.processes() == []


def test_a_folder_that_is_not_the_demos_is_not_touched(newcomer: Newcomer) -> None:
    (newcomer.state / "demo").mkdir()
    precious = newcomer.state / "demo" / "precious"
    precious.touch()
    with newcomer.start() as demo:
        output = demo.communicate(timeout=60)[0]
    assert demo.returncode == 1
    assert "is not touched" in output
    assert precious.exists()
    assert not (newcomer.state / "demo" / MARK).exists()


@pytest.mark.parametrize(("money", "torn", "told"), [(100_000, False, "good, by luck"), (99_955, True, "torn: a, b")])
def test_what_was_captured_without_a_window_is_told_as_it_is(money: int, torn: bool, told: str) -> None:
    assert without_a_window(money, torn=torn).verdict == told


def test_a_wrong_sum_that_verification_calls_good_fails_the_demo() -> None:
    with pytest.raises(DemoError, match="off by -45 was not called torn"):
        without_a_window(99_955, torn=False)


def without_a_window(money: int, *, torn: bool) -> Round:
    rules = ("a", "b") if torn else ()
    return Round(True, 0.04, 0.06, expected=100_000, money=money, torn=torn, rules=rules, summary="as judged")

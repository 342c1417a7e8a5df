"""Windows beside each other: how many at once, and whether they see each other's leases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from midtime.errors import LeaseHeldError, RequestError
from midtime.model.topology import Topology, load_named, written
from midtime.windows import give_turn_back, require_one_place, require_slots, slots_needed, slots_there, take_turn, turn_held
from tests.unit.builders import topology
from tests.unit.pause_examples import LEDGER, paused_topology

TWO = topology("accounts", "points")
SRV = "_admin._tcp.ledger.svc.local"
PODS = {"conn_id": "k8s", "namespace": "prod", "release": "ledger"}


class TestSlots:
    def test_the_pause_and_every_capture(self) -> None:
        assert slots_needed(TWO) == 3

    def test_one_is_left_to_whoever_must_unpause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "10")
        assert slots_there() == 9

    def test_as_somebody_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MIDTIME_WINDOW_SLOTS", " 12 ")
        assert slots_there() == 12
        assert require_slots(TWO) == "3 of 12 slots at once"

    @pytest.mark.parametrize("said", ["0", "-1", "many", "1.5", "²"])
    def test_nonsense(self, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MIDTIME_WINDOW_SLOTS", said)
        with pytest.raises(RequestError, match="MIDTIME_WINDOW_SLOTS is"):
            slots_there()

    @pytest.mark.fault(
        "The executor has fewer slots than one window needs", "The preflight refuses, and says how many are needed; nothing is paused."
    )
    def test_too_few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "3")
        with pytest.raises(RequestError, match=r"a window of bank needs 3 executor slots at once .* windows may hold 2") as caught:
            require_slots(TWO)
        assert "parallelism" in caught.value.fix


def test_turns_of_topologies(destination: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDTIME_WINDOW_SLOTS", "5")
    bank, loans = (topology("accounts", "points", destination=destination, name=name) for name in ("bank", "loans"))
    assert take_turn(bank, "run") == ""
    assert "windows of bank" in take_turn(loans, "other")
    with turn_held(bank, "run"):
        assert "windows of bank" in take_turn(loans, "other")
    give_turn_back(bank, "run")
    with pytest.raises(LeaseHeldError), turn_held(bank, "run"):
        pass
    assert take_turn(loans, "other") == ""


class TestOnePlace:
    def both(self, folder: Path, mine: dict[str, Any], theirs: dict[str, Any], **changes: Any) -> Topology:
        for name, where in (("bank", mine), ("loans", theirs)):
            product = {"kind": LEDGER, "endpoints": where}
            fields: dict[str, Any] = {"products": [product]} | (changes if name == "loans" else {})
            place = fields.pop("destination", f"file:///{name}")
            (folder / f"{name}.yaml").write_text(written(paused_topology(place, "h:1", name=name, **fields)))
        return load_named(folder, "bank")

    @pytest.mark.fault(
        "Two topologies share an endpoint and have different destinations",
        "The preflight of both refuses until MIDTIME_LEASES names one place for all leases.",
    )
    @pytest.mark.parametrize(
        ("mine", "theirs"),
        [
            ({"static": ["a:1", "b:1"]}, {"static": ["c:1", "B:1"]}),
            ({"srv": SRV}, {"srv": SRV.upper().replace("_ADMIN._TCP", "_admin._tcp")}),
            ({"kubernetes": PODS}, {"kubernetes": PODS}),
            ({"kubernetes": PODS | {"selector": "app=x"}}, {"kubernetes": PODS | {"release": "other", "selector": "app=x"}}),
        ],
    )
    def test_two_that_pause_the_same(
        self, tmp_path: Path, mine: dict[str, Any], theirs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bank = self.both(tmp_path, mine, theirs)
        with pytest.raises(RequestError, match=r"bank and loans both pause .*, but their destinations differ") as caught:
            require_one_place(bank)
        assert caught.value.fix == "set MIDTIME_LEASES to one URL for all"
        monkeypatch.setenv("MIDTIME_LEASES", "file:///leases")
        assert require_one_place(bank) == "in file:///leases"

    @pytest.mark.parametrize(
        ("mine", "theirs"),
        [
            ({"static": ["a:1"]}, {"static": ["a:2"]}),
            ({"srv": SRV}, {"srv": f"{SRV}.other"}),
            ({"kubernetes": PODS}, {"kubernetes": PODS | {"namespace": "test"}}),
            ({"kubernetes": PODS}, {"kubernetes": PODS | {"conn_id": "other"}}),
        ],
    )
    def test_two_that_do_not(self, tmp_path: Path, mine: dict[str, Any], theirs: dict[str, Any]) -> None:
        assert require_one_place(self.both(tmp_path, mine, theirs)) == "with those of all that pause the same endpoints"

    @pytest.mark.parametrize("place", ["file:///bank", "file:///bank/"])
    def test_one_destination(self, tmp_path: Path, place: str) -> None:
        require_one_place(self.both(tmp_path, {"static": ["a:1"]}, {"static": ["a:1"]}, destination=place))

    def test_another_kind_in_one_release(self, tmp_path: Path) -> None:
        theirs = [{"kind": "scalardb-cluster", "endpoints": {"kubernetes": PODS}}]
        require_one_place(self.both(tmp_path, {"kubernetes": PODS}, {}, products=theirs))

    def test_the_other_pauses_nothing(self, tmp_path: Path) -> None:
        store = {"name": "accounts", "engine": "postgresql", "conn_id": "db", "namespaces": ["bank"]}
        changes: dict[str, Any] = {"stores": [store], "scalardb": {}}
        require_one_place(self.both(tmp_path, {"static": ["a:1"]}, {"static": ["a:1"]}, **changes))

    def test_a_broken_file_beside_it(self, tmp_path: Path) -> None:
        bank = self.both(tmp_path, {"static": ["a:1"]}, {"static": ["b:1"]})
        (tmp_path / "broken.yaml").write_text("name: [")
        require_one_place(bank)

    def test_without_a_file_the_folder_that_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.both(tmp_path, {"static": ["a:1"]}, {"static": ["b:1"]})
        monkeypatch.setenv("MIDTIME_TOPOLOGIES", str(tmp_path))
        with pytest.raises(RequestError, match="mine and loans both pause b:1"):
            require_one_place(paused_topology("file:///mine", "b:1", name="mine"))

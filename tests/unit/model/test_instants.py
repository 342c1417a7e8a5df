"""Instants in text and in names: nothing lost, nothing naive, sorted as time is."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.model.instants import RESTORE_POINT_ID, from_rfc3339, id_instant, restore_point_id, run_suffix, to_rfc3339, utc_now
from tests.unit.builders import instants, texts

NAIVE = datetime(2026, 11, 21, 2, 0, 7)


class TestText:
    @given(instants)
    def test_there_and_back_without_loss(self, instant: datetime) -> None:
        text = to_rfc3339(instant)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", text)
        assert from_rfc3339(text) == instant
        assert from_rfc3339(text).utcoffset() == timedelta(0)

    @given(instants)
    def test_one_instant_has_one_text(self, instant: datetime) -> None:
        assert to_rfc3339(instant) == to_rfc3339(instant.astimezone(UTC))

    def test_other_offsets_are_understood(self) -> None:
        assert from_rfc3339("2026-11-21T11:00:07+09:00") == from_rfc3339("2026-11-21T02:00:07Z")

    @pytest.mark.parametrize("text", ["2026-11-21T02:00:07", "2026-11-21", "", "latest", "2026-13-21T02:00:07Z"])
    def test_without_offset_or_sense_it_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            from_rfc3339(text)

    def test_naive_is_refused_everywhere(self) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            to_rfc3339(NAIVE)
        with pytest.raises(ValueError, match="no time zone"):
            restore_point_id(NAIVE, "run")

    def test_now_is_aware(self) -> None:
        assert utc_now().utcoffset() == timedelta(0)


class TestId:
    @given(instants, texts)
    def test_spells_the_midtime_cut_to_seconds(self, midtime: datetime, run: str) -> None:
        name = restore_point_id(midtime, run)
        assert RESTORE_POINT_ID.fullmatch(name)
        assert id_instant(name) == midtime.astimezone(UTC).replace(microsecond=0)
        assert name.endswith(f"-{run_suffix(run)}")

    @given(instants, instants, texts, texts)
    def test_sorts_as_time_does(self, one: datetime, other: datetime, run: str, other_run: str) -> None:
        if one.astimezone(UTC).replace(microsecond=0) < other.astimezone(UTC).replace(microsecond=0):
            assert restore_point_id(one, run) < restore_point_id(other, other_run)

    @given(st.sets(texts, min_size=2, max_size=2))
    def test_two_runs_are_told_apart(self, runs: set[str]) -> None:
        assert len({run_suffix(run) for run in runs}) == 2

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "latest",
            "20261121T020007Z",
            "20261121T020007Z-abcde",
            "20261121T020007Z-ABCDEF",
            "20261121T020007Z-abcdef\n",
            "20261121T020007Z-abcdef/..",
            "x20261121T020007Z-abcdef",
            "\uff12\uff10\uff12\uff161121T020007Z-abcdef",
            "20261321T020007Z-abcdef",
            "20260230T020007Z-abcdef",
        ],
    )
    def test_no_id_has_no_instant(self, name: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            id_instant(name)

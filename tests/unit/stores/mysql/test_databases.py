"""Databases' names, and whose are removed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import RequestError, TargetExistsError
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql.databases import LONGEST_NAME, beginning_with, drop, named, probe

NOBODY = Session(None, None)  # type: ignore[arg-type]
"""Whoever speaks to it fails."""


@given(
    st.sets(st.text("ab`*%_é😀", min_size=50, max_size=64), min_size=2, max_size=5),
    st.sampled_from(["*", "copy_*", "*_restored_1f2e3d", "midtime_tmp_abc123_bc62_*"]),
)
def test_different_names_stay_different_and_fit(names: set[str], pattern: str) -> None:
    found = named(pattern, names)
    assert len(set(found.values())) == len(names)
    assert all(len(name) <= LONGEST_NAME for name in found.values())


def test_long_names_that_differ_at_their_end() -> None:
    one, other = named("*_restored_1f2e3d", ["x" * 63 + "a", "x" * 63 + "b"]).values()
    assert one != other
    assert one.endswith("_restored_1f2e3d")
    assert named("copy_*", ["bank"]) == {"bank": "copy_bank"}


def test_a_pattern_without_room() -> None:
    with pytest.raises(RequestError, match="no room"):
        named("y" * 60 + "*", ["a long name"])


@pytest.mark.parametrize("name", ["bank", "midtime", "", "Midtime_tmp_x"])
def test_only_working_names(name: str) -> None:
    with pytest.raises(TargetExistsError):
        probe(NOBODY, name)
    with pytest.raises(TargetExistsError):
        beginning_with(NOBODY, name)


def test_drop_asks_before_it_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(Session, "rows", lambda self, query, parameters=(): said.append(query))
    with pytest.raises(TargetExistsError):
        drop(NOBODY, ["midtime_tmp_1", "bank"])
    assert not [each for each in said if "DROP" in each]

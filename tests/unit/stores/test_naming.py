"""Names that Midtime gives, and may take away again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import RequestError, StoreAccessError, TargetExistsError
from midtime.model.topology import Target as TargetWish
from midtime.stores.naming import WORKING_PREFIX, fit, require_working_name, where_to, working_name


@given(st.text(), st.text(max_size=10), st.integers(40, 63))
def test_what_is_cut_is_never_the_end(name: str, end: str, limit: int) -> None:
    found = fit(name, end, limit=limit)
    assert len(found.encode(errors="surrogatepass")) <= limit
    assert found.endswith(end)


def test_stores_whose_names_differ_in_a_dash() -> None:
    assert working_name("a-b", "abc123") != working_name("a_b", "abc123")
    assert working_name("a-b", "abc123").startswith(f"{WORKING_PREFIX}abc123_")


@pytest.mark.parametrize("name", ["bank", "", "midtime", "xmidtime_tmp_1", "MIDTIME_TMP_1", "*"])
def test_only_working_names_are_removed(name: str) -> None:
    with pytest.raises(TargetExistsError, match="no working name"):
        require_working_name(name)


class TestWhereTo:
    @pytest.fixture(autouse=True)
    def _connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_OWN", "mysql://u:p@h/")
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", "mysql://u:p@h/")

    def ask(self, wish: TargetWish, *, conn_id: str = "own", drill: bool = False) -> tuple[str, str | None]:
        return where_to(wish, store="s", conn_id=conn_id, drill=drill)

    def test_a_connection_or_a_name(self) -> None:
        assert self.ask(TargetWish(to="other")) == ("other", None)
        assert self.ask(TargetWish(to="copy")) == ("own", "copy")
        assert self.ask(TargetWish(conn_id="other")) == ("other", None)
        assert self.ask(TargetWish(to="copy", conn_id="other")) == ("other", "copy")
        assert self.ask(TargetWish()) == ("own", None)

    def test_a_misspelt_drill_target_is_no_name(self) -> None:
        with pytest.raises(RequestError, match="'othr', and there is no such"):
            self.ask(TargetWish(to="othr"), drill=True)

    def test_nothing_is_said_where_no_connection_can_be_read(self) -> None:
        with pytest.raises(StoreAccessError, match="no Airflow connection 'gone'"):
            self.ask(TargetWish(to="other2"), conn_id="gone")

"""The live database of Oracle and SQL Server: preflight, clock, fence rows. H2 runs the SQL; no real server has."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from midtime.errors import StoreAccessError, StoreStatementError, ToolError
from midtime.model.clocks import SECOND
from midtime.model.instants import utc_now
from midtime.model.window import Window
from midtime.stores.managed_sql import sessions
from midtime.stores.managed_sql.sqlserver import SqlserverData
from midtime.window_clocks import WindowClocks, choice_of
from tests.stack.h2 import refused
from tests.unit.stores.managed_sql.shops import HOST, Shop

WINDOW = "0123456789ab"


def test_all_is_well(shop: Shop) -> None:
    said = shop.account.answers()
    assert said["is what the data connection means"] == HOST
    version = "Oracle 19.22.0.0.0" if shop.dialect == "oracle" else "SQL Server 16.0.4165.4"
    assert said["has every namespace"].endswith(f"{version}, TLS; bank, coordinator, scalardb")


def test_the_connection_is_encrypted_unless_it_says_otherwise(shop: Shop) -> None:
    assert shop.data.database == ("ORCL" if shop.dialect == "oracle" else "shop")
    shop.data.check()
    asked = shop.asked[-1]
    assert asked["host" if shop.dialect == "oracle" else "server"] == HOST
    if shop.dialect == "oracle":
        assert (asked["protocol"], asked["port"], asked["service_name"], asked["sid"]) == ("tcps", 2484, "ORCL", None)
    else:
        assert (asked["encryption"], asked["port"], asked["database"], asked["autocommit"]) == ("require", "1433", "shop", True)
        assert "timeout" not in asked, "FreeTDS has one for all connections of the process"


def plain(shop: Shop) -> None:
    """What the server says of the connection."""
    shop.world.says["NETWORK_PROTOCOL"] = "tcp"
    if shop.dialect == "sqlserver":
        shop.run("UPDATE sys.dm_exec_connections SET encrypt_option = 'FALSE'")


def test_a_connection_that_turns_out_to_be_plain_is_refused(shop: Shop) -> None:
    """Something between us and the server took the encryption off."""
    plain(shop)
    with pytest.raises(StoreAccessError, match="was reached without TLS") as caught:
        shop.data.check()
    assert caught.value.fix


def test_a_connection_that_says_itself_that_it_is_plain(shop: Shop) -> None:
    plain(shop)
    shop.leads_to(**({"protocol": "tcp"} if shop.dialect == "oracle" else {"encryption": "off"}))
    assert "NOT ENCRYPTED, as the connection says" in shop.data.check()


def test_a_login_that_may_not_ask_for_the_encryption(sqlserver: Shop) -> None:
    """Then the driver's word counts, if it was told to require it."""
    sqlserver.world.forbidden = "dm_exec_connections"
    assert "TLS, as the driver says" in sqlserver.data.check()
    sqlserver.leads_to(encryption="request")
    with pytest.raises(StoreAccessError, match="without TLS"):
        sqlserver.data.check()


@pytest.mark.parametrize(
    ("dialect", "says", "words"),
    [
        ("oracle", {"DATABASE_ROLE": "PHYSICAL STANDBY"}, "is a physical standby"),
        ("sqlserver", {"Updateability": "READ_ONLY"}, "is a replica, or read only"),
        ("sqlserver", {"Recovery": "SIMPLE"}, "recovery model SIMPLE"),
    ],
)
def test_what_has_no_history_of_its_own(shop: Shop, dialect: str, says: dict[str, str], words: str) -> None:
    if shop.dialect != dialect:
        return
    shop.world.says |= says
    with pytest.raises(StoreAccessError, match=words) as caught:
        shop.data.check()
    assert caught.value.fix


def test_another_host_is_another_server(shop: Shop) -> None:
    shop.leads_to("another.example.com")
    with pytest.raises(StoreAccessError, match="leads to another"):
        shop.account.answers()


@pytest.mark.parametrize("spelt", ["coordinator", "scalardb"])
def test_a_namespace_that_is_not_there_or_spelt_otherwise(shop: Shop, spelt: str) -> None:
    """SQL Server itself would take either for the other."""
    shop.run(f'ALTER SCHEMA "{spelt}" RENAME TO "{spelt.upper()}"')
    with pytest.raises(StoreAccessError, match=f"has no schema {spelt} "):
        shop.data.check()


def test_a_missing_coordinator(shop: Shop) -> None:
    shop.run('ALTER TABLE "coordinator"."state" RENAME TO "STATE"')
    with pytest.raises(StoreAccessError, match="no Coordinator table"):
        shop.data.check()


def test_tables_that_the_login_may_not_see_would_be_called_good(shop: Shop) -> None:
    shop.world.readable.remove("bank")
    if shop.dialect == "oracle":
        shop.run("DELETE FROM session_privs")
        shop.world.says["SESSION_USER"] = "coordinator"
    with pytest.raises(StoreAccessError, match="may not read all of bank"):
        shop.data.check()


def test_the_clock_is_utc_s(shop: Shop) -> None:
    reading = shop.data.read_clock()
    assert reading.low <= timedelta(milliseconds=1)
    assert reading.high >= timedelta(milliseconds=-1)
    assert reading.width < timedelta(seconds=2)


def test_a_clock_that_ticks_coarsely_is_no_clock_that_jumps(sqlserver: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows' time stands still for 15.6 ms: two questions in one tick would contradict each other, were it thought to be exact."""
    began = utc_now()
    monkeypatch.setattr(SqlserverData, "instant", lambda *_: began)
    asked = iter([began + timedelta(milliseconds=each) for each in (0, 0, 3, 3, 6, 6, 9, 9, 12, 12)])
    monkeypatch.setattr("midtime.clocks.utc_now", lambda: next(asked))
    reading = sqlserver.data.read_clock()
    assert reading.low <= timedelta(0) <= reading.high


def test_it_takes_part_in_a_window(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a restore to its instant may land is inside, a second before and the tail behind; who reads the evidence reckons the same."""
    monkeypatch.setattr("midtime.window_clocks.open_managed", lambda *_: shop.account.store)
    clocks = WindowClocks(shop.account.topology)
    clocks.read_before()
    (clock,) = clocks.clocks
    assert (clock.early, clock.fleet, clock.coordinator) == (SECOND, shop.dialect == "sqlserver", True)
    start = utc_now()
    window = Window(start, clocks.earliest_end(start))
    clock.after = replace(clock.before, taken_at=window.end)
    choice = clocks.choose(window)
    instant = choice.instants["points"]
    assert window.start + SECOND <= instant - clock.before.high
    assert instant - clock.before.low + clock.tail <= window.end
    assert choice_of({"window": window.to_dict(), "clocks": clocks.to_list()}) == choice


def test_fence_rows(shop: Shop) -> None:
    """Made once, by names that the dialect takes; an old row is forgotten, one window's row is written once."""
    for _ in range(2):
        with shop.data.fence() as fence:
            fence.prepare()
    with shop.data.fence() as fence:
        fence.write(WINDOW, "before")
        with pytest.raises(StoreStatementError):
            fence.write(WINDOW, "before")
    shop.run("INSERT INTO \"bank\".\"midtime_fence\" VALUES ('old', 'after', 1)")
    with shop.data.fence() as fence:
        fence.prepare()
    assert shop.world.rows('SELECT window_id, place FROM "bank"."midtime_fence"') == [(WINDOW, "before")]


def test_nothing_of_the_window_waits_for_long(shop: Shop) -> None:
    with shop.data.fence():
        if shop.dialect == "sqlserver":
            assert shop.world.statements[-1] == "SET LOCK_TIMEOUT 1000"
            assert shop.world.opened[-1].query_timeout == 2
        else:
            assert shop.world.opened[-1].call_timeout == 1000


def test_a_driver_that_is_not_installed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "oracledb" if shop.dialect == "oracle" else "pymssql"
    monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ToolError, match=f"the Python package {name}") as caught:
        shop.account.answers()
    assert f"install {name} on every worker" in caught.value.fix


@pytest.mark.parametrize(("code", "kind"), [(1017, StoreAccessError), (942, StoreAccessError), (3113, sessions.StoreUnreachableError)])
def test_oracle_s_errors(oracle: Shop, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]) -> None:
    def connect(**_: object) -> None:
        raise refused("Oracle", code, "said the server")

    monkeypatch.setattr("oracledb.connect", connect)
    with pytest.raises(kind, match="said the server"):
        oracle.data.check()

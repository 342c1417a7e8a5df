"""Reading clocks: a real HTTP server whose Date is off, jumps, stands still or is missing, and a database of our own making."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from midtime import clocks
from midtime.clocks import read_http_date, read_sql
from midtime.errors import StoreAccessError, StoreStatementError, StoreUnreachableError
from midtime.model.instants import utc_now
from tests.unit.http_clock import HttpService, http_service

SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def service() -> Iterator[HttpService]:
    with http_service() as made:
        yield made


class TestHttpDate:
    @pytest.mark.parametrize("offset", [-5.0, -2.3, 0.0, 2.0, 4.999])
    def test_a_clock_that_is_off_is_known_to_a_fraction_of_a_second(self, service: HttpService, offset: float) -> None:
        service.off_by(offset)
        found = read_http_date("points", service.fetch)
        assert found.low <= offset * SECOND <= found.high
        assert found.width < SECOND / 2  # 20 ms and a round trip; the machine may be busy

    def test_what_is_unknown_is_the_gap_and_the_round_trip(self, service: HttpService) -> None:
        service.delay = 0.3
        found = read_http_date("points", service.fetch, gap=0.1)
        assert found.low <= timedelta(0) <= found.high
        assert found.width >= 0.3 * SECOND
        assert service.answers <= 5

    def test_an_answer_that_comes_too_late(self, service: HttpService) -> None:
        service.delay = 0.3
        with pytest.raises(StoreUnreachableError, match=r"store points took 0\.\d s to tell its clock"):
            read_http_date("points", service.fetch, limit=0.2)

    @pytest.mark.parametrize("jump", [-3.0, 3.0])
    def test_a_clock_that_jumps_while_it_is_read(self, service: HttpService, jump: float) -> None:
        service.off_by(0, 0, jump)
        with pytest.raises(StoreStatementError, match="clock of store points could not be read: the clock jumped"):
            read_http_date("points", service.fetch)

    @pytest.mark.parametrize(("fleet", "ahead", "jumps"), [(True, 2, False), (True, 3, True), (False, 2, True)])
    def test_front_ends_that_differ_by_less_than_a_second(self, service: HttpService, fleet: bool, ahead: int, jumps: bool) -> None:
        """From a single clock it would be a jump; a fleet has a second of its own, and the bounds say what lies between."""
        first = utc_now().replace(microsecond=0)
        said = iter([format_datetime(first + shift * SECOND, usegmt=True) for shift in (0, ahead)])
        service.date = lambda: next(said)
        if jumps:
            with pytest.raises(StoreStatementError, match="clock of store points could not be read: the clock jumped"):
                read_http_date("points", service.fetch, fleet=fleet)
        else:
            found = read_http_date("points", service.fetch, fleet=fleet)
            assert timedelta(0) < found.high <= 2 * SECOND
            assert -SECOND / 2 < found.low <= SECOND

    def test_a_date_that_stands_still(self, service: HttpService) -> None:
        service.date = lambda: "Sat, 21 Nov 2026 02:00:07 GMT"
        with pytest.raises(StoreStatementError, match=r"Date of store points stands still: 2026-11-21 02:00:07\+00:00 after 0.2 s"):
            read_http_date("points", service.fetch, limit=0.2)

    def test_no_date(self, service: HttpService) -> None:
        service.date = lambda: None
        with pytest.raises(StoreStatementError, match="store points answered without a Date"):
            read_http_date("points", service.fetch)

    def test_a_date_that_is_none(self, service: HttpService) -> None:
        service.date = lambda: "yesterday"
        with pytest.raises(StoreStatementError, match="store points answered with 'yesterday' for a Date"):
            read_http_date("points", service.fetch)

    def test_nobody_listens(self) -> None:
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))  # and does not listen
            port = reserved.getsockname()[1]
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=1)) as connection:

                def fetch() -> str | None:
                    connection.request("GET", "/")
                    return None

                with pytest.raises(StoreUnreachableError, match=r"store points did not tell its clock: .*refused"):
                    read_http_date("points", fetch)

    def test_something_else_than_http(self) -> None:
        def fetch() -> str | None:
            raise http.client.BadStatusLine("SSH-2.0")

        with pytest.raises(StoreUnreachableError, match=r"store points did not tell its clock: SSH-2\.0"):
            read_http_date("points", fetch)


class TestSql:
    @pytest.mark.parametrize("offset", [-3 * SECOND, timedelta(0), 5 * SECOND])
    def test_the_quickest_round_trip_decides(self, offset: timedelta) -> None:
        waits = iter([0.2, 0.0, 0.1, 0.0, 0.0])

        def ask() -> datetime:
            said = utc_now() + offset
            time.sleep(next(waits))
            return said

        found = read_sql("accounts", ask)
        assert found.low <= offset <= found.high
        assert found.width < SECOND / 10
        assert next(waits, None) is None

    def test_a_slow_database_is_asked_once(self) -> None:
        asked = []

        def ask() -> datetime:
            asked.append(utc_now())
            time.sleep(0.02)
            return utc_now()

        ends = time.monotonic()
        found = read_sql("accounts", ask, samples=1_000, limit=0.1)
        assert 1 <= len(asked) <= 6
        assert time.monotonic() - ends < 5
        assert found.width >= 0.02 * SECOND

    def test_an_answer_that_comes_too_late(self) -> None:
        def ask() -> datetime:
            time.sleep(0.05)
            return utc_now()

        with pytest.raises(StoreUnreachableError, match="store accounts took"):
            read_sql("accounts", ask, limit=0.01)

    def test_a_clock_that_jumps_while_it_is_read(self) -> None:
        offsets = iter([0, 0, 2, 2, 2])
        with pytest.raises(StoreStatementError, match="clock of store accounts could not be read: the clock jumped by"):
            read_sql("accounts", lambda: utc_now() + next(offsets) * SECOND)

    def test_a_worker_whose_own_clock_is_set_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = datetime(2026, 11, 21, 2, 0, 7, tzinfo=UTC)
        worker = iter([now, now - SECOND])
        monkeypatch.setattr(clocks, "utc_now", lambda: next(worker))
        with pytest.raises(StoreStatementError, match=r"store accounts could not be read: answered at .* before it was asked"):
            read_sql("accounts", lambda: now)

    def test_an_answer_without_a_time_zone(self) -> None:
        with pytest.raises(StoreStatementError, match=r"store accounts could not be read: .* has no time zone"):
            read_sql("accounts", lambda: datetime(2026, 11, 21, 2, 0, 7))

    def test_no_connection(self) -> None:
        def ask() -> datetime:
            raise ConnectionResetError("reset by peer")

        with pytest.raises(StoreUnreachableError, match="store accounts did not tell its clock: reset by peer"):
            read_sql("accounts", ask)

    def test_what_the_store_itself_says_stays(self) -> None:
        def ask() -> datetime:
            raise StoreAccessError("store accounts refuses the password", fix="see the connection")

        with pytest.raises(StoreAccessError, match="refuses the password"):
            read_sql("accounts", ask)

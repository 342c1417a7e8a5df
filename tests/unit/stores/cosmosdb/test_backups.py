"""How far a container can be restored, in the words in which the service says it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.stores.cosmosdb.backups import AHEAD, parse_latest

NOW = datetime(2026, 11, 29, 10, 0, 0, tzinfo=UTC)
INSTANTS = st.datetimes(min_value=datetime(2019, 1, 1), max_value=datetime(2026, 11, 29, 9)).map(
    lambda at: at.replace(microsecond=0, tzinfo=UTC)
)
ZONES = st.integers(min_value=-14 * 60, max_value=14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def american(at: datetime, space: str = " ", pad: bool = False) -> str:
    """As .NET's en-US has it, ``3/13/2023 3:41:23 PM``."""
    hour, half = at.hour % 12 or 12, "AM" if at.hour < 12 else "PM"
    day = f"{at:%m/%d/%Y}" if pad else f"{at.month}/{at.day}/{at.year}"
    return f"{day} {f'{hour:02}' if pad else hour}:{at:%M:%S}{space}{half}"


@given(INSTANTS, st.sampled_from([" ", "\u202f", "\u00a0"]), st.booleans())
def test_american(at: datetime, space: str, pad: bool) -> None:
    assert parse_latest(american(at, space, pad), now=NOW) == at


@given(INSTANTS)
def test_no_country_s(at: datetime) -> None:
    assert parse_latest(f"{at:%m/%d/%Y %H:%M:%S}", now=NOW) == at


@given(INSTANTS, ZONES, st.sampled_from(["", ".0", ".1234567"]))
def test_rfc3339(at: datetime, zone: timezone, fraction: str) -> None:
    """In any zone; without one it is UTC. A fraction may only make it later, and is cut."""
    there = at.astimezone(zone)
    plain = f"{there:%Y-%m-%dT%H:%M:%S}{fraction}"
    assert parse_latest(f"{plain}{there.isoformat()[19:]}", now=NOW) == at
    assert parse_latest(f"{at:%Y-%m-%dT%H:%M:%S}{fraction}Z", now=NOW) == at
    assert parse_latest(f"{at:%Y-%m-%d %H:%M:%S}", now=NOW) == at


@given(INSTANTS)
def test_seconds_since_1970(at: datetime) -> None:
    assert parse_latest(str(int(at.timestamp())), now=NOW) == at


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("3/13/2023 3:41:23 PM", datetime(2023, 3, 13, 15, 41, 23, tzinfo=UTC)),  # as azure-cli has recorded it
        ("10/26/2021 5:27:45 PM", datetime(2021, 10, 26, 17, 27, 45, tzinfo=UTC)),  # as the documentation has it
        ("2021-02-05T02:40:50Z", datetime(2021, 2, 5, 2, 40, 50, tzinfo=UTC)),  # as the REST reference has it
        ("1623982363", datetime(2021, 6, 18, 2, 12, 43, tzinfo=UTC)),  # as it had been documented before
        ("1/1/2026 12:00:00 AM", datetime(2026, 1, 1, tzinfo=UTC)),
        ("1/1/2026 12:00:00 PM", datetime(2026, 1, 1, 12, tzinfo=UTC)),
    ],
)
def test_seen(said: str, meant: datetime) -> None:
    assert parse_latest(said, now=NOW) == meant


@pytest.mark.parametrize(
    "said",
    [
        *(
            "",
            "None",
            "never",
            "0",
            "-1",
            "16239823",
            "16239823631",
            "3/13/2023",
            "13/3/2023 3:41:23 PM",
            "2/30/2023 3:41:23 PM",
            "3/13/23 3:41:23 PM",
        ),
        *(
            "3/13/2023 13:41:23 PM",
            "3/13/2023 0:41:23 AM",
            "3/13/2023 3:41 PM",
            "3/13/2023 3:41:23 PM GMT",
            "3/13/2023 24:41:23",
            "13.03.2023 15:41:23",
        ),
        *("2021-02-30T02:40:50Z", "2021-02-05T02:40:50+0200", "2021-02-05", "2021-02-05T25:40:50Z", "2021-02-05T02:40:50Z and more"),
    ],
)
def test_nothing_else(said: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever is wrong with it
        parse_latest(said, now=NOW)


@given(st.text(max_size=30))
def test_no_text_does_more_than_be_refused(said: str) -> None:
    try:
        found = parse_latest(said, now=NOW)
    except ValueError:
        return
    assert found.tzinfo is not None
    assert found <= NOW + AHEAD


@given(INSTANTS, st.integers(min_value=0, max_value=120))
def test_a_day_taken_for_a_month_claims_nothing(now: datetime, lag: int) -> None:
    """A service that began to put the day first would be refused, or taken for one that lags: never for one that has gone further."""
    latest = now - timedelta(seconds=lag)
    try:
        found = parse_latest(f"{latest:%d/%m/%Y %H:%M:%S}", now=now)
    except ValueError:
        return
    assert found <= latest


def test_ahead_by_a_little_is_a_clock_by_much_it_is_wrong() -> None:
    assert parse_latest(f"{NOW + AHEAD:%Y-%m-%dT%H:%M:%SZ}", now=NOW) == NOW + AHEAD
    with pytest.raises(ValueError, match="while it is 2026-11-29T10:00:00Z"):
        parse_latest(f"{NOW + AHEAD + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}", now=NOW)

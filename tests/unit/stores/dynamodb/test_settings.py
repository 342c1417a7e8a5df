"""What is different from the mark, in words: nothing where all was put back, and never nothing where something was not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from midtime.stores.dynamodb.settings import Capacity, IndexSettings, MarkedTables, Scaling, ScalingPolicy, TableSettings, differences

T = datetime(2026, 11, 21, tzinfo=UTC)
IDENTITY = {"name", "table_id", "arn", "created_at", "earliest", "latest"}
words = st.sampled_from(["a", "b", "c"])
capacities = st.none() | st.builds(Capacity, read=st.integers(1, 3), write=st.integers(1, 3))
policies = st.builds(ScalingPolicy, name=words, kind=words, configuration=st.dictionaries(words, st.integers(0, 2), max_size=2))
scalings = st.builds(
    Scaling,
    index=st.none() | words,
    dimension=st.sampled_from(["dynamodb:table:ReadCapacityUnits", "dynamodb:table:WriteCapacityUnits"]),
    least=st.integers(1, 2),
    most=st.integers(3, 4),
    suspended=st.dictionaries(words, st.just(True), max_size=1),
    policies=st.lists(policies, max_size=2, unique_by=lambda policy: policy.name).map(
        lambda each: tuple(sorted(each, key=lambda p: p.name))
    ),
    scheduled=st.lists(st.dictionaries(words, words, min_size=1, max_size=1), max_size=1).map(tuple),
)


def ordered(each: list[Any], key: Any) -> tuple[Any, ...]:
    return tuple(sorted(each, key=key))


tables = st.builds(
    TableSettings,
    name=st.just("bank.accounts"),
    table_id=words,
    arn=words,
    created_at=st.just(T),
    period=st.none() | st.integers(1, 35),
    billing=st.sampled_from(["PROVISIONED", "PAY_PER_REQUEST"]),
    capacity=capacities,
    limits=capacities,
    table_class=words,
    encryption=st.none() | words,
    stream=st.none() | words,
    deletion_protection=st.booleans(),
    ttl=st.none() | words,
    tags=st.dictionaries(words, words, max_size=2),
    policy=st.none() | words,
    indexes=st.lists(
        st.builds(IndexSettings, name=words, capacity=capacities, limits=capacities), max_size=2, unique_by=lambda each: each.name
    ).map(lambda each: ordered(each, lambda index: index.name)),
    scaling=st.lists(scalings, max_size=2, unique_by=lambda each: each.what).map(lambda each: ordered(each, lambda scaling: scaling.what)),
    alarms=st.lists(words, max_size=2, unique=True).map(lambda each: ordered(each, str)),
    replicas=st.lists(words, max_size=2, unique=True).map(lambda each: ordered(each, str)),
)


def meant(table: TableSettings) -> dict[str, Any]:
    return table.model_dump(mode="json", exclude=IDENTITY)


@given(tables, tables)
def test_different_if_and_only_if_something_is(marked: TableSettings, now: TableSettings) -> None:
    assert bool(differences(marked, now)) == (meant(marked) != meant(now))
    assert len(differences(marked, now)) == len(differences(now, marked))


@given(tables, words)
def test_another_table_with_the_same_settings(marked: TableSettings, table_id: str) -> None:
    assert differences(marked, marked.model_copy(update={"table_id": table_id, "name": "drill_bank.accounts", "earliest": T})) == []


@given(st.lists(tables, min_size=1, max_size=2))
def test_sealed_and_read_again(every: list[TableSettings]) -> None:
    made = MarkedTables(store="points", instant=T, region="eu-west-1", account="1", prefix="", tables=tuple(every))
    assert MarkedTables.unseal(made.seal(), where="here") == made
    assert made.table("bank.accounts") == every[0]


def table(**changes: Any) -> TableSettings:
    return TableSettings(name="bank.accounts", table_id="1", arn="a", created_at=T, billing="PROVISIONED", **changes)


def test_in_words() -> None:
    scaled = Scaling(index="by_owner", dimension="dynamodb:index:ReadCapacityUnits", least=5, most=50)
    marked = table(tags={"team": "pay"}, ttl="expires", period=35, deletion_protection=True, scaling=(scaled,), alarms=("hot",))
    assert differences(marked, table(period=7)) == [
        "bank.accounts: TTL attribute was expires, is not there",
        "bank.accounts: point-in-time recovery was 35 days, is 7 days",
        "bank.accounts: deletion protection was on, is not there",
        "bank.accounts: tag team was 'pay', is not there",
        "bank.accounts: alarm hot was there, is not there",
        "bank.accounts: autoscaling of ReadCapacityUnits of index by_owner was 5 to 50, is not there",
    ]

"""Settings put back one after the other: what is asked of the service, in which order, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from midtime.stores.dynamodb.copies import Standing
from midtime.stores.dynamodb.putting import REPEATS, TRIES, Putting, changes, wanted_of
from midtime.stores.dynamodb.settings import Capacity, IndexSettings, Scaling, ScalingPolicy, TableSettings
from midtime.stores.dynamodb.swapping import overrides
from midtime.stores.naming import COPY_TAG
from tests.unit.builders import MIDTIME
from tests.unit.stores.dynamodb.memory import refusal
from tests.unit.stores.dynamodb.restores import Account

NAME = "bank.owners"


def table(**settings: Any) -> TableSettings:
    common = {"name": NAME, "table_id": "1", "arn": "arn:aws:dynamodb:r:1:table/old", "created_at": MIDTIME, "billing": "PAY_PER_REQUEST"}
    return TableSettings(**{**common, **settings})


def asked(account: Account, wanted: TableSettings, now: TableSettings) -> list[tuple[str, dict[str, Any]]]:
    found = changes(account.store.aws, wanted, now, Standing(now.name, {}))
    return [
        (change.what, {key: value for key, value in change.arguments.items() if key not in ("TableName", "ResourceArn")})
        for change in found
    ]


PROVISIONED = {"billing": "PROVISIONED", "capacity": Capacity(read=5, write=6)}
INDEXED = {**PROVISIONED, "indexes": (IndexSettings(name="i", capacity=Capacity(read=3, write=4)),)}
SCALED = Scaling(
    dimension="dynamodb:table:ReadCapacityUnits",
    least=1,
    most=9,
    policies=(ScalingPolicy(name="p", kind="TargetTrackingScaling", configuration={"TargetValue": 70.0}),),
)


def test_nothing_where_nothing_differs(account: Account) -> None:
    wanted = table(**INDEXED, ttl="t", tags={"a": "b"}, period=7, stream="KEYS_ONLY", deletion_protection=True, scaling=(SCALED,))
    assert asked(account, wanted, wanted) == []


def test_capacity_of_a_table_that_was_read_by_demand(account: Account) -> None:
    now = table(indexes=(IndexSettings(name="i"),))
    ((what, said),) = asked(account, table(**INDEXED), now)
    assert what == "capacity"
    assert said == {
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
        "GlobalSecondaryIndexUpdates": [
            {"Update": {"IndexName": "i", "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4}}}
        ],
    }


def test_scaling_waits_for_capacity_and_protection_for_all(account: Account) -> None:
    wanted = table(**PROVISIONED, scaling=(SCALED,), deletion_protection=True, period=7)
    assert [what for what, _ in asked(account, wanted, table())] == ["point-in-time recovery", "capacity"]
    there = table(**PROVISIONED, period=7)
    assert [what for what, _ in asked(account, wanted, there)] == ["autoscaling of ReadCapacityUnits", "deletion protection"]
    target = there.model_copy(update={"scaling": (SCALED.model_copy(update={"policies": ()}),), "deletion_protection": True})
    ((what, said),) = asked(account, wanted, target)
    assert (what, said["TargetTrackingScalingPolicyConfiguration"]) == ("policy p of ReadCapacityUnits", {"TargetValue": 70.0})


def test_what_is_scaled_has_the_capacity_that_scaling_gives_it(account: Account) -> None:
    now = table(billing="PROVISIONED", capacity=Capacity(read=9, write=6), scaling=(SCALED,))
    assert asked(account, table(**PROVISIONED, scaling=(SCALED,)), now) == []


def test_limits_by_demand(account: Account) -> None:
    wanted = table(limits=Capacity(read=7, write=-1), indexes=(IndexSettings(name="i", limits=Capacity(read=1, write=2)),))
    ((what, said),) = asked(account, wanted, table(indexes=(IndexSettings(name="i"),)))
    assert what == "limits of throughput"
    assert said["OnDemandThroughput"] == {"MaxReadRequestUnits": 7, "MaxWriteRequestUnits": -1}
    assert said["GlobalSecondaryIndexUpdates"][0]["Update"]["OnDemandThroughput"] == {"MaxReadRequestUnits": 1, "MaxWriteRequestUnits": 2}


def test_a_policy_is_about_the_table_itself_and_some_tags_are_nobodys() -> None:
    now = table(name="new", arn="arn:aws:dynamodb:r:1:table/new")
    wanted = wanted_of(table(policy='{"Resource": "arn:aws:dynamodb:r:1:table/old"}', tags={"a": "b", COPY_TAG: "x", "aws:y": "z"}), now)
    assert wanted.policy == '{"Resource": "arn:aws:dynamodb:r:1:table/new"}'
    assert wanted.tags == {"a": "b"}


@pytest.mark.parametrize(("code", "calls"), [("AccessDeniedException", 1), ("LimitExceededException", TRIES)])
def test_what_is_refused_is_left_after_a_while(account: Account, code: str, calls: int, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(operation: str, asked: Any) -> None:
        if operation == "update_time_to_live":
            raise refusal(code)

    account.memory.before_each = refuse
    found = account.memory.make(NAME, "x")
    putting = Putting(account.store.aws, {NAME: table(table_class="STANDARD", ttl="t", period=35, tags={"a": "b"})})
    said = account.memory.describe_table(NAME)["Table"]
    while putting.look({NAME: Standing(NAME, said)}):
        account.memory.sleep(1)
    assert account.memory.counts["update_time_to_live"] == calls
    assert found.settings["tags"] == {"a": "b"}
    assert "time to live could not be put back" in caplog.text
    assert [each for each in putting.differences() if "TTL" in each] == [f"{NAME}: TTL attribute was t, is not there"]


def test_what_is_taken_and_does_not_show_is_not_repeated_for_ever(account: Account) -> None:
    account.memory.make(NAME, "x")
    account.memory.update_time_to_live = lambda **_: None  # type: ignore[method-assign]
    putting = Putting(account.store.aws, {NAME: table(ttl="t", period=35)})
    while putting.look({NAME: Standing(NAME, account.memory.describe_table(NAME)["Table"])}):
        account.memory.sleep(1)
    assert account.memory.counts["update_time_to_live"] == REPEATS


def test_overrides_have_all_indexes_with_their_own_capacity() -> None:
    described = {"GlobalSecondaryIndexes": [{"IndexName": "i", "KeySchema": ["k"], "Projection": {"p": 1}, "ProvisionedThroughput": "its"}]}
    assert overrides(table(**INDEXED), described) == {
        "BillingModeOverride": "PROVISIONED",
        "ProvisionedThroughputOverride": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
        "GlobalSecondaryIndexOverride": [
            {
                "IndexName": "i",
                "KeySchema": ["k"],
                "Projection": {"p": 1},
                "ProvisionedThroughput": {"ReadCapacityUnits": 3, "WriteCapacityUnits": 4},
            }
        ],
    }
    by_demand = overrides(table(limits=Capacity(read=7, write=8)), {})
    assert by_demand == {
        "BillingModeOverride": "PAY_PER_REQUEST",
        "OnDemandThroughputOverride": {"MaxReadRequestUnits": 7, "MaxWriteRequestUnits": 8},
    }


def test_an_index_that_was_not_marked_gets_the_tables_capacity() -> None:
    """It was dropped between the instant and the mark. Without any capacity the service refuses to restore the table."""
    found = overrides(table(**PROVISIONED), {"GlobalSecondaryIndexes": [{"IndexName": "i", "KeySchema": ["k"], "Projection": {"p": 1}}]})
    assert found["GlobalSecondaryIndexOverride"][0]["ProvisionedThroughput"] == {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6}

"""The copy of a run: made once, whoever looks, as it was marked; and another's is never touched."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from midtime.errors import StoreAccessError, StoreUnreachableError, TargetExistsError
from midtime.stores.naming import COPY_TAG
from midtime.stores.rds.comparing import setting_differences
from midtime.stores.rds.notes import Notes
from midtime.stores.rds.servers import flavour_of
from tests.unit.stores.rds.memory import START, refusal
from tests.unit.stores.rds.restores import LIVE, RESTORES, Account, copy_of, make_anew, new_names, restored


def test_a_drill(account: Account) -> None:
    """As cheap as it can be, tagged, and gone again without a snapshot."""
    target = account.restore(account.target(drill=True))
    assert target.working.startswith("midtime-tmp-abc123-")
    assert account.copies() == new_names(account, target.working, drill=True)
    (asked,) = restored(account)
    assert not asked["DeletionProtection"]
    assert {each["Key"] for each in asked["Tags"]} == {COPY_TAG, "midtime:topology", "midtime:restored"}
    assert asked["VpcSecurityGroupIds"] == (["sg-1", "sg-2"] if account.kind == "rds" else ["sg-1"])
    assert asked["BackupRetentionPeriod"] == (0 if account.kind == "rds" else 1)
    holder = account.memory.instances[target.working + ("" if account.kind == "rds" else "-1")]
    assert holder.said["DBInstanceClass"] == "db.t3.medium"
    assert not holder.said.get("MultiAZ")
    assert not holder.said.get("MonitoringInterval")
    account.store.place(account.backup, target)
    account.store.put_back(account.backup, target)
    account.store.discard(target)
    assert account.copies() == {}


def test_it_is_asked_for_by_resource_id(account: Account) -> None:
    account.restore(account.target(to="bank-new"))
    (asked,) = restored(account)
    source = asked.get("SourceDbiResourceId") or asked["SourceDbClusterResourceId"]
    assert source == account.backup.details["resource_id"]
    assert not {"SourceDBInstanceIdentifier", "SourceDBClusterIdentifier", "UseLatestRestorableTime", "RestoreType"} & set(asked)
    assert (asked.get("RestoreTime") or asked["RestoreToTime"]) == START + timedelta(seconds=500)


def test_beside_it_stays_as_it_was_marked(account: Account) -> None:
    target = account.restore(account.target(to="bank-new"))
    assert not copy_of(account, "bank-new").said["DeletionProtection"], "a run that fails must be able to remove it"
    account.store.place(account.backup, target)
    account.memory.sleep(60)
    account.store.place(account.backup, target)
    account.store.discard(target)
    assert account.copies() == new_names(account, "bank-new")
    was, now = copy_of(account, LIVE), copy_of(account, "bank-new")
    lost = {"Arn", "AssociatedRoles", "ReaderEndpoint", "HttpEndpointEnabled"}
    assert {key: now.said.get(key) for key in was.said if key not in lost} | {"VpcSecurityGroups": 0} == {
        key: value for key, value in was.said.items() if key not in lost
    } | {"VpcSecurityGroups": 0}
    assert now.tags["team"] == "bank"
    assert not [key for key in now.tags if key.startswith("aws:")]


def test_what_was_not_protected_is_not_protected(account: Account) -> None:
    target = account.unprotected().restore(account.target(to="bank-new"))
    account.store.place(account.backup, target)
    assert not copy_of(account, "bank-new").said["DeletionProtection"]


def test_placing_waits_for_the_first_backup(account: Account) -> None:
    """Which the service makes right after a restore, and takes no change meanwhile."""
    target = account.restore(account.target(to="bank-new"))
    copy_of(account, "bank-new").busy_until = account.memory.now + 300
    account.store.place(account.backup, target)
    assert copy_of(account, "bank-new").said["DeletionProtection"]
    assert account.memory.now < 3000


def test_a_cluster_gets_its_instances_back(aurora: Account) -> None:
    aurora.restore(aurora.target(to="bank-new"))
    made = [aurora.memory.instances[f"bank-new-{number}"].said for number in (1, 2)]
    assert [each["DBInstanceClass"] for each in made] == ["db.r6g.2xlarge", "db.r6g.large"]
    assert {each["Engine"] for each in made} == {"aurora-postgresql"}
    assert {each["MonitoringInterval"] for each in made} == {60}


def test_a_clusters_instances_say_whose_they_are_too(aurora: Account) -> None:
    """A login that may delete what is a run's must not be able to delete what has become production."""
    target = aurora.restore(aurora.target(to="bank-new"))

    def owners() -> set[str]:
        return {aurora.memory.instances[f"bank-new-{number}"].tags[COPY_TAG] for number in (1, 2)}

    assert owners() == {target.working}
    aurora.store.place(aurora.backup, target)
    assert owners() == {f"placed {target.working}"}
    aurora.memory.sleep(60)
    aurora.store.put_back(aurora.backup, target)
    assert owners() == {target.working}


def test_beside_and_back_it_goes(account: Account) -> None:
    target = account.restore(account.target(to="bank-new"))
    account.store.place(account.backup, target)
    account.memory.sleep(60)
    account.store.put_back(account.backup, target)
    account.store.discard(target)
    assert account.copies() == {}
    deletions = account.memory.requests(f"delete_db_{'instance' if account.kind == 'rds' else 'cluster'}")
    assert deletions
    assert all(asked["DeleteAutomatedBackups"] for asked in deletions)


@pytest.mark.parametrize("drill", [True, False])
def test_left_at_any_call_and_looked_at_again(account: Account, drill: bool) -> None:
    """Never a second restore."""
    target = account.target(drill=drill) if drill else account.target(to="bank-new")

    def begin() -> None:
        account.memory.asked.clear()
        account.restore(target)

    def again(number: int) -> None:
        account.restore(target)
        assert account.copies() == new_names(account, target.final, drill=drill), number
        assert len(restored(account)) == 1, number
        account.store.discard(target)
        assert account.copies() == {}, number

    assert account.left_at_each(begin, again) > 8


def test_two_that_look_at_once(account: Account) -> None:
    """One of them is a task that was given up and lives on. Whoever is refused because the other one was faster has lost nothing."""
    target, others = account.target(to="bank-new"), iter([account.look])

    def before(operation: str, _: Any) -> None:
        if operation.endswith("automated_backups") and (look := next(others, None)):
            look(target)

    account.memory.before_each = before
    account.restore(target)
    assert account.copies() == new_names(account, "bank-new")
    account.store.discard(target)
    assert account.copies() == {}


def test_two_that_look_at_once_with_room_for_one(account: Account) -> None:
    """Whoever is refused forgets that anything was asked for; the copy of the other one is found all the same."""
    target, others = account.target(to="bank-new"), iter([account.look])

    def full(operation: str, _: Any) -> None:
        if operation in RESTORES:
            raise refusal("InstanceQuotaExceeded")

    def before(operation: str, _: Any) -> None:
        if operation.endswith("automated_backups") and (look := next(others, None)):
            look(target)
            account.memory.before_each = full

    account.memory.before_each = before
    assert account.look(target)
    account.memory.before_each = lambda *_: None
    account.restore(target)
    assert account.copies() == new_names(account, "bank-new")
    account.store.discard(target)
    assert account.copies() == {}


@pytest.mark.parametrize("end", ["discarded", "gone on with"])
def test_the_topology_names_another_region_meanwhile(account: Account, end: str) -> None:
    """The copy is looked for where it was asked for, not where nobody has it."""
    target = account.target(drill=True)
    account.look(target)
    account.memory.sleep(120)
    account.move("eu-central-1")
    if end == "gone on with":
        account.restore(target)
        assert account.copies() == new_names(account, target.working, drill=True)
    account.store.discard(target)
    assert account.copies() == {}


def test_left_at_any_call_and_discarded(account: Account) -> None:
    """What is still being restored goes at a later try."""
    target = account.target(to="bank-new")

    def discard(number: int) -> None:
        for _ in range(5):
            with suppress(StoreUnreachableError):
                account.store.discard(target)
                break
            account.memory.sleep(60)
        assert account.copies() == {}, number

    assert account.left_at_each(lambda: account.restore(target), discard) > 8


@pytest.mark.parametrize("verb", ["place", "put_back", "discard"])
def test_left_at_any_call_of_what_follows(account: Account, verb: str) -> None:
    target = account.restore(account.target(to="bank-new"))
    if verb == "put_back":
        account.store.place(account.backup, target)
        account.memory.sleep(60)
    calls = {
        "place": lambda: account.store.place(account.backup, target),
        "put_back": lambda: account.store.put_back(account.backup, target),
        "discard": lambda: account.store.discard(target),
    }

    def again(number: int) -> None:
        account.memory.sleep(60)
        calls[verb]()
        if verb == "place":
            account.store.discard(target)
            assert account.copies() == new_names(account, "bank-new"), number
            assert copy_of(account, "bank-new").said["DeletionProtection"], number
        else:
            account.store.discard(target)
            assert account.copies() == {}, number

    assert account.left_at_each(calls[verb], again) >= 2


def test_done_and_not_said(account: Account) -> None:
    """The answer is lost; and what was made is not to be seen for a while."""
    memory, lost = account.memory, list[str]()
    memory.hidden = 20.0

    def wrapped(operation: str) -> Any:
        plain = getattr(memory, operation)

        def forgetful(**asked: Any) -> None:
            plain(**asked)
            if operation not in lost:
                lost.append(operation)
                raise refusal("InternalFailure", status=500)

        return forgetful

    for operation in (*RESTORES, "create_db_instance"):
        setattr(memory, operation, wrapped(operation))
    target = account.restore(account.target(to="bank-new"))
    assert account.copies() == new_names(account, "bank-new")
    assert len(restored(account)) == 1
    account.store.discard(target)


def test_discarded_before_it_is_to_be_seen(account: Account) -> None:
    """Whoever asked for it may have died a moment ago: what is not there yet is waited for."""
    account.memory.hidden = 30.0
    target = account.target(to="bank-new")
    assert account.look(target)
    account.store.discard(target)
    account.memory.sleep(100)
    assert account.copies() == {}


def test_what_never_came_is_not_waited_for_for_ever(account: Account) -> None:
    account.memory.hidden = 1e9
    target = account.target(to="bank-new")
    assert account.look(target)
    account.memory.sleep(150)
    account.store.discard(target)
    assert Notes(account.topology, target).copy() is None


def test_what_somebody_has_deleted_is_not_waited_for(account: Account) -> None:
    target = account.target(to="bank-new")
    for _ in range(2):
        assert account.look(target)
        account.memory.sleep(10)
    account.memory.lose("bank-new", retained=False)
    before = account.memory.now
    account.store.discard(target)
    assert account.memory.now == before


def test_somebody_is_faster_to_delete_it(account: Account) -> None:
    target = account.restore(account.target(to="bank-new"))

    def before(operation: str, asked: Any) -> None:
        if operation.startswith("delete"):
            (account.memory.instances if "DBInstanceIdentifier" in asked else account.memory.clusters).clear()

    account.memory.before_each = before
    account.store.discard(target)
    assert Notes(account.topology, target).copy() is None


def test_a_login_that_may_not_delete(account: Account) -> None:
    """It is told at once; and the note stays, or nobody would try again."""
    target = account.restore(account.target(to="bank-new"))

    def before(operation: str, asked: Any) -> None:
        if operation.startswith("delete"):
            raise refusal("AccessDenied", status=403)

    account.memory.before_each = before
    with pytest.raises(StoreAccessError, match="access denied"):
        account.store.discard(target)
    account.memory.before_each = lambda *_: None
    account.store.discard(target)
    assert account.copies() == {}


def test_asked_for_and_unseen_for_long(account: Account) -> None:
    """The name is taken then, by the first request."""
    account.memory.hidden = 300.0
    account.restore(account.target(to="bank-new"))
    assert account.copies() == new_names(account, "bank-new")
    assert len({each["Tags"][0]["Value"] for each in restored(account)}) == 1


@pytest.mark.parametrize("tags", [{}, {COPY_TAG: "midtime_tmp_other"}])
def test_a_name_that_is_taken(account: Account, tags: dict[str, str]) -> None:
    somebodys = account.memory.make("bank-new", "somebody's", cluster=account.kind == "aurora")
    somebodys.tags = tags
    target = account.target(to="bank-new")
    with pytest.raises(TargetExistsError, match="bank-new"):
        account.answers(target)
    with pytest.raises(TargetExistsError, match="somebody else's"):
        account.look(target)
    account.store.discard(target)
    assert account.copies() == {"bank-new": "somebody's"}


def test_a_name_that_is_taken_between_look_and_request(account: Account) -> None:
    target = account.target(to="bank-new")

    def before(operation: str, asked: Any) -> None:
        if operation in RESTORES:
            account.memory.make("bank-new", "somebody's", cluster=account.kind == "aurora")

    account.memory.before_each = before
    with pytest.raises(TargetExistsError, match="the name is taken"):
        account.look(target)
    account.store.discard(target)
    assert account.copies() == {"bank-new": "somebody's"}


def test_an_instances_name_that_is_taken(aurora: Account) -> None:
    aurora.memory.make("bank-new-1", "somebody's")
    with pytest.raises(TargetExistsError, match="bank-new-1"):
        aurora.answers(aurora.target(to="bank-new"))
    with pytest.raises(TargetExistsError, match="instance bank-new-1 is somebody else's"):
        aurora.restore(aurora.target(to="bank-new"))


@pytest.mark.parametrize("change", ["tag", "placed", "source", "another one"])
def test_nothing_but_its_own_is_discarded(account: Account, change: str) -> None:
    target = account.restore(account.target(to="bank-new"))
    there = copy_of(account, "bank-new")
    if change == "tag":
        there.tags[COPY_TAG] = "midtime-tmp-ffffff"
    elif change == "placed":
        there.tags[COPY_TAG] = f"placed {target.working}"
    elif change == "source":
        there.tags["midtime:restored"] = "db-OTHER 5"
    else:
        make_anew(account, "bank-new")
    account.store.discard(target)
    assert account.copies() == new_names(account, "bank-new")


def test_a_readers_of_somebody_elses_keeps_the_cluster(aurora: Account) -> None:
    target = aurora.restore(aurora.target(to="bank-new"))
    aurora.memory.make("theirs", "member", of="bank-new")
    with pytest.raises(StoreUnreachableError, match="instance theirs in it is none of Midtime's"):
        aurora.store.discard(target)
    assert aurora.copies() == {**new_names(aurora, "bank-new"), "theirs": "member"}


def test_a_reader_of_somebody_elses_that_goes_already(aurora: Account) -> None:
    target = aurora.restore(aurora.target(to="bank-new"))
    aurora.memory.make("theirs", "member", of="bank-new").gone_at = 1e9
    aurora.store.discard(target)
    assert aurora.copies() == {}


def test_a_source_with_as_many_tags_as_there_can_be(account: Account) -> None:
    """Ours come first: without them nobody would know whose the copy is. What has no room is listed."""
    for each in (account.memory.instances | account.memory.clusters).values():
        each.tags = {f"t{number:02}": "x" for number in range(50)}
    target = account.mark_anew().restore(account.target(to="bank-new"))
    for operation in (*RESTORES, "create_db_instance"):
        for asked in account.memory.requests(operation):
            assert len(asked["Tags"]) == 50
    assert copy_of(account, "bank-new").tags[COPY_TAG] == target.working
    note = Notes(account.topology, target).copy()
    assert note
    found = flavour_of(account.store.aws.spec).find(account.store.aws, "bank-new")
    assert found
    assert any(each.endswith("tag t49 was 'x', is not there") for each in setting_differences(account.store.aws, note, found, placed=False))

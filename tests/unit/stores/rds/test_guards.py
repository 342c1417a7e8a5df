"""What a run must not take for its own, or go on with: each of these is one line that nothing else would miss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import RestoreFailedError, StoreAccessError, TargetExistsError
from midtime.stores.naming import COPY_TAG, PLACED, TOPOLOGY_TAG
from midtime.stores.rds.dialects import data_of
from midtime.stores.rds.notes import Notes
from midtime.stores.rds.restoring import begin
from tests.unit.stores.rds.restores import LIVE, Account, copy_of, make_anew, new_names, restored


def opened(account: Account, target: Any) -> None:
    with account.store.restored(account.backup, target):
        pytest.fail("it is open")


def test_another_store_of_the_run_has_the_name(account: Account) -> None:
    target = account.restore(account.target(drill=True))
    with pytest.raises(TargetExistsError, match="give each store"):
        begin(account.topology, account.store.aws, account.backup, account.shelf, replace(target, store="other"))


def test_what_was_never_begun_is_not_opened(account: Account) -> None:
    with pytest.raises(RestoreFailedError, match="nothing was restored as"):
        opened(account, account.target(to="bank-new"))


@pytest.mark.parametrize(
    ("change", "words"),
    [("gone", "bank-new is gone"), ("state", "bank-new is stopped"), ("theirs", "somebody else's"), ("anew", "somebody else's")],
)
def test_what_is_not_all_there_is_not_opened(account: Account, change: str, words: str) -> None:
    target = account.restore(account.target(to="bank-new"))
    if change == "gone":
        account.memory.lose("bank-new", retained=False)
    elif change == "state":
        copy_of(account, "bank-new").broken = "stopped"
    elif change == "anew":
        make_anew(account, "bank-new")
    else:
        copy_of(account, "bank-new").tags[COPY_TAG] = "midtime-tmp-ffffff"
    with pytest.raises((RestoreFailedError, TargetExistsError), match=words):
        opened(account, target)


@pytest.mark.parametrize("change", ["gone", "theirs", "anew", "no note"])
def test_what_is_not_the_runs_is_not_placed(account: Account, change: str) -> None:
    target = account.restore(account.target(to="bank-new"))
    if change == "gone":
        account.memory.lose("bank-new", retained=False)
    elif change == "anew":
        make_anew(account, "bank-new")
    elif change == "theirs":
        copy_of(account, "bank-new").tags[COPY_TAG] = "midtime-tmp-ffffff"
    else:
        Notes(account.topology, target).end()
    with pytest.raises(RestoreFailedError, match="somebody else's now" if change != "no note" else "note about .* bank-new is gone"):
        account.store.place(account.backup, target)
    assert not account.memory.counts["add_tags_to_resource"]


def test_what_somebody_is_deleting_is_not_placed(account: Account) -> None:
    target = account.unprotected().restore(account.target(to="bank-new"))
    copy_of(account, "bank-new").gone_at = account.memory.now + 30
    with pytest.raises(RestoreFailedError, match="bank-new is gone"):
        account.store.place(account.backup, target)


@pytest.mark.parametrize(("tag", "value"), [(TOPOLOGY_TAG, "another"), (COPY_TAG, f"{PLACED}midtime-tmp-ffffff"), ("anew", "")])
def test_what_another_topology_or_run_made_is_not_put_back(account: Account, tag: str, value: str) -> None:
    target = account.restore(account.target(to="bank-new"))
    account.store.place(account.backup, target)
    if tag == "anew":
        make_anew(account, "bank-new")
    else:
        copy_of(account, "bank-new").tags[tag] = value
    tags = dict(copy_of(account, "bank-new").tags)
    account.store.put_back(account.backup, target)
    account.store.discard(target)
    assert copy_of(account, "bank-new").tags == tags
    assert account.copies() == new_names(account, "bank-new")


@pytest.mark.parametrize("change", ["theirs", "anew"])
def test_asked_again_once_it_is_made(account: Account, change: str) -> None:
    """`plan` is cleared: the name is taken by the run itself. By anybody else it is not the run's."""
    target = account.restore(account.target(to="bank-new"))
    assert "`bank-new`" in account.answers(target)["will be"]
    if change == "anew":
        make_anew(account, "bank-new")
    else:
        copy_of(account, "bank-new").tags[COPY_TAG] = "midtime-tmp-ffffff"
    with pytest.raises(TargetExistsError, match="was not restored by this run"):
        account.answers(target)


def test_made_anew_while_it_is_waited_for(account: Account) -> None:
    target = account.target(to="bank-new")
    for _ in range(2):
        assert account.look(target)
        account.memory.sleep(10)
    make_anew(account, "bank-new")
    with pytest.raises(TargetExistsError, match="bank-new is somebody else's"):
        account.look(target)


def test_an_instance_that_somebody_makes_in_its_cluster(aurora: Account) -> None:
    target = aurora.target(to="bank-new")
    assert aurora.look(target)
    aurora.memory.sleep(100)
    aurora.memory.make("bank-new-1", "somebody's", of="bank-new")
    with pytest.raises(TargetExistsError, match="instance bank-new-1 is somebody else's"):
        aurora.look(target)


def test_an_instance_that_somebody_makes_in_its_cluster_keeps_its_tags(aurora: Account) -> None:
    target = aurora.restore(aurora.target(to="bank-new"))
    theirs = aurora.memory.make("theirs", "somebody's", of="bank-new")
    aurora.store.place(aurora.backup, target)
    assert theirs.tags == {}


@pytest.mark.parametrize("change", ["gone", "no note"])
def test_nothing_is_there_to_be_put_back(account: Account, change: str) -> None:
    target = account.restore(account.target(to="bank-new"))
    account.store.place(account.backup, target)
    if change == "gone":
        account.memory.lose("bank-new", retained=False)
    else:
        Notes(account.topology, target).end()
    before = account.memory.contents()
    account.store.put_back(account.backup, target)
    account.store.discard(target)
    assert account.memory.contents() == before


def test_an_instance_that_was_moved_to_another_cluster(aurora: Account) -> None:
    target = aurora.restore(aurora.target(to="bank-new"))
    aurora.memory.instances["bank-new-2"].said["DBClusterIdentifier"] = LIVE
    with pytest.raises(TargetExistsError, match="instance bank-new-2 is somebody else's"):
        aurora.look(target)


def test_a_cluster_without_instances_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account("aurora", tmp_path, monkeypatch)
    account.memory.make(LIVE, "live", cluster=True)
    questions = dict(account.store.questions())
    for each in ("is reachable", "is at rest", "keeps a history"):
        questions[each]()
    assert questions["may be marked"]() == "the cluster has no instance"


def test_no_connection_to_its_data(rds: Account) -> None:
    aws = rds.store.aws
    aws.spec = aws.spec.model_copy(update={"data_conn_id": None})
    with pytest.raises(StoreAccessError, match="has no `data_conn_id`"):
        data_of(rds.topology, aws)


def test_what_is_being_deleted_is_not_asked_to_go_again(account: Account) -> None:
    target = account.restore(account.target(drill=True))
    account.store.discard(target)
    before = account.memory.counts["delete_db_instance"] + account.memory.counts["delete_db_cluster"]
    Notes(account.topology, target).begin("bank", _note(account), instance_class=None, subnet_group=None)
    account.store.discard(target)
    assert account.memory.counts["delete_db_instance"] + account.memory.counts["delete_db_cluster"] == before
    assert len(restored(account)) == 1


def _note(account: Account) -> Any:
    from midtime.stores.notes import marked
    from midtime.stores.rds.settings import MarkedServer

    return marked(account.backup, account.shelf, MarkedServer)

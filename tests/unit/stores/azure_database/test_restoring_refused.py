"""What cannot be restored, and what nobody may touch: said clearly, and with what to do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from azure.core.exceptions import ServiceRequestError

from midtime.catalog import Catalog
from midtime.errors import (
    MidtimeError,
    NotRestorableError,
    RequestError,
    RestoreFailedError,
    StoreAccessError,
    StoreStatementError,
    TargetExistsError,
)
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.azure_database.notes import Notes
from midtime.stores.azure_database.standing import Standing
from midtime.stores.base import Shelf
from midtime.stores.naming import COPY_TAG
from tests.unit.stores.azure.service import START
from tests.unit.stores.azure_database.memory import LIVE
from tests.unit.stores.azure_database.restores import Subscription, require_whole


def refused(subscription: Subscription) -> MidtimeError:
    """The one answer of the preflight that is no."""
    checks = subscription.asked(subscription.target(to="claims-new"))
    assert [check.ok for check in checks].count(False) == 1
    error = checks[-1].error
    assert error
    assert error.fix
    return error


def test_the_preflight_of_one_that_can_be_restored(subscription: Subscription) -> None:
    checks = subscription.asked(subscription.target(to="claims-new"))
    assert all(check.ok for check in checks)
    said = {check.question: check.detail for check in checks}
    assert said["will be"] == "new server `claims-new` in resource group claims"
    assert said["may be restored"] == "the login has every right that a restore needs"


@pytest.mark.parametrize("where", ["here", "elsewhere in the world"])
def test_the_name_is_taken(subscription: Subscription, where: str) -> None:
    if where == "here":
        subscription.memory.make("claims-new")
    else:
        subscription.memory.taken.add("claims-new")
    assert isinstance(refused(subscription), TargetExistsError)
    with pytest.raises(TargetExistsError):
        subscription.restore(subscription.target(to="claims-new"))
    subscription.memory.sleep(300)
    subscription.store.discard(subscription.target(to="claims-new"))
    assert subscription.memory.counts[subscription.memory.create] == 0
    assert subscription.memory.counts["servers_begin_delete"] == 0


@pytest.mark.parametrize("key", ["database", "prefix"])
@pytest.mark.parametrize("drill", [True, False])
def test_a_wish_for_what_is_in_the_server(subscription: Subscription, key: str, drill: bool) -> None:
    """It is restored as a whole: whoever wished for other names would find the old ones."""
    with pytest.raises(RequestError, match="its databases keep their names") as caught:
        subscription.store.target(TargetWish.model_validate({key: "new"}), run="abc123", drill=drill, in_place=False)
    assert "method: dump" in str(caught.value.fix)


def test_the_source_was_deleted(subscription: Subscription) -> None:
    subscription.memory.servers.pop(LIVE)
    assert "was deleted" in str(refused(subscription))
    with pytest.raises(NotRestorableError, match="was deleted"):
        subscription.restore(subscription.target(to="claims-new"))


def test_the_source_was_made_anew(subscription: Subscription) -> None:
    """Its backups begin later; and even if Azure said otherwise, it is another server."""
    made = subscription.memory.make(LIVE)
    made.begins = 0
    assert "is another server of that name" in str(refused(subscription))
    with pytest.raises(NotRestorableError, match="is another server of that name"):
        subscription.restore(subscription.target(to="claims-new"))


def test_the_backups_do_not_reach_back_so_far_any_more(subscription: Subscription) -> None:
    subscription.live.begins = 301
    assert "has backups since" in str(refused(subscription))
    with pytest.raises(NotRestorableError, match="has backups since"):
        subscription.restore(subscription.target(to="claims-new"))


def test_too_early_is_waited_for(subscription: Subscription) -> None:
    """Azure does not say how far its backups reach: a refusal of a young instant passes."""
    memory, target = subscription.memory, subscription.target(drill=True)
    memory.now = 1300
    with memory.refusing(400, "The point in time to restore to is not available yet", "InvalidParameterValue", of=memory.create):
        waiting = subscription.look(target)
    assert waiting
    assert "have not come so far" in waiting.detail
    assert Notes(subscription.topology, target).progress() is None, "nothing is on its way"
    subscription.restore(target)
    require_whole(subscription, target)


@pytest.mark.parametrize(("message", "later"), [("The point in time is invalid", 9000), ("this version is not supported", 0)])
def test_what_is_refused_for_good(subscription: Subscription, message: str, later: int) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    memory.now = 1300 + later
    with memory.refusing(400, message, "InvalidParameterValue", of=memory.create), pytest.raises(StoreStatementError, match=message):
        subscription.restore(target)


def test_who_may_not_restore_does_not_come_too_early(subscription: Subscription) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    memory.now = 1300
    with (
        memory.refusing(403, "no right to a point in time", "AuthorizationFailed", of=memory.create),
        pytest.raises(StoreAccessError, match="access denied"),
    ):
        subscription.look(target)


def test_too_early_is_not_waited_for_without_end(subscription: Subscription) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    memory.now = 1300
    with (
        memory.refusing(400, "point in time", "InvalidParameterValue", of=memory.create),
        pytest.raises(StoreStatementError, match="point in time"),
    ):
        subscription.restore(target)
    assert memory.moment(memory.now) - subscription.backup.midtime > timedelta(hours=1)


@pytest.mark.parametrize("code", ["QuotaExceeded", "SkuNotAvailable"])
def test_quota(subscription: Subscription, code: str) -> None:
    memory = subscription.memory
    with memory.refusing(400, "8 cores are too many", code, of=memory.create), pytest.raises(StoreAccessError, match="quota") as caught:
        subscription.restore(subscription.target(drill=True))
    assert "sku" in caught.value.fix


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_busy(subscription: Subscription, status: int) -> None:
    """It is looked at again, by whoever comes."""
    memory, target = subscription.memory, subscription.target(drill=True)
    with memory.refusing(status, "busy"):
        waiting = subscription.look(target)
    assert waiting
    subscription.restore(target)
    require_whole(subscription, target)
    assert memory.counts[memory.create] == 1


def test_the_way_to_azure_is_interrupted(subscription: Subscription) -> None:
    target = subscription.target(drill=True)

    def interrupted(_operation: str) -> None:
        raise ServiceRequestError("no route")

    subscription.memory.before_each = interrupted
    waiting = subscription.look(target)
    assert waiting
    assert "the service does not answer now" in waiting.detail


def test_credentials_expire_in_mid_wait(subscription: Subscription) -> None:
    memory, target = subscription.memory, subscription.target(drill=True)
    subscription.look(target)
    with memory.refusing(401, "The token is expired", "ExpiredAuthenticationToken"), pytest.raises(StoreAccessError, match="expired"):
        subscription.look(target)
    subscription.restore(target)
    assert memory.counts[memory.create] == 1


@pytest.mark.parametrize("lacks", ["tag", "source", "age"])
def test_what_is_not_provably_ours_stays(subscription: Subscription, lacks: str) -> None:
    target = subscription.restore(subscription.target(to="claims-new"))
    copy = subscription.copy(target)
    if lacks == "tag":
        copy.tags.pop(COPY_TAG)
    elif lacks == "source":
        copy.said["sourceServerResourceId"] = "/subscriptions/other"
    else:
        copy.made = (subscription.backup.midtime - START).total_seconds() - 1
    with pytest.raises(TargetExistsError, match="somebody else's"):
        subscription.look(target)
    with pytest.raises(RestoreFailedError, match="somebody else's"):
        subscription.store.place(subscription.backup, target)
    subscription.store.discard(target)
    assert "claims-new" in subscription.memory.servers
    assert subscription.memory.counts["servers_begin_delete"] == 0


def test_the_source_is_never_its_own_copy(subscription: Subscription) -> None:
    """Not even if somebody has put the run's tag onto it."""
    target = subscription.restore(subscription.target(to="claims-new"))
    note = Notes(subscription.topology, target).copy()
    assert note
    said = {"id": note.marked.arm_id, "tags": {COPY_TAG: note.working}, "properties": {}}
    assert not Standing(LIVE, said).copies(note)


def test_it_takes_too_long(subscription: Subscription) -> None:
    subscription.memory.seconds = 10**6
    subscription.change(restore_timeout="10m")
    with pytest.raises(RestoreFailedError, match=r"raise the store's `restore_timeout`"):
        subscription.restore(subscription.target(drill=True))


def test_a_right_is_missing(subscription: Subscription) -> None:
    subscription.memory.allowed = [{"actions": ["*"], "notActions": ["*/flexibleServers/delete"]}]
    assert "flexibleServers/delete" in str(refused(subscription))
    assert "docs/azure-database.md" in refused(subscription).fix


def test_a_source_with_as_many_tags_as_there_can_be(subscription: Subscription) -> None:
    """Ours come first: without them nobody would know whose the copy is. What has no room is listed."""
    subscription.live.tags = {f"t{number:02}": "x" for number in range(50)}
    subscription.shelf = Shelf(Catalog(subscription.topology.destination, "bank").folder("20261121T020007Z-ffffff"), "files")
    subscription.mark()
    target = subscription.restore(subscription.target(to="claims-new"))
    tags = subscription.copy(target).tags
    assert len(tags) == 50
    assert tags[COPY_TAG] == target.working
    assert "server claims-new: tag t49 was 'x', is not there" in subscription.differences(target)

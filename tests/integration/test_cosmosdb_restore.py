"""An account of Cosmos DB comes back to the marked second under another name, whoever is killed when; and ScalarDB's records with it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import NotRestorableError, RestoreFailedError, StoreAccessError, StoreError, TargetExistsError
from midtime.preflight import require
from midtime.stores.base import Target, ask
from midtime.stores.cosmosdb.restoring import Restoring
from midtime.verify.verdict import Outcome
from tests.integration.cosmosdb_sets import Set
from tests.integration.cosmosdb_setting import CONTAINERS, LIVE, PROCEDURE, Shop, login, shop_of
from tests.stack.cosmosdb import CosmosDB
from tests.stack.cosmosdb_bank import ScalarBank

pytestmark = pytest.mark.integration

RESTORE = "Microsoft.DocumentDB/locations/restorableDatabaseAccounts/restore/action"
THEN, NOW = (dict.fromkeys([f"{of}/{name}" for of in ("shop", "coordinator") for name in CONTAINERS[of]], value) for value in (1, 2))


@pytest.fixture
def shop(cosmosdb_server: CosmosDB, tmp_path: Path) -> Iterator[Shop]:
    with shop_of(cosmosdb_server, tmp_path) as made:
        yield made


def asked(shop: Shop, target: Target) -> dict[str, str]:
    return {check.question: check.detail for check in require(ask("shop", shop.store.restore_questions(target, shop.backup)))}


class TestBeside:
    def test_a_drill_comes_and_goes(self, shop: Shop) -> None:
        target = shop.target(drill=True)
        assert asked(shop, target)["may be restored"] == "the login has every right that a restore needs"
        shop.restore(target)
        assert shop.values(target.final) == THEN
        with shop.store.restored(shop.backup, target) as restored:
            assert restored.schema_differences() == []
        shop.server.container(target.final, "scalardb", "metadata").upsert_item({"id": "shop.gone"})
        with shop.store.restored(shop.backup, target) as restored:
            assert [said.partition(":")[0] for said in restored.schema_differences()] == ["shop/gone"]
        shop.store.discard(target)
        assert shop.server.accounts() == [LIVE]
        assert shop.values(LIVE) == NOW

    def test_what_is_placed_has_the_settings_of_the_mark(self, shop: Shop) -> None:
        target = shop.restore(shop.target(to="shop-new"))
        shop.store.place(shop.backup, target)
        assert (shop.values("shop-new"), shop.values(LIVE)) == (THEN, NOW)
        assert shop.settings("shop-new") == shop.settings(LIVE)
        scripts = shop.settings("shop-new")["coordinator/state"]["scripts"]
        assert scripts == [{"id": "mutate.js", "body": PROCEDURE}]
        with shop.store.restored(shop.backup, target) as restored:
            assert restored.schema_differences() == []
            said = restored.setting_differences()
            assert len(said) == 1
            assert (
                "role of 5b1c0c9e-9c2e-4c0a-8a2e-2a3f0c6d7e10 was 00000000-0000-0000-0000-000000000002 for the account, is not there"
                in said[0]
            )

    @pytest.mark.long
    def test_reads_are_strong_whatever_the_service_restores(self, cosmosdb_server: CosmosDB, tmp_path: Path) -> None:
        with shop_of(cosmosdb_server, tmp_path, restored_consistency="Session") as shop:
            target = shop.restore(shop.target(drill=True))
            assert shop.settings(target.final)["consistencyPolicy"]["defaultConsistencyLevel"] == "Strong"

    @pytest.mark.long
    def test_indexes_are_waited_for(self, cosmosdb_server: CosmosDB, tmp_path: Path) -> None:
        with shop_of(cosmosdb_server, tmp_path, reindexing=20.0) as shop:
            said: list[str] = []
            shop.restore(shop.target(drill=True), said.append)
            assert any("the service builds the indexes of" in each for each in said)

    @pytest.mark.parametrize("includes_second", [False, True])
    @pytest.mark.long
    def test_the_second_that_follows_makes_no_difference(self, cosmosdb_server: CosmosDB, tmp_path: Path, includes_second: bool) -> None:
        with shop_of(cosmosdb_server, tmp_path, includes_second=includes_second) as shop:
            target = shop.restore(shop.target(drill=True))
            assert shop.values(target.final) == THEN

    @pytest.mark.long
    @pytest.mark.fault(
        "The marked account is deleted",
        "It is restored from what Azure keeps of it.",
    )
    def test_a_deleted_account(self, shop: Shop) -> None:
        shop.server.arm.database_accounts.begin_delete(shop.server.GROUP, LIVE).result()
        target = shop.target(drill=True)
        assert "is kept still" in asked(shop, target)["can be restored to the instant"]
        shop.restore(target)
        assert shop.values(target.final) == THEN

    @pytest.mark.long
    @pytest.mark.fault(
        "Cosmos DB throttles, is away for a moment, or takes one change at a time",
        "The restore waits and goes on.",
    )
    def test_slow_and_busy(self, shop: Shop) -> None:
        shop.server.settings(restore=2.0, update=1.0, resource=0.3, delete=1.0, retry_after=1.0)
        shop.server.faults(
            {"kind": "throttling", "operations": ["control"], "every": 9, "times": 6},
            {"kind": "unavailable", "operations": ["control"], "every": 13, "times": 4},
            {"kind": "exclusive", "operations": ["DatabaseAccounts_Update"], "times": 2},
            {"kind": "throttling", "operations": ["data"], "every": 5, "times": 6},
        )
        target = shop.restore(shop.target(to="shop-new"))
        shop.store.place(shop.backup, target)
        shop.server.faults()
        assert shop.settings("shop-new") == shop.settings(LIVE)


class TestKilled:
    @pytest.mark.parametrize("after", [0, 2, 4, 5, 6, 7, 10, 20, 40])
    @pytest.mark.long
    @pytest.mark.fault(
        "kill -9 of a restore of a Cosmos DB account, at any of its calls",
        "The next try goes on; the account is asked for once, and can be removed.",
    )
    def test_killed_and_gone_on_with(self, shop: Shop, after: int) -> None:
        shop.server.settings(restore=0.5, update=0.3)
        target = shop.target(to="shop-new")
        shop.server.forget_calls()
        assert shop.killed("restore", target, after)
        shop.restore(target)
        begun = [
            each
            for each in shop.server.calls()["control"]
            if each["operation"] == "DatabaseAccounts_CreateOrUpdate" and each["status"] == 200
        ]
        assert len(begun) == 1
        assert shop.values("shop-new") == THEN
        shop.store.discard(target)
        assert shop.server.accounts() == [LIVE]

    @pytest.mark.long
    @pytest.mark.fault(
        "Cosmos DB begins a restore, and its answer is lost",
        "The account is found; nothing is asked for twice.",
    )
    def test_the_answer_to_the_restore_is_lost(self, shop: Shop) -> None:
        shop.server.faults({"kind": "error", "operations": ["DatabaseAccounts_CreateOrUpdate"], "after": True, "times": 1})
        target = shop.restore(shop.target(drill=True))
        assert shop.values(target.final) == THEN

    @pytest.mark.parametrize("after", [5, 25])
    @pytest.mark.parametrize("forward", [True, False])
    @pytest.mark.long
    @pytest.mark.fault(
        "kill -9 while a restored account is made ready for products, or taken back",
        "The next try ends it, either way.",
    )
    def test_killed_while_it_is_placed(self, shop: Shop, after: int, forward: bool) -> None:
        target = shop.restore(shop.target(to="shop-new"))
        assert shop.killed("place", target, after)
        if forward:
            shop.store.place(shop.backup, target)
            shop.store.discard(target)
            assert shop.settings("shop-new") == shop.settings(LIVE)
        else:
            shop.store.put_back(shop.backup, target)
            shop.store.discard(target)
            assert shop.server.accounts() == [LIVE]


class TestRefused:
    @pytest.mark.fault(
        "The name of the new account is taken",
        "Refused before anything is asked for; what is there is neither used nor removed.",
    )
    def test_a_name_that_is_taken(self, shop: Shop) -> None:
        shop.server.make_account("shop-new")
        target = shop.target(to="shop-new")
        with pytest.raises(StoreError, match="the name shop-new is taken"):
            asked(shop, target)
        with pytest.raises(TargetExistsError, match="is somebody else's"):
            shop.restore(target)
        shop.store.discard(target)
        assert "shop-new" in shop.server.accounts()

    @pytest.mark.long
    def test_one_that_is_taken_elsewhere_in_the_world(self, shop: Shop) -> None:
        shop.server.settings(taken=["shop-new"])
        with pytest.raises(TargetExistsError, match="the name shop-new is taken"):
            shop.restore(shop.target(to="shop-new"))

    @pytest.mark.fault(
        "Somebody else makes the same restore under the same name while the run is dead",
        "It is neither used nor deleted: it lacks the run's tag.",
    )
    def test_another_account_is_never_deleted(self, shop: Shop) -> None:
        """The same restore to the same second under the same name, made by somebody else while this run was dead: it lacks our tag."""
        target = shop.target(to="shop-new")
        assert shop.killed("restore", target, 0, "DatabaseAccounts_CreateOrUpdate")
        assert shop.server.accounts() == [LIVE]
        shop.server.restore(LIVE, "shop-new", shop.backup.midtime.timestamp())
        with pytest.raises(TargetExistsError, match="is somebody else's"):
            shop.restore(target)
        shop.store.discard(target)
        assert shop.values("shop-new") == THEN
        assert "DatabaseAccounts_Delete" not in shop.server.calls()["counts"]

    @pytest.mark.fault(
        "Cosmos DB says that the restore failed",
        "So does the task, each time it is asked, in the service's words.",
    )
    def test_the_operation_failed(self, shop: Shop) -> None:
        shop.server.faults({"kind": "failed", "operations": ["DatabaseAccounts_CreateOrUpdate"], "times": 1})
        target = shop.target(drill=True)
        for _ in range(2):
            with pytest.raises(RestoreFailedError, match="InternalServerError: The operation failed, as a test wants it"):
                shop.restore(target)
        shop.store.discard(target)
        assert shop.server.accounts() == [LIVE]

    @pytest.mark.long
    def test_a_container_that_was_not_there_then(self, shop: Shop) -> None:
        details = {**shop.backup.details, "containers": {**shop.backup.details["containers"], "shop/later": "x"}}
        backup = shop.backup.model_copy(update={"details": details})
        shop.server.data(LIVE).get_database_client("shop").create_container("later", {"paths": ["/id"], "kind": "Hash", "version": 2})
        with pytest.raises(NotRestorableError, match="shop/later was not there then"):
            require(ask("shop", shop.store.restore_questions(shop.target(), backup)))

    @pytest.mark.long
    @pytest.mark.fault(
        "Credentials expire while a restore of an account is waited for",
        "The task fails; the next try goes on with the same account.",
    )
    def test_expired_credentials(self, shop: Shop) -> None:
        target = shop.target(drill=True)
        shop.server.settings(restore=30.0)
        assert shop.store.restore(shop.backup, shop.shelf, target, print)
        shop.server.faults({"kind": "expired", "operations": ["control"]})
        with pytest.raises(StoreAccessError):
            shop.store.restore(shop.backup, shop.shelf, target, print)
        shop.server.faults()
        assert shop.store.restore(shop.backup, shop.shelf, target, print)

    @pytest.mark.long
    def test_a_right_that_is_missing(self, shop: Shop) -> None:
        shop.server.settings(permissions=[{"actions": ["*"], "notActions": [RESTORE]}])
        with pytest.raises(StoreAccessError, match=RESTORE):
            asked(shop, shop.target())


def test_the_key_is_nowhere(shop: Shop, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level("DEBUG"):
        target = shop.restore(shop.target(to="shop-new"))
        with shop.store.restored(shop.backup, target) as restored:
            list(restored.setting_differences())
        shop.store.place(shop.backup, target)
        found = shop.store.reached("shop-new")
    keys = [shop.server.key("shop-new"), shop.server.key(LIVE), shop.server.SECRET]
    assert found.password == keys[0]
    said = capsys.readouterr()
    everything = caplog.text + said.out + said.err + repr(found) + shop.backup.model_dump_json()
    assert not [key for key in keys if key in everything]
    for key in keys:
        assert subprocess.run(["grep", "-rF", key, str(shop.folder)], capture_output=True, check=False).returncode == 1


@pytest.fixture
def bank_set(cosmosdb_server: CosmosDB, tmp_path: Path) -> Iterator[Set]:
    cosmosdb_server.reset()
    cosmosdb_server.settings(lag=0.5, page=3)
    cosmosdb_server.make_account(LIVE)
    made = Set(cosmosdb_server, tmp_path, ScalarBank(cosmosdb_server, LIVE).load(), "bank")
    with login(cosmosdb_server):
        made.back_up()
        yield made


class TestBank:
    """As ScalarDB lays it out; with ScalarDB itself in ``test_cosmosdb_scalardb_restored``."""

    def test_the_verdict(self, bank_set: Set) -> None:
        for includes_second in (True, False):
            bank_set.server.settings(includes_second=includes_second)
            found = bank_set.drilled()
            assert found.good, found.summary()
            assert found.verdict
            assert found.verdict.outcome is Outcome.GOOD
            assert (found.marked, found.verdict.records_read) == (5, 10)
        bank_set.require_torn_beside_the_window()

    @pytest.mark.long
    def test_what_nobody_decided_is_found(self, bank_set: Set, monkeypatch: pytest.MonkeyPatch) -> None:
        """The Coordinator's row of one committed transfer goes: what its records say is not to be explained any more."""
        real, gone = Restoring.look, list[str]()

        def look(self: Restoring) -> Any:
            waiting = real(self)
            if waiting is None:
                bank = ScalarBank(bank_set.server, self.note.account)
                assert bank.total() == bank.expected_total
                values = bank.records()[0]
                bank.container("coordinator", "state").delete_item(values["tx_id"], values["tx_id"])
                gone.append(values["tx_id"])
            return waiting

        monkeypatch.setattr(Restoring, "look", look)
        found = bank_set.drilled()
        assert not found.good
        assert found.verdict
        assert gone[0] in str(found.verdict.to_dict())

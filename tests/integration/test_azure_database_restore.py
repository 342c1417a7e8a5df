"""A flexible server comes back to the marked second under another name, through the real SDKs over HTTPS, whoever is killed when."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from midtime.errors import NotRestorableError, RestoreFailedError, StoreAccessError, StoreError, TargetExistsError
from midtime.preflight import require
from midtime.stores.azure_database import restoring
from midtime.stores.base import Target, ask
from tests.integration.azure_database_setting import LIVE, PARAMETERS, SETTINGS, Shop, shop_of
from tests.stack.azure_database import AzureDatabase

pytestmark = pytest.mark.integration


@pytest.fixture(params=["postgresql", "mysql"])
def shop(request: pytest.FixtureRequest, azure_database_server: AzureDatabase, tmp_path: Path) -> Iterator[Shop]:
    with shop_of(azure_database_server, request.param, tmp_path) as made:
        yield made


def asked(shop: Shop, target: Target) -> dict[str, str]:
    return {check.question: check.detail for check in require(ask("shop", shop.store.restore_questions(target, shop.backup)))}


def begun(shop: Shop) -> int:
    """Restores that the service took."""
    calls = shop.server.calls()["control"]
    return sum(each["operation"] == "Servers_CreateOrUpdate" and each["status"] == 202 for each in calls)


class TestBackup:
    def test_the_preflight(self, shop: Shop) -> None:
        *checks, unread = ask("shop", shop.store.questions())
        assert (unread.question, unread.ok) == ("can be read", False), "there is no connection to data that nobody has put in"
        said = {check.question: check.detail for check in require(checks)}
        assert list(said) == ["is reachable", "is ready", "keeps a history", "may be marked"]
        assert said["may be marked"] == "the login has every right that a backup needs"
        assert said["keeps a history"].startswith("14 days, now since ")

    def test_the_mark_and_what_is_restorable(self, shop: Shop) -> None:
        assert shop.backup.details["resource"].endswith(f"/flexibleServers/{LIVE}")
        assert shop.backup.details["created_at"]
        assert shop.store.restorable(shop.backup).ready

    def test_made_anew_since(self, shop: Shop) -> None:
        shop.server.ask("DELETE", shop.server.path(shop.dialect, LIVE))
        shop.server.settings(delete=0.0)
        with pytest.raises(NotRestorableError, match="was deleted"):
            while True:
                shop.store.restorable(shop.backup)
        shop.server.make_server(shop.dialect, LIVE)
        with pytest.raises(NotRestorableError, match="is another server of that name"):
            shop.store.restorable(shop.backup)


class TestBeside:
    @pytest.mark.parametrize("inherits", [True, False])
    def test_what_is_placed_has_the_settings_of_the_mark(self, shop: Shop, inherits: bool) -> None:
        shop.server.settings(inherits=inherits)
        target = shop.target(to="shop-new")
        assert asked(shop, target)["may be restored"] == "the login has every right that a restore needs"
        shop.restore(target)
        assert shop.settings("shop-new")["highAvailability"]["mode"] == "Disabled"
        shop.store.place(shop.backup, target)
        assert shop.settings("shop-new") == shop.settings(LIVE)
        assert shop.server.server(shop.dialect, "shop-new")["tags"] == {
            "team": "shop", "midtime:copy": f"placed {target.working}", "midtime:topology": "shop", "midtime:restored": LIVE,
        }  # fmt: skip
        shop.store.discard(target)
        assert shop.servers() == [LIVE, "shop-new"]

    def test_a_drill_comes_and_goes(self, azure_database_server: AzureDatabase, shop: Shop) -> None:
        target = shop.restore(shop.target(drill=True))
        assert shop.settings(target.final)["parameters"] == PARAMETERS[shop.dialect]
        shop.store.discard(target)
        assert shop.servers() == [LIVE]

    @pytest.mark.fault(
        "Azure throttles, is away for a moment, or is busy with the same server",
        "The restore waits and goes on.",
    )
    def test_slow_and_busy(self, shop: Shop) -> None:
        shop.server.settings(restore=1.0, update=0.3, resource=0.1, delete=0.5, retry_after=1.0, inherits=False)
        shop.server.faults(
            {"kind": "throttling", "operations": ["control"], "every": 9, "times": 4},
            {"kind": "unavailable", "operations": ["control"], "every": 13, "times": 3},
            {"kind": "conflict", "operations": ["Servers_Update"], "times": 2},
        )
        target = shop.restore(shop.target(to="shop-new"))
        shop.store.place(shop.backup, target)
        shop.server.faults()
        assert shop.settings("shop-new") == shop.settings(LIVE)

    @pytest.mark.fault(
        "Azure's backups have not reached the instant, though the rule's time is over",
        "The restore waits, and asks for the server once they have.",
    )
    def test_too_early_is_waited_for(self, shop: Shop) -> None:
        shop.server.settings(lag=3600.0)
        target = shop.target(drill=True)
        waiting = shop.store.restore(shop.backup, shop.shelf, target, print)
        assert "have not come so far" in waiting.detail
        assert begun(shop) == 0
        shop.server.settings(lag=0.5)
        shop.restore(target)
        assert begun(shop) == 1

    @pytest.mark.fault(
        "Azure refuses a server parameter of the mark",
        "It is said in the verdict; the rest is put back.",
    )
    def test_a_parameter_that_the_service_refuses(self, shop: Shop) -> None:
        name, value = next(iter(PARAMETERS[shop.dialect].items()))
        shop.server.settings(inherits=False, refused=[name])
        target = shop.restore(shop.target(drill=True))
        assert shop.server.parameters(shop.dialect, target.final) == {
            key: each for key, each in PARAMETERS[shop.dialect].items() if (key, each) != (name, value)
        }


class TestKilled:
    @pytest.mark.parametrize("after", [0, 2, 4, 5, 6, 8])
    @pytest.mark.long
    @pytest.mark.fault(
        "kill -9 of a restore of a flexible server, at any of its calls",
        "The next try goes on; the server is asked for once, and can be removed.",
    )
    def test_killed_and_gone_on_with(self, shop: Shop, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """A call that hangs is not carried out: nobody has to wait for what might still come of it."""
        monkeypatch.setattr(restoring, "UNSEEN", timedelta(seconds=1))
        shop.server.settings(restore=0.5, update=0.3, inherits=False)
        target = shop.target(to="shop-new")
        assert shop.killed("restore", target, after)
        shop.restore(target)
        assert begun(shop) == 1
        shop.store.discard(target)
        assert shop.servers() == [LIVE]

    def test_killed_with_its_restore_on_the_way(self, shop: Shop) -> None:
        """The service never got it: it is asked for once the time is over in which it might have been seen."""
        target = shop.target(to="shop-new")
        assert shop.killed("restore", target, 0, "Servers_CreateOrUpdate")
        waiting = shop.store.restore(shop.backup, shop.shelf, target, print)
        assert "not to be seen yet" in waiting.detail
        assert begun(shop) == 0

    @pytest.mark.fault(
        "Azure begins a restore, and its answer is lost",
        "The server is found; nothing is asked for twice.",
    )
    def test_the_answer_to_the_restore_is_lost(self, shop: Shop) -> None:
        shop.server.faults({"kind": "error", "operations": ["Servers_CreateOrUpdate"], "after": True, "times": 1})
        shop.restore(shop.target(drill=True))
        assert shop.server.calls()["counts"]["Servers_CreateOrUpdate"] == 1


class TestRefused:
    @pytest.mark.fault(
        "The name of the new server is taken",
        "Refused before anything is asked for; what is there is neither used nor removed.",
    )
    def test_a_name_that_is_taken(self, shop: Shop) -> None:
        shop.server.make_server(shop.dialect, "shop-new")
        target = shop.target(to="shop-new")
        with pytest.raises(StoreError, match="the name shop-new is taken"):
            asked(shop, target)
        with pytest.raises(TargetExistsError, match="is somebody else's"):
            shop.restore(target)
        shop.store.discard(target)
        assert "shop-new" in shop.servers()

    def test_one_that_is_taken_elsewhere_in_the_world(self, shop: Shop) -> None:
        shop.server.settings(taken=["shop-new"])
        with pytest.raises(TargetExistsError, match="the name shop-new is taken"):
            shop.restore(shop.target(to="shop-new"))

    @pytest.mark.long
    @pytest.mark.fault(
        "No quota for the new server",
        "The restore fails at once, and nothing is on its way; the next try asks again.",
    )
    def test_quota(self, shop: Shop) -> None:
        """Nobody waits for it; and nothing is on its way."""
        target = shop.target(drill=True)
        shop.server.faults({"kind": "quota", "operations": ["Servers_CreateOrUpdate"], "times": 1})
        with pytest.raises(StoreAccessError, match=r"no quota.*QuotaExceeded"):
            shop.restore(target)
        assert shop.servers() == [LIVE]
        shop.restore(target)
        assert begun(shop) == 1

    @pytest.mark.fault(
        "The marked server is deleted",
        "Neither restorable nor restored, and the reason is said.",
    )
    def test_the_server_was_deleted_since(self, shop: Shop) -> None:
        """Azure may keep its backups for some days, but no restore of ours reaches them."""
        shop.server.settings(delete=0.0)
        shop.server.ask("DELETE", shop.server.path(shop.dialect, LIVE))
        shop.server.forget_calls()
        target = shop.target(to="shop-new")
        for doing in (lambda: asked(shop, target), lambda: shop.restore(target)):
            with pytest.raises(NotRestorableError, match="was deleted") as caught:
                doing()
            assert "use a newer restore point" in caught.value.fix
        assert begun(shop) == 0

    @pytest.mark.long
    @pytest.mark.fault(
        "The customer's own key is invalid",
        "The preflight says so, where the service does (PostgreSQL).",
    )
    def test_the_customers_key_is_gone(self, azure_database_server: AzureDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As the marked server says it, through the SDK's model of it."""
        key = {"type": "AzureKeyVault", "primaryKeyURI": "https://vault/keys/k/1", "primaryEncryptionKeyStatus": "Invalid"}
        monkeypatch.setitem(SETTINGS, "dataEncryption", key)
        for dialect, known in (("postgresql", True), ("mysql", False)):
            with shop_of(azure_database_server, dialect, tmp_path / dialect) as shop:
                if known:
                    with pytest.raises(StoreAccessError, match="the customer's key of the marked server cannot be used"):
                        asked(shop, shop.target())
                else:  # Azure Database for MySQL says nothing of it
                    asked(shop, shop.target())

    @pytest.mark.fault(
        "A subnet, DNS zone or identity of the server is gone",
        "The preflight names all of them; no restore is asked for.",
    )
    def test_what_it_is_made_with_is_gone(self, azure_database_server: AzureDatabase, tmp_path: Path) -> None:
        """Asked with the SDK's own client, before anything is asked for; what may not be looked up is no obstacle."""
        group = f"/subscriptions/{AzureDatabase.SUBSCRIPTION}/resourceGroups/{AzureDatabase.GROUP}/providers"
        subnet, zone = f"{group}/Microsoft.Network/virtualNetworks/net/subnets/db", f"{group}/Microsoft.Network/privateDnsZones/db.private"
        identity = f"{group}/Microsoft.ManagedIdentity/userAssignedIdentities/reader"
        with shop_of(azure_database_server, "postgresql", tmp_path) as shop:
            shop.backup = shop.backup.model_copy(update={"details": {**shop.backup.details, "needs": [subnet, zone, identity]}})
            question = "has what it is made with"
            assert asked(shop, shop.target())[question] == "subnet db, private DNS zone db.private, identity reader"
            shop.server.settings(permissions=[{"actions": ["*"], "notActions": ["Microsoft.Network/privateDnsZones/read"]}])
            assert "db.private (may not be looked up)" in asked(shop, shop.target())[question]
            shop.server.settings(gone=[subnet, identity])
            with pytest.raises(StoreAccessError, match=f"is gone: subnet {subnet}, identity {identity}"):
                asked(shop, shop.target())
            assert begun(shop) == 0

    @pytest.mark.fault(
        "The service says that the restore failed",
        "So does the task, each time it is asked, in the service's words.",
    )
    def test_the_operation_failed(self, shop: Shop) -> None:
        shop.server.faults({"kind": "failed", "operations": ["Servers_CreateOrUpdate"], "times": 1})
        target = shop.target(drill=True)
        for _ in range(2):
            with pytest.raises(RestoreFailedError, match="InternalServerError: The operation failed, as a test wants it"):
                shop.restore(target)
        shop.store.discard(target)
        assert shop.servers() == [LIVE]

    @pytest.mark.fault(
        "Credentials expire while a restore on Azure is waited for",
        "The task fails; the next try goes on with the same server.",
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

    def test_a_right_that_is_missing(self, shop: Shop) -> None:
        shop.server.settings(permissions=[{"actions": ["*"], "notActions": ["*/flexibleServers/write"]}])
        with pytest.raises(StoreAccessError, match="flexibleServers/write"):
            asked(shop, shop.target())


def test_the_secret_is_nowhere(shop: Shop, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level("DEBUG"):
        target = shop.restore(shop.target(to="shop-new"))
        shop.store.place(shop.backup, target)
    said = capsys.readouterr()
    secret = shop.server.SECRET
    assert secret not in caplog.text + said.out + said.err + shop.backup.model_dump_json()
    assert subprocess.run(["grep", "-rF", secret, str(shop.folder)], capture_output=True, check=False).returncode == 1

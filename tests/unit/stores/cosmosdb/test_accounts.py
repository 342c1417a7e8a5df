"""Whether an account, or what is kept of it, can be restored to an instant; from ARM's own words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from midtime.stores.cosmosdb.accounts import Account, History, Kept, _account, folded

NOW = datetime(2026, 11, 29, 10, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SAID: dict[str, Any] = {
    "id": "/subscriptions/1/…/databaseAccounts/bank-prod", "kind": "GlobalDocumentDB", "location": "Japan East",
    "properties": {
        "instanceId": "one", "provisioningState": "Succeeded", "documentEndpoint": "https://bank-prod.documents.azure.com:443/",
        "writeLocations": [{"locationName": "Japan East", "documentEndpoint": "https://bank-prod-japaneast.documents.azure.com:443/"}],
        "locations": [{"locationName": "Japan East"}, {"locationName": "Japan West"}], "consistencyPolicy": {"defaultConsistencyLevel": "Strong"},
        "backupPolicy": {"type": "Continuous", "continuousModeProperties": {"tier": "Continuous7Days"}},
    },
}  # fmt: skip
KEPT = Kept("/subscriptions/1/…/restorableDatabaseAccounts/one", "one", NOW - 24 * HOUR, None, {"japaneast": (NOW - 24 * HOUR, None)})


def account(**properties: Any) -> Account:
    return _account({**SAID, "properties": {**SAID["properties"], **properties}})


def kept(**changes: Any) -> Kept:
    return Kept(**{"arm_id": KEPT.arm_id, "instance": "one", "oldest": KEPT.oldest, "deleted_at": None, "regions": KEPT.regions, **changes})


class TestUnfit:
    def test_one_that_fits(self) -> None:
        history = History(account(), KEPT)
        assert history.unfit(NOW) == history.unfit(NOW, instance="one", region="japan east") == ""
        assert history.unfit(NOW - 24 * HOUR) == ""

    @pytest.mark.parametrize(
        ("history", "said"),
        [
            (History(None, None), "was deleted"),
            (History(account(instanceId="two"), KEPT), "is another account of that name, instance two"),
            (History(account(backupPolicy={"type": "Periodic"}), KEPT), "has periodic backups"),
            (History(account(backupPolicy=None), KEPT), "has periodic backups"),
            (History(account(), None), "is not among the accounts that can be restored"),
            (History(account(), kept(deleted_at=NOW)), "is not among the accounts that can be restored"),
            (History(account(), kept(oldest=NOW + HOUR)), "has a history that begins at 2026-11-29T11:00:00Z, behind 2026-11-29T10:00:00Z"),
            (History(account(), kept(regions={})), "has no backups in Japan East"),
            (
                History(account(), kept(regions={"japaneast": (NOW + HOUR, None)})),
                "keeps backups in Japan East since 2026-11-29T11:00:00Z only",
            ),
            (History(account(locations=[{"locationName": "Japan West"}]), KEPT), "is in Japan East no more"),
        ],
    )
    def test_why_not(self, history: History, said: str) -> None:
        assert history.unfit(NOW, instance="one", region="Japan East").startswith(said)

    def test_a_region_that_was_left_behind(self) -> None:
        """What was kept there before is there still; what is younger is not."""
        left = kept(regions={"japaneast": (NOW - 24 * HOUR, NOW)})
        assert left.unfit(NOW - HOUR, "Japan East") == ""
        assert left.unfit(NOW + HOUR, "Japan East").startswith("keeps no backups in Japan East since")

    def test_a_failover_leaves_the_marked_region(self) -> None:
        """It is asked how far its own backups reach, wherever the account is written by now."""
        moved = account(writeLocations=[{"locationName": "Japan West"}])
        assert moved.region == "Japan West"
        assert History(moved, KEPT).unfit(NOW, region="Japan East") == ""
        assert History(moved, KEPT).unfit(NOW) == "has no backups in Japan West"


@pytest.mark.parametrize(
    ("policy", "days", "moving"),
    [
        ({"type": "Continuous", "continuousModeProperties": {"tier": "Continuous7Days"}}, 7, False),
        ({"type": "Continuous", "continuousModeProperties": {"tier": "Continuous30Days"}}, 30, False),
        ({"type": "Continuous"}, 30, False),
        ({"type": "Periodic", "periodicModeProperties": {"backupIntervalInMinutes": 240}}, None, False),
        ({"type": "Periodic", "migrationState": {"status": "InProgress", "targetType": "Continuous"}}, None, True),
    ],
)
def test_backup_policies(policy: dict[str, Any], days: int | None, *, moving: bool) -> None:
    found = account(backupPolicy=policy)
    assert (found.days, found.moving) == (days, moving)


@pytest.mark.parametrize(
    ("kind", "capabilities", "api"),
    [
        ("GlobalDocumentDB", [], "NoSQL"),
        ("GlobalDocumentDB", ["EnableServerless"], "NoSQL"),
        ("GlobalDocumentDB", ["EnableCassandra"], "Cassandra"),
        ("MongoDB", ["EnableMongo"], "MongoDB"),
        ("MongoDB", [], "MongoDB"),
    ],
)
def test_apis(kind: str, capabilities: list[str], api: str) -> None:
    said = {**SAID, "kind": kind, "properties": {**SAID["properties"], "capabilities": [{"name": name} for name in capabilities]}}
    assert _account(said).api == api


def test_one_region_has_many_spellings() -> None:
    assert folded("Japan East") == folded("japaneast") == folded("JapanEast")

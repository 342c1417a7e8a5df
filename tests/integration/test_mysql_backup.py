"""Backup of a real MariaDB."""
from __future__ import annotations
import pytest
from midtime.stores.base import ask
from midtime.verification import verify
from tests.integration.mysql_setting import MysqlSetting

pytestmark = pytest.mark.integration

def test_round_trip(mysql_setting: MysqlSetting) -> None:
    for check in ask("accounts", mysql_setting.store.questions()):
        print(check.question, check.detail)
        assert check.ok
    manifest, target = mysql_setting.restored(drill=True)
    print(manifest.stores[0].details.keys(), target)
    for check in ask("accounts", mysql_setting.store.restore_questions(target, manifest.stores[0])):
        print(check.question, check.detail)
        assert check.ok
    found = verify(mysql_setting.topology, manifest, [target])
    print(found.summary())
    assert found.good
    mysql_setting.store.discard(target)

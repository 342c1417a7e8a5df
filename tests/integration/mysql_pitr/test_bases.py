"""The full dumps that points start from: damaged, grown old, renewed in vain."""

from __future__ import annotations

from pathlib import Path

import pytest

from midtime.catalog.bases import Bases
from midtime.errors import ArtifactError, ManifestError
from tests.integration.mysql_pitr.setting import balances, base_folder, restore, store_of
from tests.integration.mysql_setting import MysqlSetting

pytestmark = pytest.mark.integration


def damage_remove(path: Path) -> None:
    path.unlink()


def damage_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def damage_change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damaged(pitr: MysqlSetting) -> None:
    """Whatever a point needs is missing, short or altered: it is no longer restorable, or its restore refuses; nothing is left of that."""
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1")
    point, backup = pitr.back_up()
    target = pitr.target()
    for what in ("binlog/*.gz", "accounts/dump.sql.gz", "base.json"):
        path = next(base_folder(pitr, backup).glob(what))
        whole = path.read_bytes()
        for damage in (damage_remove, damage_cut, damage_change):
            damage(path)
            if damage is not damage_change or what == "base.json":
                with pytest.raises((ArtifactError, ManifestError)):
                    store_of(pitr).restorable(backup)
                assert isinstance(pitr.refusal(target, backup), (ArtifactError, ManifestError))
            with pytest.raises((ArtifactError, ManifestError)):
                pitr.store.restore(backup, pitr.shelf(point), target, lambda _: None)
            assert not [name for name in pitr.databases() if name.startswith("midtime_tmp")]
            path.write_bytes(whole)
    assert store_of(pitr).restorable(backup).ready
    assert balances(pitr, restore(pitr, point, backup)) == {1: 1, 2: 1, 3: 1}


def test_descriptions_are_copied_into_the_manifest(pitr: MysqlSetting) -> None:
    """What lies beside a base later cannot change what a restore point means; what is lost there is fetched again."""
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1")
    point, backup = pitr.back_up()
    for path in (base_folder(pitr, backup) / "binlog").glob("*.json"):
        path.unlink()
    assert balances(pitr, restore(pitr, point, backup)) == {1: 1, 2: 1000, 3: 1000}
    _, again = pitr.back_up()
    assert again.details["base"] == backup.details["base"]
    lacking = backup.model_copy(update={"details": {**backup.details, "binlog": {**backup.details["binlog"], "segments": []}}})
    with pytest.raises(ArtifactError, match="the restore point is at"):
        store_of(pitr).restorable(lacking)


def test_a_base_that_has_grown_old(pitr: MysqlSetting) -> None:
    """It serves this backup; the next one has a new one. A failure of the new one is no failure of the backup."""
    pitr.back_up()
    pitr.change_store(binlog={"full_every": "1ms"})
    pitr.execute("UPDATE {bank}.acct SET balance = 5 WHERE id = 1")
    point, backup = pitr.back_up()
    assert len(backup.details["binlog"]["segments"]) == 1
    bases = Bases(pitr.catalog, "accounts")
    newest = bases.newest()
    assert newest is not None
    assert newest.id != backup.details["base"]["id"]
    _, following = pitr.back_up()
    assert following.details["base"] == newest.reference
    assert balances(pitr, restore(pitr, point, backup)) == {1: 5, 2: 1000, 3: 1000}


def test_a_renewal_that_fails(pitr: MysqlSetting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    pitr.back_up()
    pitr.change_store(binlog={"full_every": "1ms"})
    store = store_of(pitr)
    with store.arm() as armed:
        capture = armed.fix()
        monkeypatch.setenv("PATH", "/nowhere")
        backup = store.copy(capture, pitr.shelf("p"), lambda _: None)
    assert "the next one failed" in caplog.text
    assert store.restorable(backup).ready

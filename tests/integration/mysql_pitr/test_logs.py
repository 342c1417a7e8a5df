"""The binary log between a full dump and a point: in other files, gone, another one, archived, unreadable."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from midtime.catalog.bases import Bases
from midtime.errors import ArtifactError, RequestError, RestoreFailedError
from midtime.model.restore_point import StoreBackup
from tests.integration.mysql_pitr.setting import balances, base_folder, restore, store_of
from tests.integration.mysql_setting import MysqlSetting

pytestmark = pytest.mark.integration


def test_the_log_goes_on_in_other_files(pitr: MysqlSetting) -> None:
    """Rotated, and begun anew after a crash."""
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1; FLUSH BINARY LOGS; FLUSH BINARY LOGS")
    pitr.execute("UPDATE {bank}.acct SET balance = 2 WHERE id = 2")
    pitr.server.kill()
    pitr.server.start()
    pitr.execute("UPDATE {bank}.acct SET balance = 3 WHERE id = 3")
    pitr.back_up()
    pitr.server.restart()
    point, backup = pitr.back_up()
    segments = backup.details["binlog"]["segments"]
    assert len({segment["file"] for segment in segments}) == 5
    assert balances(pitr, restore(pitr, point, backup)) == {1: 1, 2: 2, 3: 3}


@pytest.mark.parametrize("loss", ["RESET MASTER", "PURGE BINARY LOGS TO '{last}'"])
def test_the_log_is_gone(pitr: MysqlSetting, loss: str) -> None:
    """A new full dump; the points before stay what they are."""
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1")
    point, backup = pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 2 WHERE id = 1; FLUSH BINARY LOGS; UPDATE {bank}.acct SET balance = 3 WHERE id = 1")
    kept = backup.details["binlog"]["segments"][-1]["file"]
    for _ in range(100):  # the server keeps for a moment what its recovery may need
        pitr.server.execute(loss.format(last=pitr.server.execute("SHOW BINARY LOGS")[-1][0]))
        if loss == "RESET MASTER" or kept not in [row[0] for row in pitr.server.execute("SHOW BINARY LOGS")]:
            break
        pitr.server.execute("FLUSH BINARY LOGS")
        time.sleep(0.1)
    pitr.execute(
        "UPDATE {bank}.acct SET balance = 4 WHERE id = 1; INSERT INTO {bank}.acct (id, name) SELECT id + 1000, repeat('x', 99) FROM {bank}.acct"
    )
    following = pitr.back_up()
    assert following[1].details["base"] != backup.details["base"]
    assert balances(pitr, restore(pitr, point, backup))[1] == 1
    assert balances(pitr, restore(pitr, *following, run="00000f"))[1] == 4


def test_another_log_at_the_same_position(pitr: MysqlSetting) -> None:
    """Begun anew, and at the very position at which the full dump was: what changed meanwhile is not in it."""
    pitr.server.execute("RESET MASTER")
    first = pitr.back_up()[1]
    while pitr.server.execute("SELECT UNIX_TIMESTAMP() = %s", args=(born_of(pitr, first),))[0][0]:
        time.sleep(0.1)
    pitr.execute("SET SESSION sql_log_bin = 0; UPDATE {bank}.acct SET balance = 1 WHERE id = 1")
    pitr.server.execute("RESET MASTER")
    point, backup = pitr.back_up()
    assert backup.details["binlog"]["position"] == first.details["binlog"]["position"]
    assert balances(pitr, restore(pitr, point, backup))[1] == 1


def born_of(setting: MysqlSetting, backup: StoreBackup) -> int:
    return int(Bases(setting.catalog, "accounts").of(backup).details["born"])


def test_other_databases_need_another_full_dump(pitr: MysqlSetting) -> None:
    pitr.back_up()
    pitr.execute("CREATE DATABASE more_{bank}; CREATE TABLE more_{bank}.t (id int PRIMARY KEY)")
    pitr.change_store(namespaces=[pitr.names("{bank}"), pitr.names("more_{bank}")])
    _, backup = pitr.back_up()
    assert pitr.names("more_{bank}.t") in backup.details["shapes"]


def test_a_log_that_the_server_cannot_read(pitr: MysqlSetting) -> None:
    """It says so in the middle of the log; the backup begins anew, instead of failing there for ever."""
    _, before = pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1; FLUSH BINARY LOGS")
    *_, (name, size, *_), _ = pitr.server.execute("SHOW BINARY LOGS")
    os.truncate(pitr.server.data_dir / name, size - 5)
    try:
        assert pitr.back_up()[1].details["base"] != before.details["base"]
    finally:
        pitr.execute("RESET MASTER")


def archive_of(setting: MysqlSetting, tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    folder.mkdir()
    setting.change_store(binlog={"archive": f"file://{folder}"})
    return folder


def fill(setting: MysqlSetting, folder: Path) -> None:
    """What somebody's job does: copies files that are complete."""
    *complete, _ = setting.server.execute("SHOW BINARY LOGS")
    for name, *_ in complete:
        shutil.copy(setting.server.data_dir / name, folder)


def test_an_archive(pitr: MysqlSetting, tmp_path: Path) -> None:
    """Somebody else keeps the log: the point waits for it, is looked for there, and refuses what is not the server's file."""
    folder = archive_of(pitr, tmp_path)
    assert "is empty" in str(pitr.failing())
    fill(pitr, folder) if len(pitr.server.execute("SHOW BINARY LOGS")) > 1 else (folder / "x").touch()
    pitr.back_up()
    pitr.execute("UPDATE {bank}.acct SET balance = 1 WHERE id = 1; FLUSH BINARY LOGS; UPDATE {bank}.acct SET balance = 2 WHERE id = 2")
    point, backup = pitr.back_up()
    store = store_of(pitr)
    assert not list(base_folder(pitr, backup).glob("binlog/*.gz"))
    assert (store.restorable(backup).ready, isinstance(pitr.refusal(pitr.target(), backup), RequestError)) == (False, True)
    fill(pitr, folder)
    assert store.restorable(backup).ready
    assert balances(pitr, restore(pitr, point, backup)) == {1: 1, 2: 2, 3: 1000}
    last = folder / backup.details["binlog"]["segments"][-1]["file"]
    whole = last.read_bytes()
    for bad in (whole[:200], whole[:-1] if len(whole) < 5 else b"x" + whole[1:], bytes([*whole[:310], whole[310] ^ 1, *whole[311:]])):
        last.write_bytes(bad)
        with pytest.raises((ArtifactError, RestoreFailedError)):
            pitr.store.restore(backup, pitr.shelf(point), pitr.target(run="00000a"), lambda _: None)
    last.unlink()
    assert not store.restorable(backup).ready
    with pytest.raises(ArtifactError, match="is missing"):
        pitr.store.restore(backup, pitr.shelf(point), pitr.target(run="00000a"), lambda _: None)
    pitr.change_store(binlog={})
    with pytest.raises(RequestError, match="names none any more"):
        store_of(pitr).restorable(backup)

"""A MySQL store's way into place undone: however far it came, what was live is live again, byte for byte."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from mysql.connector.errors import NotSupportedError

from midtime.errors import MidtimeError, RestoreFailedError, StoreAccessError, StoreUnreachableError, TargetExistsError
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Target
from midtime.stores.mysql import notes
from midtime.stores.mysql.connections import Session
from tests.integration.dying import dying_at_each
from tests.integration.mysql_setting import MysqlSetting, everything

pytestmark = pytest.mark.integration

MORE = """
CREATE SEQUENCE {bank}.s; CREATE TABLE {bank}.d (id int PRIMARY KEY DEFAULT nextval({bank}.s));
CREATE TABLE {scalardb}.kid (id int, CONSTRAINT k FOREIGN KEY (id) REFERENCES {bank}.acct (id));
CREATE VIEW {bank}.lasting AS SELECT 1 AS one;
CREATE FUNCTION {bank}.total() RETURNS int READS SQL DATA RETURN (SELECT sum(balance) FROM {bank}.acct);
CREATE VIEW {bank}.rich AS SELECT id FROM {bank}.acct;
CREATE PROCEDURE {bank}.nothing() SELECT 1;
CREATE TRIGGER {bank}.audit BEFORE UPDATE ON {bank}.acct FOR EACH ROW SET NEW.name = OLD.name;
CREATE EVENT {bank}.nightly ON SCHEDULE EVERY 1 DAY STARTS '2035-01-01 00:00:00' DO DELETE FROM {bank}.acct
"""
SINCE = """
DROP FUNCTION {bank}.total; DROP VIEW {bank}.rich; DROP PROCEDURE {bank}.nothing; DROP TRIGGER {bank}.audit; DROP EVENT {bank}.nightly;
UPDATE {bank}.acct SET balance = 0
"""


@pytest.fixture
def replaced(mysql_setting: MysqlSetting) -> tuple[MysqlSetting, RestorePoint, Target]:
    """Restored, to be placed over live databases that have changed, and have lost views, routines, triggers and events since."""
    mysql_setting.execute(MORE)
    manifest, target = mysql_setting.restored(in_place=True)
    mysql_setting.execute(SINCE)
    return mysql_setting, manifest, target


def _changes(query: str) -> bool:
    return not query.lstrip().startswith(("SELECT", "SHOW", "SET", "USE"))


@pytest.mark.long  # some forty ways to die, each there and back
@pytest.mark.timeout(900)
def test_mariadb_killed_before_each_statement(replaced: tuple[MysqlSetting, RestorePoint, Target], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of either way; the programs, databases and defaults that were made are gone, the kept ones as they were; then it can be placed again."""
    setting, manifest, target = replaced
    store, backup, before = setting.store, manifest.stores[0], everything(setting)

    def back() -> None:
        store.put_back(backup, target)

    def forth() -> None:
        store.place(backup, target)

    steps = {}
    for way, step in dying_at_each(monkeypatch, Session, "rows", _changes, forth, back):
        assert everything(setting) == before, (way, step)
        steps[way] = step
    assert all(step > 8 for step in steps.values()), steps
    forth()
    assert setting.execute("SELECT sum(balance), {bank}.total() FROM {bank}.acct") == [(500_000, 500_000)]
    assert len(everything(setting)["trigger"]) == len(everything(setting)["event"]) == 1


def test_mariadb_beside_the_names_are_free_again(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute(MORE)
    manifest, target = mysql_setting.restored()
    before = everything(mysql_setting)
    for _ in range(2):
        mysql_setting.place(manifest, target)
        assert len(mysql_setting.databases()) == 9
        for _ in range(2):
            mysql_setting.store.put_back(manifest.stores[0], target)
            assert everything(mysql_setting) == before
    mysql_setting.store.discard(target)
    assert len(mysql_setting.databases()) == 3


def test_mariadb_of_lost_databases(mysql_setting: MysqlSetting) -> None:
    manifest, target = mysql_setting.restored(in_place=True)
    mysql_setting.execute("DROP DATABASE {bank}; DROP DATABASE {coordinator}")
    before = mysql_setting.databases()
    mysql_setting.place(manifest, target)
    mysql_setting.store.put_back(manifest.stores[0], target)
    assert mysql_setting.databases() == before


def test_mariadb_what_place_did_not_make_stays(replaced: tuple[MysqlSetting, RestorePoint, Target]) -> None:
    """Somebody works in the restored databases, and in those that were made, before they are put back."""
    setting, manifest, target = replaced
    aside = f"bank_{setting.mark}_before_abc123"
    setting.place(manifest, target)
    setting.execute("CREATE TABLE {bank}.mine (id int); INSERT INTO {bank}.mine VALUES (7); CREATE VIEW {bank}.my_view AS SELECT 1")
    setting.server.execute(f"CREATE TABLE {aside}.notes (id int)")
    setting.store.put_back(manifest.stores[0], target)
    setting.store.discard(target)
    assert setting.execute("SELECT id FROM {bank}.mine") == [(7,)]
    assert setting.execute("SELECT * FROM {bank}.my_view") == [(1,)]
    assert setting.server.execute(f"SHOW TABLES FROM {aside}") == [("notes",)]
    assert setting.execute("SELECT sum(balance) FROM {bank}.acct") == [(0,)]
    assert setting.databases() == {*setting.names("{bank} {coordinator} {scalardb}").split(), aside}


def test_mariadb_databases_made_beforehand_stay(mysql_setting: MysqlSetting) -> None:
    """An empty one was made for us by somebody, with its grants: it is not ours to drop."""
    manifest, target = mysql_setting.restored(in_place=True)
    made = f"bank_{mysql_setting.mark}_before_abc123"
    mysql_setting.server.execute(f"CREATE DATABASE {made}")
    mysql_setting.place(manifest, target)
    mysql_setting.store.put_back(manifest.stores[0], target)
    assert mysql_setting.databases() - set(mysql_setting.working(target).values()) >= {made}


def test_mariadb_a_kept_table_is_gone(replaced: tuple[MysqlSetting, RestorePoint, Target]) -> None:
    setting, manifest, target = replaced
    setting.place(manifest, target)
    setting.server.execute(f"DROP TABLE bank_{setting.mark}_before_abc123.empty")
    with pytest.raises(RestoreFailedError, match=r"_before_abc123\.empty was kept and is gone"):
        setting.store.put_back(manifest.stores[0], target)
    assert setting.execute("SELECT sum(balance) FROM {bank}.acct") == [(500_000,)], "nothing was moved"


def test_mariadb_a_working_copy_that_is_gone_cannot_tell(replaced: tuple[MysqlSetting, RestorePoint, Target]) -> None:
    setting, manifest, target = replaced
    setting.place(manifest, target)
    setting.store.discard(target)
    with pytest.raises(RestoreFailedError, match="cannot be told"):
        setting.store.put_back(manifest.stores[0], target)


def test_mariadb_refused_places_leave_nothing(mysql_setting: MysqlSetting) -> None:
    manifest, target = mysql_setting.restored(wish=TargetWish(prefix="copy"))
    final = f"copy_bank_{mysql_setting.mark}"
    mysql_setting.server.execute(f"CREATE DATABASE {final}; CREATE TABLE {final}.appeared (id int)")
    before = everything(mysql_setting)
    with pytest.raises(TargetExistsError, match="appeared"):
        mysql_setting.place(manifest, target)
    mysql_setting.store.put_back(manifest.stores[0], target)
    assert everything(mysql_setting) == before
    mysql_setting.store.discard(target)
    with pytest.raises((StoreAccessError, MidtimeError), match="gone"):
        mysql_setting.place(manifest, target)
    mysql_setting.store.put_back(manifest.stores[0], target)
    assert everything(mysql_setting) == before


# -- MariaDB: a place whose task is dead still waits on the server ------------------------------------------------------------------------

WAITING = (
    "SELECT count(*) FROM information_schema.processlist WHERE info LIKE '%{}%' AND (state LIKE 'Waiting for%' OR state = 'User lock')"
)


class Attempt(threading.Thread):
    """One call and the error it ended with."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.call = call
        self.error: MidtimeError | None = None
        self.start()

    def run(self) -> None:
        try:
            self.call()
        except MidtimeError as error:
            self.error = error


def wait_for(setting: MysqlSetting, sessions: int, or_end_of: Attempt) -> None:
    """Until so many of this test's statements wait for a lock, or the attempt is over."""
    deadline = time.monotonic() + 30
    while or_end_of.is_alive() and setting.server.execute(WAITING.format(setting.mark)) < [(sessions,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(params=["locks", "no locks, as in a cluster"])
def locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    real = Session.rows

    def rows(self: Session, query: str, *args: Any) -> list[tuple[Any, ...]]:
        if "GET_LOCK" in query:
            raise NotSupportedError("This version of MariaDB doesn't yet support 'GET_LOCK in cluster (WSREP_ON=ON)'", errno=1235)
        return real(self, query, *args)

    if request.param != "locks":
        monkeypatch.setattr(Session, "rows", rows)
    return bool(request.param == "locks")


@pytest.mark.parametrize("held", ["{bank}.acct", "{scalardb}.metadata"], ids=["put back is first", "place has the marker"])
def test_mariadb_place_hangs_while_it_is_put_back(mysql_setting: MysqlSetting, *, locks: bool, held: str) -> None:
    """RENAME takes its locks by name: one blocker stops it before it has our table (midtime_...), the other one after."""
    manifest, target = mysql_setting.restored(in_place=True)
    mysql_setting.execute("UPDATE {bank}.acct SET balance = 7")
    store, backup, before = mysql_setting.store, manifest.stores[0], everything(mysql_setting)
    with closing(mysql_setting.server.connect(autocommit=False)) as blocker, closing(blocker.cursor()) as cursor:
        cursor.execute(mysql_setting.names(f"SELECT count(*) FROM {held}"))
        cursor.fetchall()
        place = Attempt(lambda: store.place(backup, target))
        wait_for(mysql_setting, 1, place)
        assert place.is_alive()
        back = Attempt(lambda: store.put_back(backup, target))
        wait_for(mysql_setting, 2, back)
        blocker.commit()
        for attempt in (place, back):
            attempt.join(60)
            assert not attempt.is_alive()
    assert back.error is None
    for again in range(2):
        after = everything(mysql_setting)
        left = set(after.pop("databases")) - set(before["databases"])
        assert after == {key: value for key, value in before.items() if key != "databases"}, again
        assert bool(left) is not locks, "a database is only dropped where nothing can be moved into it meanwhile"
        mysql_setting.place(manifest, target)
        assert mysql_setting.execute("SELECT sum(balance) FROM {bank}.acct") == [(500_000,)]
        store.put_back(backup, target)


def test_mariadb_one_at_a_time(mysql_setting: MysqlSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, target = mysql_setting.restored(in_place=True)
    before = everything(mysql_setting)
    monkeypatch.setattr(notes, "_WAIT_SECONDS", 0)
    with closing(mysql_setting.server.connect()) as other, closing(other.cursor()) as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", (mysql_setting.working(target)["bank"],))
        assert cursor.fetchall() == [(1,)]
        for call in (mysql_setting.store.place, mysql_setting.store.put_back):
            with pytest.raises(StoreUnreachableError, match="another session is still"):
                call(manifest.stores[0], target)
    assert everything(mysql_setting) == before

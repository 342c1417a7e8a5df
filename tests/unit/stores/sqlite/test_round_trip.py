"""Backup, restore, verification, placing: the whole way, and what it leaves behind."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from midtime.errors import RequestError
from midtime.preflight import backup_checks, require, restore_checks
from midtime.stores.base import ask
from tests.unit.stores.sqlite.setting import ROWS, SCHEMA, TOTAL, SqliteSetting, execute, make_database, setting_of

EVERYTHING = """
PRAGMA page_size = 8192; PRAGMA auto_vacuum = 1; PRAGMA user_version = 7; PRAGMA application_id = 4711;
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT);
INSERT INTO counted (a) VALUES ('x'), ('y'); DELETE FROM counted WHERE id = 2;
CREATE TABLE keyed (a TEXT, b BLOB, c, PRIMARY KEY (a, b)) WITHOUT ROWID;
INSERT INTO keyed VALUES ('k', x'00ff', 1), ('k', x'01', 2.5);
CREATE TABLE strict (a INT, b ANY) STRICT; INSERT INTO strict VALUES (1, 'x');
CREATE TABLE generated (a INT, v INT AS (a + 1) VIRTUAL, s INT AS (a * 2) STORED); INSERT INTO generated (a) VALUES (3);
CREATE VIRTUAL TABLE words USING fts5 (body); INSERT INTO words VALUES ('full text');
CREATE VIRTUAL TABLE boxes USING rtree (id, low, high); INSERT INTO boxes VALUES (1, 0, 1);
CREATE VIEW shown AS SELECT a FROM counted;
CREATE TRIGGER follow AFTER INSERT ON strict BEGIN INSERT INTO counted (a) VALUES ('t'); END;
CREATE INDEX partial ON counted (a) WHERE id > 1;
CREATE TABLE "odd ""name" (x); INSERT INTO "odd ""name" VALUES (1);
CREATE TABLE "per%cent?#" (x); CREATE TABLE "ünï$cödé" (x); CREATE TABLE "a.b" (x); CREATE TABLE "a$b" (x); CREATE TABLE [] (x);
ANALYZE;
"""


def test_what_everybody_does(setting: SqliteSetting) -> None:
    checks = require(backup_checks(setting.topology, setting.catalog))
    assert [check.question for check in checks[3:]] == [
        "is a SQLite file",
        "has every namespace",
        "lets us read every table",
        "can be compressed",
        "has staging space",
    ]
    manifest, target = setting.restored()
    assert target.final == f"{setting.path.parent}/bank_restored_abc123.db"
    found = setting.look(manifest, target)
    assert found.good, found.summary()
    assert (found.tables, found.rows) == (4, 1003)
    setting.store.place(manifest.stores[0], target)
    setting.store.discard(target)
    assert execute(target.final, 'SELECT sum(balance) FROM "bank$acct"') == [(TOTAL,)]
    assert setting.files() == {"bank.db", "bank_restored_abc123.db"}
    assert stat.S_IMODE(os.stat(target.final).st_mode) == 0o600


def test_the_journal_mode_comes_back(setting: SqliteSetting, journal_mode: str) -> None:
    manifest, target = setting.restored()
    setting.store.place(manifest.stores[0], target)
    assert execute(target.final, "PRAGMA journal_mode") == [(journal_mode,)]


def test_a_backup_leaves_nothing_behind(setting: SqliteSetting, tmp_path: Path) -> None:
    """No log beside the database, nothing plain on the worker."""
    setting.back_up()
    assert setting.files() == {"bank.db"}
    assert list((tmp_path / "staging").iterdir()) == []


def test_what_people_look_at(setting: SqliteSetting) -> None:
    _, backup = setting.back_up()
    (artifact,) = backup.artifacts
    assert artifact.path == "accounts/database.sqlite.gz"
    assert {table.name: table.rows for table in backup.tables} == {
        "bank.acct": 500,
        "coordinator.state": 500,
        "scalardb.metadata": 0,
        "notes": 3,
    }
    assert backup.details["size"] == setting.path.stat().st_size
    assert (backup.details["file"], backup.details["compression"]) == (str(setting.path), "gzip")


def test_everything_that_a_file_may_hold(folder: Path, tmp_path: Path) -> None:
    setting = setting_of(tmp_path, make_database(folder / "all.db", journal_mode="delete", script=EVERYTHING + SCHEMA + ROWS))
    manifest, target = setting.restored(drill=True)
    found = setting.look(manifest, target)
    assert found.good, found.summary()
    rows = {table.name: table.rows for table in manifest.stores[0].tables}
    assert {"sqlite_sequence", "words_content", "boxes_node", '"a.b"', "a.b", "ünï.cödé", '"odd ""name"', ""} <= rows.keys()
    assert (rows["keyed"], rows["generated"], rows["words_content"]) == (2, 1, 1)
    assert manifest.stores[0].details["needs"] == "3.37.0"
    header = manifest.stores[0].details["header"]
    assert (header["page_size"], header["user_version"], header["application_id"], header["auto_vacuum"]) == (8192, 7, 4711, True)
    # The sequence goes on where it stood: a number is not given twice.
    execute(target.working, "INSERT INTO counted (a) VALUES ('z')")
    assert execute(target.working, "SELECT max(id) FROM counted") == [(3,)]


@pytest.mark.parametrize("name", ["a b.db", "a?b#c%20d.db", "quo'te\".db", "ünïcödé", ".hidden", "x" * 247, "-dash.db", "file:x.db"])
def test_odd_file_names(folder: Path, tmp_path: Path, name: str) -> None:
    setting = setting_of(tmp_path, make_database(folder / name))
    assert all(check.ok for check in ask("accounts", setting.store.questions()))
    manifest, target = setting.restored(in_place=True)
    assert setting.look(manifest, target).good
    execute(setting.path, 'UPDATE "bank$acct" SET balance = 0')
    setting.store.place(manifest.stores[0], target)
    setting.store.discard(target)
    assert execute(setting.path, 'SELECT sum(balance) FROM "bank$acct"') == [(TOTAL,)]
    assert target.aside
    assert execute(target.aside, 'SELECT sum(balance) FROM "bank$acct"') == [(0,)]
    assert len(setting.files()) == 2


@pytest.mark.parametrize(("compression", "end"), [("none", ""), ("gzip", ".gz"), ("gzip:9", ".gz"), ("auto", ".gz")])
def test_compressions(setting: SqliteSetting, tmp_path: Path, compression: str, end: str) -> None:
    setting = setting_of(tmp_path, setting.path, store={"compression": compression})
    manifest, target = setting.restored()
    assert manifest.stores[0].artifacts[0].path == f"accounts/database.sqlite{end}"
    assert setting.look(manifest, target).good


def test_the_preflight_of_a_restore(setting: SqliteSetting) -> None:
    manifest = setting.published()
    target = setting.store.target(None, run="abc123", drill=False, in_place=True)
    said = {check.question: check.detail for check in require(restore_checks(setting.topology, manifest, {"accounts": target}))}
    assert said["will be"] == f"{setting.path}, replacing the live one, which is kept as {setting.path.parent}/bank_before_abc123.db"
    assert all(check.ok for check in ask("accounts", setting.store.drill_questions()))


def test_checks_of_the_topology(setting: SqliteSetting, tmp_path: Path) -> None:
    checks = [
        {"store": "accounts", "sql": 'SELECT sum(balance) FROM "bank$acct"', "expect": TOTAL},
        {
            "store": "accounts",
            "sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<9) SELECT max(i) FROM n",
            "expect": 9,
        },
    ]
    setting = setting_of(tmp_path, setting.path, checks=checks)
    manifest, target = setting.restored()
    assert setting.look(manifest, target).good


@pytest.mark.parametrize(
    "query",
    [
        'DELETE FROM "bank$acct"',
        "SELECT 1; SELECT 2",
        "VACUUM INTO '{folder}/made.db'",
        "ATTACH '{folder}/made.db' AS other",
        "CREATE TEMP TABLE t (a)",
        "no SQL",
        "",
    ],
)
def test_a_check_changes_nothing(setting: SqliteSetting, query: str) -> None:
    manifest, target = setting.restored()
    with setting.store.restored(manifest.stores[0], target) as restored:
        before = setting.files()
        if query:
            with pytest.raises(RequestError):
                restored.scalar(query.format(folder=setting.path.parent))
        else:
            assert restored.scalar(query) is None
        assert setting.files() == before
    assert setting.look(manifest, target).good

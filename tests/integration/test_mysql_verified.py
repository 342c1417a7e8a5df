"""What verification says of a restored MariaDB: every mutation is named, and a good copy is good."""

from __future__ import annotations

import pytest

from midtime.errors import (
    RequestError,
)
from tests.integration.mysql_setting import PROGRAMS, MysqlSetting

pytestmark = pytest.mark.integration


CONTENT = "content differs in bucket"

MUTATIONS = [
    ("DELETE FROM {} WHERE id = 7", "19 rows instead of 20"),
    ("INSERT INTO {} (id) VALUES (900)", "21 rows instead of 20"),
    ("UPDATE {} SET balance = 1001 WHERE id = 7", CONTENT),
    ("UPDATE {} SET ratio = ratio + 1e-15 WHERE id = 7", CONTENT),
    ("UPDATE {} SET name = concat(name, ' ') WHERE id = 7", CONTENT),
    ("UPDATE {} SET raw = unhex('00270A5D') WHERE id = 7", CONTENT),
    ("UPDATE {} SET raw = '' WHERE id = 8", CONTENT),  # it was NULL
    ("UPDATE {} SET name = 'NULL' WHERE id = 8", CONTENT),
    ("UPDATE {} SET balance = 3 - balance WHERE id IN (1, 2)", CONTENT),  # two rows trade places
    ("DROP TABLE {}", "missing"),
    ("RENAME TABLE {0} TO {0}x", "x: unexpected"),
    ("ALTER TABLE {} MODIFY id bigint", "has another shape"),
    ("ALTER TABLE {} MODIFY name varchar(100) COLLATE utf8mb4_bin", "has another shape"),
    ("DROP INDEX acct_name ON {}", "has another shape"),
    ("CREATE INDEX x ON {} (balance)", "has another shape"),
    ("DROP INDEX acct_name ON {0}; CREATE INDEX acct_name ON {0} (name(5))", "has another shape"),
]


def test_verification_names_what_differs(mysql_setting: MysqlSetting) -> None:
    """Each on a table of its own; the others are not named."""
    for number in range(len(MUTATIONS)):
        mysql_setting.execute(
            f"CREATE TABLE {{bank}}.m{number:02d} LIKE {{bank}}.acct; INSERT INTO {{bank}}.m{number:02d} SELECT * FROM {{bank}}.acct WHERE id <= 20; "
            f"UPDATE {{bank}}.m{number:02d} SET raw = NULL, name = NULL WHERE id = 8; UPDATE {{bank}}.m{number:02d} SET balance = id WHERE id < 3"
        )
    manifest, target = mysql_setting.restored(drill=True)
    found = mysql_setting.look(manifest, target)
    assert found.good, found.summary()
    for number, (statement, _) in enumerate(MUTATIONS):
        mysql_setting.in_copy(target, statement.format(f"{{bank}}.m{number:02d}"))
    mysql_setting.in_copy(target, "DELETE FROM {coordinator}.state WHERE tx_id = 't7'")
    found = mysql_setting.look(manifest, target)
    for number, (statement, said) in enumerate(MUTATIONS):
        assert [each for each in found.differences if f".m{number:02d}" in each and said in each], (statement, found.differences)
    assert not [each for each in found.differences if ".acct" in each or ".empty" in each]
    assert "unknown-to-coordinator" in str(found.to_dict())


def test_a_copy_that_points_into_the_original_is_found(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute("CREATE TABLE {bank}.c (id int, CONSTRAINT k FOREIGN KEY (id) REFERENCES {bank}.acct (id))")
    manifest, target = mysql_setting.restored(drill=True)
    assert mysql_setting.look(manifest, target).good
    copy = mysql_setting.working(target)["bank"]
    mysql_setting.server.execute(f"ALTER TABLE {copy}.c DROP FOREIGN KEY k")
    mysql_setting.execute(f"ALTER TABLE {copy}.c ADD CONSTRAINT k FOREIGN KEY (id) REFERENCES {{bank}}.acct (id)")
    assert ".c has another shape" in str(mysql_setting.look(manifest, target).differences)


def test_a_coordinator_that_was_not_backed_up_is_never_looked_for_among_the_live(mysql_setting: MysqlSetting) -> None:
    manifest, target = mysql_setting.restored(drill=True)
    other = f"coordinator2_{mysql_setting.mark}"
    mysql_setting.execute(f"CREATE DATABASE {other}; CREATE TABLE {other}.state LIKE {{coordinator}}.state")
    mysql_setting.change(
        scalardb={"coordinators": [{"store": "accounts", "namespace": other}], "metadata_namespace": f"scalardb_{mysql_setting.mark}"}
    )
    with (
        mysql_setting.store.restored(manifest.stores[0], target) as restored,
        pytest.raises(RequestError, match=f"has no database {other}, where the topology has the Coordinator"),
    ):
        restored.coordinators()


TORN = {
    "committed, its transaction unknown": ("DELETE FROM {coordinator}.state WHERE tx_id = 't42'", "acct[42]"),
}  # fmt: skip


@pytest.mark.parametrize("name", TORN)
@pytest.mark.parametrize("collation", ["", "utf8mb4_bin"])
def test_a_torn_record_names_table_key_and_transaction(mysql_setting: MysqlSetting, name: str, collation: str) -> None:
    """The databases were torn when they were captured: counts and digests agree, only the records tell."""
    if collation:
        mysql_setting.execute(f"ALTER TABLE {{bank}}.acct CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}; "
                              f"ALTER TABLE {{coordinator}}.state CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}")  # fmt: skip
    statement, said = TORN[name]
    mysql_setting.execute(statement)
    manifest, target = mysql_setting.restored(drill=True)
    found = mysql_setting.look(manifest, target)
    assert found.differences == ()
    assert found.verdict is not None
    assert said in str(found.verdict.findings[0]), found.summary()


def test_checks_read_the_copy_and_change_nothing(mysql_setting: MysqlSetting) -> None:
    mysql_setting.execute(PROGRAMS)
    manifest, target = mysql_setting.restored(drill=True)
    mysql_setting.execute("DELETE FROM {bank}.acct WHERE id > 100")
    reading = [
        "SELECT count(*) FROM {bank}.acct", "SELECT count(*) FROM acct", "SELECT count(*) FROM `{bank}` . `acct`", "SELECT count(*) FROM {bank}.rich",
        "WITH x AS (SELECT * FROM {bank}.acct) SELECT count(*) FROM x", "SELECT count(*) FROM {coordinator}.state WHERE tx_id <> '{bank}.x'",
        "(SELECT {bank}.total() DIV 1000)",
    ]  # fmt: skip
    refused = [
        "SELECT count(*) FROM {bank}/**/.acct", "SELECT count(*) FROM /*!{bank}.*/ acct", "SELECT {bank}.id FROM acct {bank}",
        "SELECT 1; DROP TABLE acct", "COMMIT; DELETE FROM acct", "DELETE FROM acct", "DROP TABLE acct", "SET GLOBAL max_connections = 5", "COMMIT",
        "SELECT 1 INTO OUTFILE '/tmp/midtime_outfile'", "CALL sneaky()", "UPDATE {bank}.acct SET balance = 0", "FLUSH TABLES",
        "WITH x AS (SELECT 1) DELETE FROM acct", "SELECT 1 FROM nowhere", "SELECT id FROM {bank}.acct FOR UPDATE",
    ]  # fmt: skip
    with mysql_setting.store.restored(manifest.stores[0], target) as restored:
        for sql in reading:
            assert restored.scalar(mysql_setting.names(sql)) == 500, sql
        for sql in refused:
            with pytest.raises(RequestError):
                restored.scalar(mysql_setting.names(sql))
    mysql_setting.change(checks=[{"store": "accounts", "sql": mysql_setting.names(reading[0]), "expect": 501, "name": "one more"}])
    assert mysql_setting.look(manifest, target).failed_checks == ("check 'one more' of store accounts gave 500, expected 501",)
    assert mysql_setting.in_copy(target, "SELECT count(*), sum(balance) FROM {bank}.acct") == [(500, 500_000)]
    assert mysql_setting.execute("SELECT count(*) FROM {bank}.acct") == [(100,)]

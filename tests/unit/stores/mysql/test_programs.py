"""Views, triggers, routines and events under other databases' names: changed for sure, or left out."""

from __future__ import annotations

import pytest

from midtime.stores.mysql.programs import Program, ambiguous, renamed

NAMES = {"bank": "copy", "lo`ans": "copy`2"}


def program(statement: str, kind: str = "PROCEDURE") -> Program:
    return Program(kind, "bank", "p", statement, {})


@pytest.mark.parametrize(
    ("statement", "changed"),
    [
        ("select `bank`.`acct`.`id` AS `id` from `bank`.`acct`", "select `copy`.`acct`.`id` AS `id` from `copy`.`acct`"),
        ("SELECT * FROM bank.acct, bank .acct", "SELECT * FROM `copy`.acct, `copy` .acct"),
        ("from `lo``ans`.`x`", "from `copy``2`.`x`"),
        ("from bank2.x, xbank.x, `bank 2`.x, bank_.x, $bank.x", None),
        ("SELECT 'bank.acct', \"bank.acct\", 'it''s bank.a', 'x\\' bank.a'", None),
        ("SELECT 1 -- bank.acct\n, 2 # bank.acct\n, /* bank.acct */ 3", None),
        ("SELECT 5--bank.acct.id", "SELECT 5--`copy`.acct.id"),
        ("SELECT acct.bank FROM acct", None),
        ("SELECT `it's`, bank.a, `it's`", "SELECT `it's`, `copy`.a, `it's`"),
    ],
)
def test_renamed(statement: str, changed: str | None) -> None:
    assert renamed(statement, NAMES) == (changed or statement)


CLEAR = [
    "select `bank`.`acct`.`id` AS `id` from `bank`.`acct`",
    "CREATE DEFINER=`bank`@`%` PROCEDURE `p`() UPDATE bank.acct SET balance = 0",
    "SELECT acct.bank FROM acct",
    "SELECT 'something else' /* nothing here */",
]
UNCLEAR = [
    "SELECT bank.id FROM acct AS bank",
    "SELECT bank.id FROM acct bank",
    "select `bank`.`id` AS `id` from (`bank`.`acct` `bank`)",
    "PREPARE s FROM 'SELECT * FROM bank.acct'",
    'SELECT * FROM "bank"."acct"',
    "SELECT * FROM bank/**/.acct",
    "SELECT * FROM /*!bank.*/acct",
    "SELECT * FROM BANK.acct",
    "DECLARE bank ROW TYPE OF acct",
    "SELECT 1 -- bank.acct\n",
]


@pytest.mark.parametrize("statement", CLEAR)
def test_clear(statement: str) -> None:
    assert not ambiguous(program(statement), NAMES, ["acct"])


@pytest.mark.parametrize("statement", UNCLEAR)
def test_unclear(statement: str) -> None:
    assert ambiguous(program(statement), NAMES, ["acct"])
    assert not ambiguous(program(statement), {"bank": "bank"}, ["acct"]), "nothing is changed, so nothing can be mistaken"


def test_a_table_that_is_called_like_a_database() -> None:
    assert ambiguous(program(CLEAR[0]), NAMES, ["acct", "Bank"])


EVENT = (
    "CREATE DEFINER=`enable`@`%` EVENT `ENABLE` ON SCHEDULE EVERY 1 DAY ON COMPLETION {} ENABLE COMMENT 'ENABLE' DO DELETE FROM bank.old"
)


@pytest.mark.parametrize("kept", ["NOT PRESERVE", "PRESERVE"])
def test_a_copy_s_event_is_switched_off(kept: str) -> None:
    event = program(EVENT.format(kept), "EVENT")
    off = EVENT.format(kept).replace(f"{kept} ENABLE", f"{kept} DISABLE")
    assert event.moved({"bank": "copy"}, live=False).statement == off.replace("bank.", "`copy`.")
    assert event.moved({"bank": "bank"}, live=False).statement == off, "on another server, too"
    assert event.moved({"bank": "bank"}, live=True).statement == event.statement


def test_moved() -> None:
    found = program("CREATE PROCEDURE bank.p() SELECT 1").moved({"bank": "copy"}, live=True)
    assert (found.database, found.name, found.label) == ("copy", "p", "procedure copy.p")
    assert Program.from_dict(found.to_dict()) == found

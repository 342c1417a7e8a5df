"""SHOW GRANTS, read as the servers mean it."""

from __future__ import annotations

import pytest

from midtime.stores.mysql.grants import lacking, parse

NEEDED = {"SELECT", "TRIGGER"}
EVERYTHING = "GRANT ALL PRIVILEGES ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*AB' WITH GRANT OPTION"
CASES = {
    "nothing": ([], NEEDED),
    "usage": (["GRANT USAGE ON *.* TO `u`@`%`"], NEEDED),
    "everything": ([EVERYTHING], set()),
    "everywhere": (["GRANT SELECT, INSERT, TRIGGER ON *.* TO `u`@`%`"], set()),
    "in part": (["GRANT SELECT ON `my_bank`.* TO `u`@`%`"], {"TRIGGER"}),
    "of both": (["GRANT SELECT ON *.* TO `u`@`%`", "GRANT TRIGGER ON `my_bank`.* TO `u`@`%`"], set()),
    "a table": (["GRANT SELECT, TRIGGER ON `my_bank`.`acct` TO `u`@`%`", "GRANT SELECT (`a`) ON `my_bank`.`*` TO `u`@`%`"], NEEDED),
    "all of it": (["GRANT ALL PRIVILEGES ON `my\\_bank`.* TO `u`@`%`"], set()),
    "a wildcard": (["GRANT SELECT, TRIGGER ON `my%`.* TO `u`@`%`"], set()),
    "a letter": (["GRANT SELECT, TRIGGER ON `my_ban_`.* TO `u`@`%`"], set()),
    "another": (["GRANT SELECT, TRIGGER ON `my_bank2`.* TO `u`@`%`"], NEEDED),
    "an escaped one": (["GRANT SELECT, TRIGGER ON `my\\%`.* TO `u`@`%`"], NEEDED),
    "the best fitting line only": (
        ["GRANT SELECT ON `my\\_bank`.* TO `u`@`%`", "GRANT SELECT, TRIGGER ON `my%`.* TO `u`@`%`"],
        {"TRIGGER"},
    ),
    "a role's besides": (["GRANT SELECT ON `my_bank`.* TO `u`@`%`", "GRANT TRIGGER ON `my%`.* TO `r`"], set()),
    "a partial revoke": (["GRANT SELECT, TRIGGER ON *.* TO `u`@`%`", "REVOKE SELECT ON `my_bank`.* FROM `u`@`%`"], {"SELECT"}),
    "a partial revoke of all": ([EVERYTHING, "REVOKE SELECT ON `my_bank`.* FROM `u`@`%`"], {"SELECT"}),
    "a revoke elsewhere": ([EVERYTHING, "REVOKE SELECT ON `my%`.* FROM `u`@`%`"], set()),
    "lines of other kinds": (["GRANT `r` TO `u`@`%`", "SET DEFAULT ROLE `r` FOR `u`@`%`", "GRANT PROXY ON ''@'' TO `u`@`%`"], NEEDED),
}


@pytest.mark.parametrize("name", CASES)
def test_lacking(name: str) -> None:
    said, wanted = CASES[name]
    assert lacking(parse(said), "my_bank", NEEDED) == wanted


def test_where_partial_revokes_are_on_wildcards_mean_themselves() -> None:
    said = ["GRANT SELECT, TRIGGER ON `my%`.* TO `u`@`%`"]
    assert lacking(parse(said, literal=True), "my_bank", NEEDED) == NEEDED
    assert lacking(parse(said, literal=True), "my%", NEEDED) == set()

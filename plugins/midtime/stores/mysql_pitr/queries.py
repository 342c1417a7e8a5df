"""What a statement in the binary log means to a replay that takes rows only.

In row format statements are few: the ends of transactions, and DDL. None is ever executed by us. Those that may have changed a database of
ours make a new full dump due; in doubt that is what they did, because the price of a wrong "no" is a restore without a change.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum

from midtime.stores.mysql_pitr.events import Statement

_EXECUTABLE = re.compile(r"/\*M?!\d*(.*?)\*/", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/|--[ \t\n].*?(?:\n|$)|#.*?(?:\n|$)", re.DOTALL)
_SPACE = re.compile(r"\s+")
_ELSEWHERE = re.compile(r"(?:CREATE|ALTER|DROP|RENAME|TRUNCATE|SET(?! STATEMENT))\b")
"""What changes nothing of ours as long as it names none of our databases; rows that a statement changes itself would be another matter."""
_NEW_TABLE = re.compile(r"CREATE (?:OR REPLACE )?(?:TEMPORARY )?TABLE\b")
_ROWS = re.compile(r"\b(?:SELECT|VALUES)\b", re.IGNORECASE)
_HARMLESS = re.compile(
    r"(?:ANALYZE|OPTIMIZE|REPAIR|CHECK) (?:NO_WRITE_TO_BINLOG |LOCAL )?TABLE\b|(?:FLUSH|GRANT|REVOKE|SET PASSWORD|INSTALL|UNINSTALL)\b"
    r"|(?:CREATE|ALTER|DROP|RENAME) (?:OR REPLACE )?(?:USER|ROLE)\b|(?:DROP|CREATE|CREATE OR REPLACE) TEMPORARY TABLE\b"
    r"|CREATE (?:DATABASE|SCHEMA) IF NOT EXISTS\b"
)
"""What changes neither rows nor shapes, whatever it names. A database that is there already is not made; one that was not is none of ours."""
_SAVEPOINT = re.compile(r"(?:RELEASE )?SAVEPOINT\b")
_XA = re.compile(r"XA (?:START|BEGIN|END)\b")
_UNDONE = re.compile(r"ROLLBACK\b|XA\b")


class Effect(Enum):
    """What a statement does."""

    BEGIN = "begin"
    COMMIT = "commit"
    UNDO = "undo"
    """It ends a transaction in another way than by committing it, or some of it."""
    NOTHING = "nothing"
    CHANGE = "change"
    """Perhaps to one of our databases, and not by rows."""


def effect(statement: Statement, databases: Collection[str]) -> Effect:
    """What a statement does to these databases.

    :param databases: their names, as the server has them
    """
    text = plain(statement.text)
    if text in ("BEGIN", "START TRANSACTION") or text.startswith("XA START"):
        return Effect.BEGIN
    if text == "COMMIT":
        return Effect.COMMIT
    if _SAVEPOINT.match(text) or _XA.match(text):
        return Effect.NOTHING
    if _UNDONE.match(text):
        return Effect.UNDO
    if _NEW_TABLE.match(text) and _ROWS.search(statement.text):
        return Effect.CHANGE
    if _HARMLESS.match(text):
        return Effect.NOTHING
    return Effect.NOTHING if _ELSEWHERE.match(text) and not concerns(statement, databases) else Effect.CHANGE


def concerns(statement: Statement, databases: Collection[str]) -> bool:
    """Whether it ran in one of them, or has one's name anywhere in its text, be it in a string."""
    folded = {name.lower() for name in databases}
    return statement.database.lower() in folded or any(re.search(_token(name), statement.text.lower()) for name in folded)


def _token(name: str) -> str:
    return rf"(?<![a-z0-9_$\x80-\U0010ffff]){re.escape(name)}(?![a-z0-9_$\x80-\U0010ffff])"


def plain(text: str) -> str:
    """Upper case, without comments, each gap one blank; what is in a comment that a server executes stays."""
    text = _COMMENT.sub(" ", _EXECUTABLE.sub(r" \1 ", text))
    return _SPACE.sub(" ", text).strip(" ;").upper()


def shown(statement: Statement) -> str:
    """A few words of it for people; no values: an error goes into logs."""
    return re.split(r"['\"(=]", plain(statement.text)[:60])[0].strip()

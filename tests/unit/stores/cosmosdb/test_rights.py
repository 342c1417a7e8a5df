"""What roles allow, as Azure lists them."""

from __future__ import annotations

import pytest

from midtime.stores.azure.rights import may
from midtime.stores.cosmosdb.rights import NEEDED, TO_MAKE_THE_FENCE

READ = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/read"
ASK = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/retrieveContinuousBackupInformation/action"


@pytest.mark.parametrize(
    ("actions", "excepted", "action", "allowed"),
    [
        (["*"], [], ASK, True),
        (["*/read"], [], READ, True),
        (["*/read"], [], ASK, False),
        (["Microsoft.DocumentDB/*"], [], ASK, True),
        (["microsoft.documentdb/databaseaccounts/*/READ"], [], READ, True),
        (
            ["Microsoft.DocumentDB/databaseAccounts/*"],
            ["Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/write"],
            TO_MAKE_THE_FENCE,
            False,
        ),
        (["Microsoft.DocumentDB/databaseAccounts/read"], [], READ, False),
        (["MicrosoftXDocumentDB/*"], [], READ, False),
        ([], [], READ, False),
    ],
)
def test_one_role(actions: list[str], excepted: list[str], action: str, *, allowed: bool) -> None:
    assert may(action, [{"actions": actions, "notActions": excepted}]) is allowed


def test_what_one_role_excepts_another_may_allow() -> None:
    owner, reader = {"actions": ["*"], "notActions": [READ]}, {"actions": ["*/read"], "notActions": []}
    assert not may(READ, [owner])
    assert may(READ, [owner, reader])


def test_azures_own_roles() -> None:
    """A reader may do all but ask how far the backups reach; an operator of backups may do that, too."""
    reader = {"actions": ["Microsoft.DocumentDB/*/read"]}
    assert [action for action in NEEDED if not may(action, [reader])] == [ASK]
    assert all(may(action, [{"actions": ["Microsoft.DocumentDB/databaseAccounts/*"]}]) for action in NEEDED)

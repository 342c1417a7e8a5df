"""The rights that a backup of an account needs."""

from __future__ import annotations

from collections.abc import Sequence

from midtime.stores.azure import rights
from midtime.stores.cosmosdb.azure import Azure

_SQL = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases"
NEEDED = (
    "Microsoft.DocumentDB/databaseAccounts/read",
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleDefinitions/read",
    "Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments/read",
    f"{_SQL}/read",
    f"{_SQL}/throughputSettings/read",
    f"{_SQL}/containers/read",
    f"{_SQL}/containers/throughputSettings/read",
    f"{_SQL}/containers/storedProcedures/read",
    f"{_SQL}/containers/triggers/read",
    f"{_SQL}/containers/userDefinedFunctions/read",
    f"{_SQL}/containers/retrieveContinuousBackupInformation/action",
)
"""By the preflight, the mark and ``restorable``. ``locations/restorableDatabaseAccounts/read`` is the subscription's, and is tried."""
TO_MAKE_THE_FENCE = f"{_SQL}/containers/write"


def require_rights(azure: Azure, arm_id: str, actions: Sequence[str], *, what: str = "backup") -> str:
    """Whether the login may do this there.

    :raises StoreAccessError: it may not
    """
    return rights.require_rights(azure, arm_id, actions, what=what, page="cosmosdb.md")

"""What stands under the name of a run's account, and whose it is: said by the service, and by the tags that came with the restore."""

from __future__ import annotations

from datetime import datetime

from midtime.errors import TargetExistsError
from midtime.stores.azure import standing as common
from midtime.stores.cosmosdb.accounts import said_of
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.notes import Copy
from midtime.stores.naming import PLACED


class Standing(common.Standing):
    """An account's name, and what is there under it."""

    @property
    def state(self) -> str:
        """``Creating``, ``Succeeded``, ``Updating``, ``Deleting``, ``Failed``; empty where nothing is there."""
        return str(self.properties.get("provisioningState") or "")

    @property
    def endpoint(self) -> str:
        """Where its data are reached."""
        return str(self.properties.get("documentEndpoint") or "")

    def copies(self, note: Copy) -> bool:
        """Whether it is this run's: nothing else was restored from there to that instant under this name, with this tag."""
        parameters = self.properties.get("restoreParameters") or {}
        return (
            str(parameters.get("restoreSource", "")).strip("/").lower() == note.marked.source.strip("/").lower()
            and _instant(parameters.get("restoreTimestampInUtc")) == note.marked.instant
            and self.owner.removeprefix(PLACED) == note.working
        )


def standing(azure: Azure, resource_group: str, account: str) -> Standing:
    """What is under this name in its resource group."""
    return Standing(account, said_of(azure, resource_group, account))


def unsettled(found: Standing) -> str:
    """What somebody does with it, be it the service; empty where nobody does."""
    return "" if found.state in ("Succeeded", "Failed") else f"being restored ({found.state})" if found.state == "Creating" else found.state


def require_ours(azure: Azure, note: Copy, found: Standing) -> None:
    """Nothing else may stand under the copy's name.

    :raises TargetExistsError: somebody else's account does
    """
    if not found.copies(note):
        raise TargetExistsError(
            f"store {azure.store}: account {found.name} is somebody else's: it was not restored by this run", fix="choose another name"
        )


def copy_at(azure: Azure, note: Copy) -> Azure:
    """The clients of the account that was made, instead of the marked one's."""
    return Azure(azure.store, azure.spec.model_copy(update={"resource_group": note.resource_group, "account": note.account}))


def _instant(said: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(said))
    except ValueError:
        return None

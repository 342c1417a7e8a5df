"""What stands under the name of a run's server, and whose it is: said by the service, and by the tags that came with the restore."""

from __future__ import annotations

from midtime.errors import TargetExistsError
from midtime.stores.azure import standing as common
from midtime.stores.azure_database.azure import Azure
from midtime.stores.azure_database.notes import Copy
from midtime.stores.azure_database.servers import READY, moment, said_of
from midtime.stores.naming import PLACED


class Standing(common.Standing):
    """A server's name, and what is there under it."""

    @property
    def state(self) -> str:
        """``Provisioning``, ``Ready``, ``Updating``, ``Stopped``, ``Dropping``, ``Inaccessible`` and others; empty where nothing is there."""
        return str(self.properties.get("state") or "")

    @property
    def address(self) -> str:
        """Where its data are reached."""
        return str(self.properties.get("fullyQualifiedDomainName") or "")

    def copies(self, note: Copy) -> bool:
        """Whether it is this run's: it has the run's tag, and the service says nothing else of where it comes from, and when it was made.

        What a restore was asked for is not told by each version of the services; where it is, it has to be ours.
        """
        source = str(self.properties.get("sourceServerResourceId") or note.marked.arm_id)
        made = moment((self.said.get("systemData") or {}).get("createdAt"))
        return (
            source.strip("/").lower() == note.marked.arm_id.strip("/").lower()
            and str(self.said.get("id", "")).strip("/").lower() != note.marked.arm_id.strip("/").lower()
            and (made is None or made > note.marked.instant)
            and self.owner.removeprefix(PLACED) == note.working
        )


def standing(azure: Azure, group: str, name: str) -> Standing:
    """What is under this name in its resource group."""
    return Standing(name, said_of(azure, group, name))


def unsettled(found: Standing) -> str:
    """What somebody does with it, be it the service; empty where nobody does."""
    return "" if found.state == READY else f"it is in state {found.state or 'unknown'}"


def require_ours(azure: Azure, note: Copy, found: Standing) -> None:
    """Nothing else may stand under the copy's name.

    :raises TargetExistsError: somebody else's server does
    """
    if not found.copies(note):
        raise TargetExistsError(
            f"store {azure.store}: server {found.name} is somebody else's: it was not restored by this run", fix="choose another name"
        )

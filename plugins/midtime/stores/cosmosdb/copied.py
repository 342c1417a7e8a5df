"""The account that was made, as it is now, described as the marked one was."""

from __future__ import annotations

from dataclasses import dataclass

from midtime.errors import RestoreFailedError
from midtime.stores.cosmosdb.accounts import Account, read_account
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.containers import containers_of
from midtime.stores.cosmosdb.describing import describe_account, describe_containers, describe_databases
from midtime.stores.cosmosdb.notes import Copy
from midtime.stores.cosmosdb.settings import AccountSettings, ContainerSettings, DatabaseSettings
from midtime.stores.cosmosdb.standing import copy_at


@dataclass(frozen=True, slots=True)
class Copied:
    """What is in it, of what was marked."""

    account: Account
    databases: tuple[DatabaseSettings, ...]
    containers: tuple[ContainerSettings, ...]

    def missing(self, note: Copy) -> list[str]:
        """The containers that were marked, and are not there."""
        there = {each.full_name for each in self.containers}
        return [each.full_name for each in note.marked.containers if each.full_name not in there]


def read_copy(azure: Azure, note: Copy) -> Copied:
    """A few calls for each container.

    :raises RestoreFailedError: there is no such account any more
    """
    clients = copy_at(azure, note)
    account = read_account(clients)
    if account is None:
        raise RestoreFailedError(f"store {azure.store}: account {note.account} is gone", fix="start a new run")
    wanted = {each.full_name for each in note.marked.containers}
    found = [each for each in containers_of(clients, [each.name for each in note.marked.databases]) if each.full_name in wanted]
    return Copied(
        account,
        tuple(describe_databases(clients, account, dict.fromkeys(each.database for each in found))),
        tuple(describe_containers(clients, account, found)),
    )


def settings_of(azure: Azure, note: Copy, copied: Copied) -> AccountSettings:
    """The account's own settings, with the roles for its data."""
    return describe_account(copy_at(azure, note), copied.account)

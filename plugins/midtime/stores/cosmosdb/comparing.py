"""The account that was made against the mark: what a restore must have brought back, and what is left for people to put back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from midtime.stores.azure.standing import OWN_TAGS
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.copied import Copied, settings_of
from midtime.stores.cosmosdb.notes import Copy
from midtime.stores.cosmosdb.settings import AccountSettings, ContainerSettings, spoken_account, spoken_container
from midtime.stores.marks import differences

_TTL = "defaultTtl"


def schema_differences(azure: Azure, note: Copy, copied: Copied) -> Iterator[str]:
    """What ScalarDB cannot do without: containers with their keys, indexes and stored procedures, and consistent reads."""
    for name in copied.missing(note):
        yield f"{name}: missing"
    for now in copied.containers:
        marked = note.marked.container(now.full_name)
        repaired = azure.spec.repair is not None  # by another version of the same procedure, perhaps
        yield from differences(now.full_name, spoken_container(_essence(marked, repaired)), spoken_container(_essence(now, repaired)))
    if copied.account.consistency != "Strong":
        yield f"account {note.account}: its consistency is {copied.account.consistency}, not Strong"


def setting_differences(azure: Azure, note: Copy, copied: Copied, *, placed: bool) -> Iterator[str]:
    """Everything else that is not as it was marked, one sentence each, with the value to be put back.

    :param placed: times to live are back
    """
    marked, now = note.marked.settings, settings_of(azure, note, copied)
    yield from differences(f"account {note.account}", spoken_account(_comparable(marked)), spoken_account(_comparable(now)))
    for database in copied.databases:
        was = note.marked.database(database.name).throughput
        if was != database.throughput:
            yield f"{database.name}: throughput was {was or 'not there'}, is {database.throughput or 'not there'}"
    for each in copied.containers:
        was_so = note.marked.container(each.full_name)
        if was_so.throughput != each.throughput:
            yield f"{each.full_name}: throughput was {was_so.throughput or 'not there'}, is {each.throughput or 'not there'}"
        for kind in ("triggers", "functions"):
            if getattr(was_so, kind) != getattr(each, kind):
                yield f"{each.full_name}: its {kind} are not those of the mark"
        if placed and was_so.resource.get(_TTL) != each.resource.get(_TTL):
            yield f"{each.full_name}: TTL was {was_so.resource.get(_TTL)}, is {each.resource.get(_TTL)}"


def _essence(container: ContainerSettings, repaired: bool) -> ContainerSettings:
    """Without times to live, which are off while it is restored; and what holds no data, and ScalarDB does not use: it is listed instead."""
    resource = {key: value for key, value in container.resource.items() if key != _TTL}
    bodies = dict.fromkeys(container.procedures, "there") if repaired else container.procedures
    return container.model_copy(update={"resource": resource, "throughput": None, "procedures": bodies, "triggers": (), "functions": {}})


def _comparable(account: AccountSettings) -> AccountSettings:
    """Without our tags; the consistency is told elsewhere."""
    properties: dict[str, Any] = {key: value for key, value in account.properties.items() if key != "consistencyPolicy"}
    tags = {key: value for key, value in account.tags.items() if not key.startswith(OWN_TAGS)}
    return account.model_copy(update={"properties": properties, "tags": tags})

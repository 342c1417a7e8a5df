"""Whether every container's backups have reached the marked instant by now, and the account is still the one that was marked."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from midtime.errors import StoreError
from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import StoreBackup
from midtime.model.words import counted
from midtime.stores.base import Restorable
from midtime.stores.cosmosdb.accounts import read_history
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.backups import latest
from midtime.stores.cosmosdb.containers import Container, containers_of, remade
from midtime.stores.cosmosdb.marking import LOST
from midtime.stores.each import of_each
from midtime.stores.marks import require_fit

AT_MOST = 40
"""Containers that one look asks: each is an operation of seconds, and ARM takes a few hundred in five minutes."""


def restorable(azure: Azure, backup: StoreBackup, passed: Collection[str]) -> Restorable:
    """A call for each database, and an operation for each container that has not passed yet.

    :raises NotRestorableError: the account or a container was deleted or made anew since, or its backups are periodic now
    :raises StoreError: it does not say
    """
    marked: Mapping[str, str] = backup.details["containers"]
    azure = marked_account(azure, backup)
    found = _require_same(azure, backup, marked)
    done = set(passed) & set(marked)
    left = [each for each in found if each.full_name in marked and each.full_name not in done]
    said = of_each(left[:AT_MOST], lambda container: _ask(azure, container, backup))
    done |= {name for name, why in said if not why}
    if len(done) == len(marked):
        return Restorable(True, f"all of {counted(len(marked), 'container')} reach {to_rfc3339(backup.midtime)}", tuple(sorted(done)))
    name, why = next(((name, why) for name, why in said if why), (left[-1].full_name, "was not asked yet"))
    behind = f"{len(marked) - len(done)} of {counted(len(marked), 'container')} do not reach {to_rfc3339(backup.midtime)} yet"
    return Restorable(False, f"{behind}; {name} {why}", tuple(sorted(done)))


def marked_account(azure: Azure, backup: StoreBackup) -> Azure:
    """The clients of the account that was marked: after a cut-over the topology names the one that followed it."""
    said = {"subscription_id": backup.details["subscription"], **{key: backup.details[key] for key in ("resource_group", "account")}}
    if {key: getattr(azure.spec, key) for key in said} == said:
        return azure
    return Azure(azure.store, azure.spec.model_copy(update=said))


def _require_same(azure: Azure, backup: StoreBackup, marked: Mapping[str, str]) -> list[Container]:
    instant, details = backup.midtime, backup.details
    history = read_history(azure)
    reason = history.unfit(instant, instance=details["instance"], region=details["region"])
    require_fit(azure.store, instant, [(f"account {azure.spec.account}", reason)], fix=LOST)
    found = containers_of(azure, dict.fromkeys(name.partition("/")[0] for name in marked))
    require_fit(azure.store, instant, remade(marked, found), fix=LOST)
    return found


def _ask(azure: Azure, container: Container, backup: StoreBackup) -> tuple[str, str]:
    """Its name, and why it has not passed; empty where it has. One that does not say now is asked again at the next look."""
    try:
        reached = latest(azure, container, backup.details["region"])
    except StoreError as error:
        if not error.retryable:
            raise
        return container.full_name, f"does not say: {error.message}"
    return container.full_name, _behind(reached, backup.midtime)


def _behind(reached: datetime, instant: datetime) -> str:
    return f"reaches {to_rfc3339(reached)}" if reached < instant else ""

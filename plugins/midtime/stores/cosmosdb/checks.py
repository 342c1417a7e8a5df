"""The preflight of a backup: all that a mark, and a restore to it, will need. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import cast
from urllib.parse import urlsplit

from midtime.errors import NotRestorableError, StoreAccessError, StoreStatementError
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.topology import Topology
from midtime.model.words import counted, listed
from midtime.stores.base import Question
from midtime.stores.cosmosdb.accounts import Account, History, Kept, read_history
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.backups import latest
from midtime.stores.cosmosdb.containers import NAMESPACES, Container, fence_name, find_containers, known_to_scalardb
from midtime.stores.cosmosdb.describing import describe_account, describe_containers
from midtime.stores.cosmosdb.fences import describe_fence, find_fence
from midtime.stores.cosmosdb.rights import NEEDED, TO_MAKE_THE_FENCE, require_rights

CONSISTENT = {
    "Strong": "Strong",
    "BoundedStaleness": "BoundedStaleness: the products need `scalar.db.cosmos.consistency_level=BOUNDED_STALENESS`",
}
"""What ScalarDB works on; anything weaker it cannot ask of an account."""
GOING = frozenset({"Creating", "Initializing", "Uninitialized", "Deleting"})
"""States of an account that is not there yet, or about to be no more."""


class BackupChecks:
    """The questions about one store; each stands on the answers before it."""

    def __init__(self, topology: Topology, azure: Azure) -> None:
        self.topology, self.azure = topology, azure
        self._history = History(None, None)
        self._containers: list[Container] = []

    def questions(self) -> Iterator[Question]:
        """In the order in which they make sense."""
        yield "is reachable", self._reachable
        yield "is at rest", self._at_rest
        yield "is written in one region", self._one_region
        yield "is consistent", self._consistent
        yield "keeps a history", self._kept_history
        yield "has its containers", self._has_containers
        yield "may be marked", self._rights
        yield "reaches", self._reaches
        if self._fenced:
            yield "has a fence container", lambda: describe_fence(self.azure, self._fence, self._account)

    @property
    def _fenced(self) -> bool:
        return self.azure.spec.fence and self.topology.needs_pause

    @property
    def _fence(self) -> str:
        return fence_name(self.topology, self.azure.store)

    @property
    def _account(self) -> Account:
        return cast(Account, self._history.account)  # `_reachable` has seen it

    def _reachable(self) -> str:
        """By both connections, which must mean the same account."""
        spec, store = self.azure.spec, self.azure.store
        self._history = read_history(self.azure)
        if self._history.account is None:
            raise StoreAccessError(
                f"store {store}: there is no account {spec.account} in resource group {spec.resource_group}",
                fix="correct the store's account, resource_group and subscription_id",
            )
        if self._account.api != "NoSQL":
            raise StoreAccessError(
                f"store {store}: account {spec.account} is one of the API for {self._account.api}", fix="name another account"
            )
        if _address(said := self.azure.data_endpoint) not in map(_address, self._account.endpoints):
            raise StoreAccessError(
                f"store {store}: connection {spec.data_conn_id} points at {said}, and account {spec.account} is {self._account.endpoints[0]}",
                fix="let `data_conn_id` and `account` mean the same account",
            )
        return f"{self._account.endpoints[0]}, written in {self._account.region}"

    def _at_rest(self) -> str:
        """Not while it comes or goes; an update may take hours, and stops no backup."""
        if (state := self._account.state) in GOING:
            raise StoreStatementError(
                f"store {self.azure.store}: account {self.azure.spec.account} is in state {state}",
                fix="wait until it is there, then try again",
            )
        return "yes" if state in ("Succeeded", "Online") else f"its state is {state}"

    def _one_region(self) -> str:
        regions, writes = self._account.regions, self._account.write_regions
        if self._account.multi_write or len(writes) != 1:
            raise StoreAccessError(
                f"store {self.azure.store}: account {self.azure.spec.account} is written in several regions ({', '.join(writes)}), "
                "which agree some time later; no instant is the same in all of them",
                fix="switch multi-region writes off: ScalarDB needs one write region, too",
            )
        lost = f"; a restored copy is in {writes[0]} only, {', '.join(each for each in regions if each != writes[0])} must be added to it"
        return f"{writes[0]}{lost if len(regions) > 1 else ''}"

    def _consistent(self) -> str:
        if (said := CONSISTENT.get(self._account.consistency)) is None:
            raise StoreAccessError(
                f"store {self.azure.store}: the default consistency of account {self.azure.spec.account} is {self._account.consistency}, "
                "on which ScalarDB's transactions do not hold",
                fix="set it to Strong, as ScalarDB's guide says",
            )
        return said

    def _kept_history(self) -> str:
        """Continuous, begun, and in the region that it is restored from."""
        store, spec = self.azure.store, self.azure.spec
        if self._account.days is None:
            moving = ", it is being changed to continuous backup" if self._account.moving else ""
            raise StoreAccessError(
                f"store {store}: account {spec.account} has periodic backups{moving}, which cannot be restored to an instant",
                fix="set the account's backup policy to continuous (7 or 30 days); its history begins then",
            )
        if why := self._history.unfit(utc_now()):
            raise NotRestorableError(f"store {store}: account {spec.account} {why}", fix="try again in some minutes")
        return _days(self._account.days, cast(Kept, self._history.kept), self.topology.retention.keep_days)

    def _has_containers(self) -> str:
        """By ARM, and by ScalarDB's own list, for which the data connection's key must be good."""
        if not self._account.takes_keys:
            raise StoreAccessError(
                f"store {self.azure.store}: account {self.azure.spec.account} takes no keys (`disableLocalAuth`), and ScalarDB has nothing else",
                fix="switch local authentication on",
            )
        found = find_containers(self.topology, self.azure)
        names = {each.full_name for each in found}
        if missing := [name for name in known_to_scalardb(self.topology, self.azure) if name not in names]:
            raise StoreAccessError(
                f"store {self.azure.store}: ScalarDB's metadata names {listed(missing)}, which {'is' if len(missing) == 1 else 'are'} not there",
                fix="create these tables with ScalarDB's schema loader (--repair-all), or drop them with it",
            )
        self._containers = [each for each in found if each.full_name != self._fence]
        namespaces = f"{self.topology.scalardb.metadata_namespace}/{NAMESPACES}"
        old = "" if namespaces in names else f"; no {namespaces}, as in older versions of ScalarDB"
        return f"{counted(len(self._containers), 'container')}{old}"

    def _rights(self) -> str:
        """All of these calls only read; of the others Azure says whether they are allowed."""
        describe_account(self.azure, self._account)
        describe_containers(self.azure, self._account, self._containers[:1])
        makes_fence = self._fenced and find_fence(self.azure, self._fence) is None
        return require_rights(self.azure, self._account.arm_id, [*NEEDED, *([TO_MAKE_THE_FENCE] if makes_fence else [])])

    def _reaches(self) -> str:
        """Of one container: the question that `restorable` asks of all."""
        first = self._containers[0]
        return f"{first.full_name} can be restored up to {to_rfc3339(latest(self.azure, first, self._account.region))}"


def _days(days: int, kept: Kept, keep_days: int) -> str:
    said = f"continuous, {days} days; it begins at {to_rfc3339(kept.oldest) if kept.oldest else 'an unknown time'}"
    if timedelta(days=days) < timedelta(days=keep_days):
        said += f"; `retention.keep_days` is {keep_days}, but what is older than {days} days cannot be restored"
    return said


def _address(url: str) -> tuple[str, int]:
    """However it is written: with the port or without, with a slash at its end or not."""
    parts = urlsplit(url if "//" in url else f"//{url}")
    return (parts.hostname or "").lower(), parts.port or 443

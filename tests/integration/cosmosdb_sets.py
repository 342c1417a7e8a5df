"""A bank in Cosmos DB at rest, as a window would find it, with fence rows around it; and what comes back of it at that instant, or beside it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from midtime.fencing import fenced
from midtime.model.instants import restore_point_id
from midtime.model.restore_point import Origin, RestorePoint, StoreBackup
from midtime.model.window import Window
from midtime.stores.base import Shelf, Target
from midtime.verification import Verification, verify
from midtime.verify.verdict import Outcome
from tests.integration.cosmosdb_setting import LIVE, Shop
from tests.stack.cosmosdb import CosmosDB
from tests.stack.processes import poll

WINDOW = "0123456789ab"


class AnyBank(Protocol):
    """It moves money while it runs."""

    commits: int

    def start(self) -> Any: ...

    def stop(self) -> Any: ...


class Set:
    """Of one store.

    :param account: of Cosmos DB, in which the bank is
    """

    def __init__(self, server: CosmosDB, folder: Path, bank: AnyBank, namespace: str, account: str = LIVE) -> None:
        self.shop = Shop(server, folder, namespaces=[namespace], fence=True, account=account)
        self.server, self.bank = server, bank
        self.point: RestorePoint

    def back_up(self) -> None:
        store = self.shop.store
        with fenced(store) as fence:
            self.busy()
            time.sleep(6)  # for a restore to five seconds before
            self.busy()
            fence.connect()
            start = datetime.now(UTC)
            fence.write(WINDOW, "before")
            instant = int(self.server.now()) + 2
            poll("the hold", lambda: self.server.now() > instant + 2 or None, 30)
            end = datetime.now(UTC)
            fence.write(WINDOW, "after")
            self.busy(seconds=6)
            self.server.wait_restorable(instant + 10)
            point_id = restore_point_id(start, WINDOW)
            at = datetime.fromtimestamp(instant, UTC)
            marked = store.mark(at, Shelf(self.shop.catalog.folder(point_id), "shop"), print)
            part = marked.model_copy(update={"details": {**marked.details, "fence": fence.to_dict(), "quiesced": True}})
        self.point = RestorePoint(
            id=point_id, topology="shop", topology_digest=self.shop.topology.digest, midtime=at, started_at=start, finished_at=end, stores=(part,),
            evidence={"id": WINDOW, "window": Window(start, end).to_dict()}, origin=Origin(midtime_version="0", dag_id="d", run_id="r", host="h"),
        )  # fmt: skip

    def busy(self, seconds: float = 0.5) -> None:
        before = self.bank.commits
        self.bank.start()
        poll("commits", lambda: self.bank.commits > before + 5 or None, 60)
        time.sleep(seconds)
        self.bank.stop()

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.shop.catalog.folder(self.point.id), "shop")

    def restore(self, target: Target, part: StoreBackup, shelf: Shelf) -> Target:
        while self.shop.store.restore(part, shelf, target, print):
            time.sleep(0.2)
        return target

    def drilled(self, moved: timedelta = timedelta()) -> Verification:
        """At another second than the window's, perhaps."""
        store, part, shelf = self.shop.store, self.point.store("shop"), self.shelf
        if moved:
            shelf = Shelf(shelf.folder / "moved", "shop")
            part = store.mark(part.midtime + moved, shelf, print)
        target = store.target(None, run=f"{int(time.time() * 1000) % 0xFFFFFF:06x}", drill=True, in_place=False)
        try:
            self.restore(target, part, shelf)
            return verify(self.shop.topology, self.point, [target])
        finally:
            store.discard(target)

    def require_torn_beside_the_window(self) -> None:
        """Five seconds too early, five seconds too late."""
        for seconds in (-5, 5):
            found = self.drilled(timedelta(seconds=seconds))
            assert found.verdict
            assert found.verdict.outcome is Outcome.TORN, found.summary()

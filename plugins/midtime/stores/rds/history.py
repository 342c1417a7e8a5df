"""How far back something can be restored, alive or deleted, and what that means for an instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from midtime.model.instants import to_rfc3339
from midtime.model.topology.cloud import Aurora, Rds
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.servers import Flavour, Kept, Server, flavour_of

SQLSERVER_SPREAD = timedelta(seconds=1)
"""The databases of one SQL Server come back within a second of each other."""


@dataclass(frozen=True, slots=True)
class History:
    """What is there under a resource id, and what the service keeps of it."""

    server: Server | None
    kept: Kept | None

    @property
    def earliest(self) -> datetime | None:
        """From when on."""
        said = self.server.said.get("EarliestRestorableTime") if self.server else None
        return said or (self.kept.earliest if self.kept else None)

    @property
    def latest(self) -> datetime | None:
        """Up to when, by now."""
        return self.server.latest if self.server else (self.kept.latest if self.kept else None)

    @property
    def deleted(self) -> bool:
        """Only its backups are left."""
        return self.server is None and self.kept is not None

    def unfit(self, instant: datetime, spread: timedelta = timedelta(0)) -> str:
        """Why it can never be restored to an instant; empty where it can, by now or later."""
        if self.server is None and self.kept is None:
            return "was deleted, and its automated backups with it"
        if self.server and not self.server.days:
            return "has its automated backups switched off"
        if self.earliest and self.earliest > instant:
            return f"has a history that begins at {to_rfc3339(self.earliest)}, behind {to_rfc3339(instant)}"
        if self.deleted and not self.reaches(instant, spread):
            end = to_rfc3339(self.latest) if self.latest else "an unknown time"
            return f"was deleted, and the automated backups that are kept of it end at {end}"
        return ""

    def reaches(self, instant: datetime, spread: timedelta = timedelta(0)) -> bool:
        """Whether it can be restored to an instant by now: Amazon wants one that lies before the latest."""
        return self.latest is not None and self.latest > instant + spread


def history_of(aws: RdsClients, resource_id: str) -> History:
    """Of what has that resource id, whatever it is called now."""
    flavour = flavour_of(aws.spec)
    return _history(aws, flavour, flavour.find_by_resource(aws, resource_id), resource_id)


def history_at(aws: RdsClients, name: str) -> History:
    """Of what has that name now."""
    flavour = flavour_of(aws.spec)
    server = flavour.find(aws, name)
    return _history(aws, flavour, server, server.resource_id) if server else History(None, None)


def spread_of(spec: Rds | Aurora) -> timedelta:
    """How far apart the databases of one restore may be."""
    return SQLSERVER_SPREAD if spec.dialect == "sqlserver" else timedelta(0)


def _history(aws: RdsClients, flavour: Flavour, server: Server | None, resource_id: str) -> History:
    """A deleted one is listed for as long as it takes; what is kept of it counts then."""
    if server and server.status == "deleting":
        server = None
    return History(server, flavour.kept(aws, resource_id))

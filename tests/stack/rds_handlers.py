"""Moto's RDS with the service's own semantics of time: what is made, changed and deleted takes its time, and a restore is of a resource id.

A restore has what was asked for, and Amazon's defaults of the rest; what the service refuses in a state is refused here.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.rds.exceptions import DBInstanceAlreadyExists, DBInstanceNotFoundError, RDSClientError
from moto.rds.models import DBCluster, DBInstance
from moto.rds.responses import RDSResponse

from tests.stack.rds_world import WORLD

NUMBERS = itertools.count(1)
CLASSES = ("db.t3.micro", "db.t3.medium", "db.r6g.large")
#: of a restore that does not say otherwise
DEFAULTS: dict[str, Any] = {"multi_az": False, "monitoring_interval": 0, "monitoring_role_arn": None, "deletion_protection": False}


@dataclass
class Timed:
    """What becomes of an instance or a cluster, and when."""

    ready_at: float
    awaited: bool = False
    becomes: str = ""
    busy_until: float = 0.0
    gone_at: float | None = None
    #: from then on it is at its first backup, for so long
    backs_up: float = 0.0

    def status(self, name: str) -> str:
        if self.gone_at is not None:
            return "deleting"
        if WORLD.instant < self.ready_at or (self.awaited and name not in WORLD.settings.endpoints):
            return "creating"
        if not self.becomes and WORLD.instant < self.ready_at + self.backs_up:
            return "backing-up"
        return self.becomes or ("modifying" if WORLD.instant < self.busy_until else "available")


TIMED: dict[str, Timed] = {}


def name_of(thing: Any) -> str:
    return str(thing.db_instance_identifier if isinstance(thing, DBInstance) else thing.db_cluster_identifier)


def id_of(thing: Any) -> str:
    return str(thing.dbi_resource_id if isinstance(thing, DBInstance) else thing.db_cluster_resource_id)


def moment(at: float) -> datetime:
    return datetime.fromtimestamp(int(at), UTC)


def _address(thing: Any) -> Any:
    name = name_of(thing)
    address, port = WORLD.settings.endpoints.get(name, [f"{name}.x.rds.amazonaws.com", thing.port or 5432])
    if isinstance(thing, DBCluster):
        thing.port = port
        return address
    return None if TIMED[id_of(thing)].status(name) == "creating" else {"Address": address, "Port": port}


def _latest(thing: Any) -> Any:
    return moment(WORLD.instant - WORLD.settings.lag) if thing.backup_retention_period else None


for kind in (DBInstance, DBCluster):
    kind.endpoint = property(_address)  # type: ignore[assignment,method-assign]
    kind.latest_restorable_time = property(_latest)  # type: ignore[assignment,method-assign]
    kind.save_automated_backup = lambda self: None  # type: ignore[method-assign]  # moto's are by name, and ours by resource id


class Databases(RDSResponse):
    """RDS and Aurora."""

    def sweep(self) -> None:
        """What was being deleted is gone now; the rest is in its state."""
        for things in (self.backend.databases, self.backend.clusters):
            for name, thing in list(things.items()):  # type: ignore[attr-defined]
                timed = TIMED[id_of(thing)]
                if timed.gone_at is not None and timed.gone_at <= WORLD.instant:
                    del things[name]  # type: ignore[attr-defined]
                else:
                    thing.status = timed.status(name_of(thing))

    # reading

    def describe_db_instances(self) -> ActionResult:
        self.sweep()
        return super().describe_db_instances()

    def describe_db_clusters(self) -> ActionResult:
        """Moto does not know the filter by resource id."""
        self.sweep()
        wanted = {each["Name"]: each["Values"] for each in self.params.get("Filters", ())}.get("db-cluster-resource-id")
        if wanted is None:
            return super().describe_db_clusters()
        return ActionResult({"DBClusters": [each for each in self.backend.clusters.values() if each.db_cluster_resource_id in wanted]})

    def describe_db_instance_automated_backups(self) -> ActionResult:
        found = self._backups(self.backend.databases, "DbiResourceId", "DBInstanceAutomatedBackupNotFound")
        return ActionResult({"DBInstanceAutomatedBackups": found})

    def describe_db_cluster_automated_backups(self) -> ActionResult:
        found = self._backups(self.backend.clusters, "DbClusterResourceId", "DBClusterAutomatedBackupNotFoundFault")
        return ActionResult({"DBClusterAutomatedBackups": found})

    def _backups(self, things: Any, key: str, missing: str) -> list[dict[str, Any]]:
        wanted = self.params[key]
        thing = next((each for each in things.values() if id_of(each) == wanted), None)
        if thing is None:
            raise RDSClientError(missing, f"no automated backup of {wanted}")
        window = {"EarliestTime": moment(WORLD.instant - 86400), "LatestTime": moment(WORLD.instant - WORLD.settings.lag)}
        return [{key: wanted, "Status": "active", "RestoreWindow": window, "BackupRetentionPeriod": thing.backup_retention_period}]

    def describe_orderable_db_instance_options(self) -> ActionResult:
        storage = "aurora" if self.params["Engine"].startswith("aurora") else "gp2"
        common = {"Engine": self.params["Engine"], "EngineVersion": self.params.get("EngineVersion", ""), "StorageType": storage}
        return ActionResult({"OrderableDBInstanceOptions": [{**common, "DBInstanceClass": name} for name in CLASSES]})

    def describe_events(self) -> ActionResult:
        name = self.params["SourceIdentifier"]
        state = WORLD.settings.becomes
        return ActionResult({"Events": [{"SourceIdentifier": name, "Message": f"{name} was put into {state}."}] if state else []})

    # making

    def create_db_instance(self) -> ActionResult:
        self._room("InstanceQuotaExceeded")
        answer = super().create_db_instance()
        self._adopt(self.backend.databases[self.params["DBInstanceIdentifier"]], "create")
        return answer

    def create_db_cluster(self) -> ActionResult:
        answer = super().create_db_cluster()
        self._adopt(self.backend.clusters[self.params["DBClusterIdentifier"]], "create")
        return answer

    def restore_db_instance_to_point_in_time(self) -> ActionResult:
        source = self._source(self.backend.databases, "SourceDbiResourceId", "RestoreTime")
        if (name := self.params["TargetDBInstanceIdentifier"]) in self.backend.databases:
            raise DBInstanceAlreadyExists
        self._room("InstanceQuotaExceeded")
        asked = {
            key: value for key, value in self.params.items() if not str(value).startswith("default:")
        }  # groups that moto does not have
        made: Any = self.backend.restore_db_instance_to_point_in_time(name_of(source), name, asked)
        self._like(made)
        self._adopt(made, "restore")
        WORLD.settings.restores[name] = name_of(source), self.params["RestoreTime"].timestamp()
        return ActionResult({"DBInstance": made})

    def restore_db_cluster_to_point_in_time(self) -> ActionResult:
        source = self._source(self.backend.clusters, "SourceDbClusterResourceId", "RestoreToTime")
        if (name := self.params["DBClusterIdentifier"]) in self.backend.clusters:
            raise RDSClientError("DBClusterAlreadyExistsFault", f"{name} is there already")
        self._room("DBClusterQuotaExceededFault")
        asked = {key: value for key, value in self.params.items() if key not in ("source_db_cluster_resource_id", "restore_to_time")}
        made: Any = self.backend.restore_db_cluster_to_point_in_time(source_db_cluster_identifier=name_of(source), **asked)
        self._like(made)
        self._adopt(made, "restore")
        WORLD.settings.restores[name] = name_of(source), self.params["RestoreToTime"].timestamp()
        return ActionResult({"DBCluster": made})

    def _source(self, things: Any, key: str, instant: str) -> Any:
        wanted = self.params[key]
        if not (source := next((each for each in things.values() if id_of(each) == wanted), None)):
            raise DBInstanceNotFoundError(wanted)
        if self.params[instant].timestamp() >= int(WORLD.instant - WORLD.settings.lag):
            raise RDSClientError("InvalidRestoreFault", "RestoreTime must be before the latest restorable time")
        return source

    def _like(self, made: Any) -> None:
        """Moto copies the source, and takes no for nothing said."""
        asked = dict(self.params.items())
        for key, value in DEFAULTS.items():
            if not asked.get(key) and (isinstance(made, DBInstance) or key == "deletion_protection"):
                setattr(made, key, value)
        if "backup_retention_period" in asked:
            made.backup_retention_period = asked["backup_retention_period"]
        made.tags = list(asked.get("tags") or ())

    def _room(self, code: str) -> None:
        if len(self.backend.databases) + len(self.backend.clusters) >= WORLD.settings.quota:
            raise RDSClientError(code, "no room for one more")

    def _adopt(self, thing: Any, what: str) -> None:
        restored = what == "restore"
        if isinstance(thing, DBInstance):
            thing.dbi_resource_id = f"db-M{next(NUMBERS)}"
        else:
            thing.db_cluster_resource_id = f"cluster-M{next(NUMBERS)}"
            thing.earliest_restorable_time = moment(WORLD.instant - 86400)
        awaited = restored and WORLD.settings.awaited
        TIMED[id_of(thing)] = Timed(WORLD.later(what, name_of(thing)), awaited, WORLD.settings.becomes if restored else "")
        TIMED[id_of(thing)].backs_up = WORLD.settings.seconds("back_up", name_of(thing)) if restored else 0.0
        thing.status = "creating"

    # changing

    def modify_db_instance(self) -> ActionResult:
        self._settled(self.backend.databases, "DBInstanceIdentifier")
        return super().modify_db_instance()

    def modify_db_cluster(self) -> ActionResult:
        cluster = self._settled(self.backend.clusters, "DBClusterIdentifier")
        protected = self.params.get("DeletionProtection")
        answer = super().modify_db_cluster()
        cluster.deletion_protection = cluster.deletion_protection if protected is None else protected
        return answer

    def _settled(self, things: Any, key: str, *, leaving: bool = False) -> Any:
        self.sweep()
        if (name := self.params[key]) not in things:
            raise RDSClientError(f"{key.removesuffix('Identifier')}NotFound{'Fault' if 'Cluster' in key else ''}", f"{name} not found")
        thing = things[name]
        timed = TIMED[id_of(thing)]
        if timed.status(name) not in ("available", timed.becomes):
            raise RDSClientError(
                f"Invalid{key.removesuffix('Identifier')}State{'Fault' if 'Cluster' in key else ''}", f"{name} is {timed.status(name)}"
            )
        if leaving and thing.deletion_protection:
            raise RDSClientError("InvalidParameterCombination", f"Cannot delete protected {name}")
        if leaving and not self.params.get("SkipFinalSnapshot"):
            raise RDSClientError("SnapshotQuotaExceeded", "no room for a final snapshot")
        if leaving:
            timed.gone_at = WORLD.later("delete", name)
        else:
            timed.busy_until = WORLD.later("modify", name)
        return thing

    def delete_db_instance(self) -> ActionResult:
        return ActionResult({"DBInstance": self._settled(self.backend.databases, "DBInstanceIdentifier", leaving=True)})

    def delete_db_cluster(self) -> ActionResult:
        name = self.params["DBClusterIdentifier"]
        members = [each for each in self.backend.databases.values() if getattr(each, "db_cluster_identifier", None) == name]
        if any(TIMED[id_of(each)].gone_at is None for each in members):
            raise RDSClientError(
                "InvalidDBClusterStateFault", "Cluster cannot be deleted, it still contains DB instances in non-deleting state."
            )
        return ActionResult({"DBCluster": self._settled(self.backend.clusters, "DBClusterIdentifier", leaving=True)})

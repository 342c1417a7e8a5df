"""What a store is restored from and to: an instance (RDS) or a cluster (Aurora), as Amazon describes it.

The two have the same calls under different names, and that is nearly all that parts RDS from Aurora.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from midtime.model.topology.cloud import Aurora, Rds
from midtime.stores.aws.refusals import code_of
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.refusals import NO_BACKUPS, NOT_THERE

READY = frozenset({"available", "storage-optimization", "storage-initialization", "storage-config-upgrade"})
"""Serves queries and takes changes."""
_WORKED_ON = READY | {"backing-up", "modifying", "maintenance", "upgrading"}
"""Serves queries, and its history goes on, while somebody changes it, be it the service: right after a restore it makes a first backup."""
FAILED = frozenset({
    "failed", "restore-error", "storage-full", "incompatible-restore", "incompatible-network", "incompatible-option-group",
    "incompatible-parameters", "incompatible-credentials", "incompatible-create", "insufficient-capacity",
    "inaccessible-encryption-credentials", "inaccessible-encryption-credentials-recoverable", "cloning-failed", "migration-failed",
})  # fmt: skip
"""What a person has to see to; waiting does not help."""
_EVENTS_OF_MINUTES = 14 * 24 * 60
"""Amazon keeps events for 14 days."""


@dataclass(frozen=True, slots=True)
class Server:
    """One instance or cluster."""

    name: str
    resource_id: str
    """Stays through renames; another one means that it was made anew."""
    arn: str
    status: str
    engine: str
    """Amazon's own word: ``postgres``, ``aurora-mysql``, ``oracle-ee`` …"""
    version: str
    address: str
    """Of who writes; empty where it has none yet."""
    port: int
    latest: datetime | None
    days: int
    """For which automated backups are kept; 0: none are."""
    tags: Mapping[str, str]
    said: Mapping[str, Any] = field(compare=False)

    @property
    def ready(self) -> bool:
        """Serves queries, and takes changes."""
        return self.status in READY

    @property
    def serves(self) -> bool:
        """Serves queries, whatever is being done with it."""
        return self.status in _WORKED_ON or self.status.startswith("configuring-")

    @property
    def account(self) -> str:
        """Amazon's number of it."""
        return self.arn.split(":")[4]


@dataclass(frozen=True, slots=True)
class Kept:
    """Automated backups, which may outlive what they are of."""

    earliest: datetime | None
    latest: datetime | None


class Flavour:
    """How Amazon calls things."""

    noun: ClassVar[str]
    name: ClassVar[str]
    """The parameter that names one."""
    resource: ClassVar[str]
    listing: ClassVar[str]
    describe: ClassVar[str]
    by_resource: ClassVar[str]
    status: ClassVar[str]
    arn: ClassVar[str]
    backups: ClassVar[tuple[str, str, str]]
    """The call, the list in its answer, the parameter."""
    verbs: ClassVar[tuple[str, str, str]]
    """Restore, modify, delete."""
    target: ClassVar[str]
    """In a request to restore: the new one's name."""
    source: ClassVar[str]
    """In a request to restore: the resource id of what is restored."""
    instant: ClassVar[str]
    events: ClassVar[str]

    def live(self, spec: Rds | Aurora) -> str:
        """The name that the topology has."""
        return spec.instance if isinstance(spec, Rds) else spec.cluster

    def find(self, aws: RdsClients, name: str) -> Server | None:
        """The one of that name."""
        return next(self._described(aws, **{self.name: name}), None)

    def find_by_resource(self, aws: RdsClients, resource_id: str) -> Server | None:
        """The one with that resource id, whatever it is called now."""
        asked = [{"Name": self.by_resource, "Values": [resource_id]}]
        return next((each for each in self._described(aws, Filters=asked) if each.resource_id == resource_id), None)

    def kept(self, aws: RdsClients, resource_id: str) -> Kept | None:
        """Its automated backups."""
        call, listing, parameter = self.backups
        with aws.errors(aws.store):
            try:
                found = getattr(aws.control, call)(**{parameter: resource_id})[listing]
            except ClientError as error:
                if code_of(error) in NO_BACKUPS | NOT_THERE:
                    return None
                raise
        return next((_kept(each) for each in found if each.get(self.resource, "").lower() == resource_id.lower()), None)

    def restore(self, aws: RdsClients, name: str, source: str, instant: datetime, **wanted: Any) -> None:
        """Ask for a new one.

        :param source: resource id
        """
        self._call(aws, self.verbs[0], **{self.target: name, self.source: source, self.instant: instant}, **wanted)

    def modify(self, aws: RdsClients, name: str, **changes: Any) -> None:
        """At once, not in the next maintenance window."""
        self._call(aws, self.verbs[1], **{self.name: name, "ApplyImmediately": True}, **changes)

    def delete(self, aws: RdsClients, name: str, **more: Any) -> None:
        """Without a final snapshot."""
        self._call(aws, self.verbs[2], **{self.name: name, "SkipFinalSnapshot": True}, **more)

    def words_of(self, aws: RdsClients, name: str) -> str:
        """What Amazon's events say last; empty where they say nothing."""
        with aws.errors(aws.store):
            found = aws.control.describe_events(SourceIdentifier=name, SourceType=self.events, Duration=_EVENTS_OF_MINUTES)["Events"]
        return str(found[-1]["Message"]) if found else ""

    def address(self, said: Mapping[str, Any]) -> tuple[str, int]:
        """Of who writes."""
        raise NotImplementedError

    def _described(self, aws: RdsClients, **asked: Any) -> Iterator[Server]:
        with aws.errors(aws.store):
            try:
                found = getattr(aws.control, self.describe)(**asked)[self.listing]
            except ClientError as error:
                if code_of(error) in NOT_THERE:
                    return
                raise
        yield from map(self._server, found)

    def _server(self, said: Mapping[str, Any]) -> Server:
        address, port = self.address(said)
        return Server(
            name=said[self.name],
            resource_id=said[self.resource],
            arn=said[self.arn],
            status=said.get(self.status) or "",
            engine=said["Engine"],
            version=said.get("EngineVersion") or "",
            address=address,
            port=port,
            latest=said.get("LatestRestorableTime"),
            days=int(said.get("BackupRetentionPeriod") or 0),
            tags={each["Key"]: each.get("Value", "") for each in said.get("TagList") or ()},
            said=said,
        )

    def _call(self, aws: RdsClients, verb: str, **asked: Any) -> None:
        with aws.errors(aws.store):
            getattr(aws.paced, verb)(**asked)


class Instances(Flavour):
    """RDS: an instance is all there is."""

    noun = "instance"
    name, resource, listing, describe = "DBInstanceIdentifier", "DbiResourceId", "DBInstances", "describe_db_instances"
    by_resource, status, arn = "dbi-resource-id", "DBInstanceStatus", "DBInstanceArn"
    backups = ("describe_db_instance_automated_backups", "DBInstanceAutomatedBackups", "DbiResourceId")
    verbs = ("restore_db_instance_to_point_in_time", "modify_db_instance", "delete_db_instance")
    target, source, instant, events = "TargetDBInstanceIdentifier", "SourceDbiResourceId", "RestoreTime", "db-instance"

    def address(self, said: Mapping[str, Any]) -> tuple[str, int]:
        """Missing while it is made."""
        endpoint = said.get("Endpoint") or {}
        return endpoint.get("Address") or "", int(endpoint.get("Port") or 0)

    def make(self, aws: RdsClients, name: str, **wanted: Any) -> None:
        """A new one, in a cluster."""
        self._call(aws, "create_db_instance", **{self.name: name}, **wanted)


class Clusters(Flavour):
    """Aurora: the data are the cluster's; its instances come and go."""

    noun = "cluster"
    name, resource, listing, describe = "DBClusterIdentifier", "DbClusterResourceId", "DBClusters", "describe_db_clusters"
    by_resource, status, arn = "db-cluster-resource-id", "Status", "DBClusterArn"
    backups = ("describe_db_cluster_automated_backups", "DBClusterAutomatedBackups", "DbClusterResourceId")
    verbs = ("restore_db_cluster_to_point_in_time", "modify_db_cluster", "delete_db_cluster")
    target, source, instant, events = "DBClusterIdentifier", "SourceDbClusterResourceId", "RestoreToTime", "db-cluster"

    def address(self, said: Mapping[str, Any]) -> tuple[str, int]:
        """The writer's, whichever instance that is."""
        return said.get("Endpoint") or "", int(said.get("Port") or 0)


INSTANCES, CLUSTERS = Instances(), Clusters()


def flavour_of(spec: Rds | Aurora) -> Flavour:
    """Of a store's engine."""
    return INSTANCES if isinstance(spec, Rds) else CLUSTERS


def members_of(aws: RdsClients, cluster: Server) -> list[Server]:
    """A cluster's instances, its writer first; none of an instance's."""
    writers = {each["DBInstanceIdentifier"]: each.get("IsClusterWriter", False) for each in cluster.said.get("DBClusterMembers") or ()}
    found = [INSTANCES.find(aws, name) for name in sorted(writers, key=lambda name: (not writers[name], name))]
    return [each for each in found if each]


def _kept(said: Mapping[str, Any]) -> Kept:
    window = said.get("RestoreWindow") or {}
    return Kept(window.get("EarliestTime"), window.get("LatestTime"))

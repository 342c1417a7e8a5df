"""An account of Amazon's with RDS that is a dictionary: every call is counted, its clock stands still, and it can be left at any call.

Each request is held against Amazon's own model of it, as the SDK has it: a parameter that there is not is an error here, too.
"""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from tests.unit.stores.rds.described import CLUSTER, INSTANCE, described

REGION, ACCOUNT = "eu-west-1", "123456789012"
START = datetime(2026, 11, 21, 2, 0, 0, tzinfo=UTC)


class LeftError(BaseException):
    """The process is gone."""


def refusal(code: str, operation: str = "Call", status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": f"{code} says Amazon"}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation
    )


@cache
def _shapes() -> dict[str, Any]:
    model = botocore.session.get_session().get_service_model("rds")
    return {botocore.xform_name(name): model.operation_model(name).input_shape for name in model.operation_names}


@dataclass
class Thing:
    """An instance or a cluster."""

    name: str
    resource_id: str
    content: str
    said: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    seen_at: float = 0.0
    ready_at: float = 0.0
    busy_until: float = 0.0
    gone_at: float | None = None
    broken: str = ""
    """A state that it comes to, instead of being available."""

    def status(self, now: float) -> str:
        if self.gone_at is not None:
            return "deleting"
        if now < self.ready_at:
            return "creating"
        return self.broken or ("modifying" if now < self.busy_until else "available")


class Memory:
    """The account. Its calls are methods of the names that the SDK gives them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.instances: dict[str, Thing] = {}
        self.clusters: dict[str, Thing] = {}
        self.kept: dict[str, dict[str, Any]] = {}
        """Automated backups by resource id, also of what is gone."""
        self.events: dict[str, list[str]] = {}
        self.quota, self.lag, self.hidden, self.becomes = 20, 300.0, 0.0, ""
        self.endpoints: list[dict[str, Any]] = []
        self.groups = {"private", "tuned", "tuned-cluster", "options", "drills"}
        self.offered: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.leave_at: int | None = None
        self.before_each: Callable[[str, Mapping[str, Any]], None] = lambda operation, asked: None
        self._ids = itertools.count(1)

    # for tests

    def make(self, name: str, content: str, *, cluster: bool = False, of: str = "", **said: Any) -> Thing:
        number = next(self._ids)
        resource = f"{'cluster' if cluster else 'db'}-R{number}"
        arn = f"arn:aws:rds:{REGION}:{ACCOUNT}:{'cluster' if cluster else 'db'}:{name}"
        thing = Thing(name, resource, content, {**copy.deepcopy(CLUSTER if cluster else INSTANCE), "Arn": arn, **said})
        if of:
            thing.said["DBClusterIdentifier"] = of
        (self.clusters if cluster else self.instances)[name] = thing
        if not of:
            self.kept[resource] = {"status": "active", "earliest": self.now - 9e5, "kind": "cluster" if cluster else "instance"}
        return thing

    def rename(self, old: str, new: str) -> None:
        for things in (self.instances, self.clusters):
            if old in things:
                things[new] = things.pop(old)
                things[new].name = new

    def lose(self, name: str, *, retained: bool) -> None:
        """Somebody deletes it."""
        thing = (self.instances | self.clusters)[name]
        self.instances.pop(name, None)
        self.clusters.pop(name, None)
        if retained:
            self.kept[thing.resource_id] |= {"status": "retained", "latest": self.now}
        else:
            del self.kept[thing.resource_id]

    @property
    def left(self) -> bool:
        return self.leave_at is not None and self.counts.total() >= self.leave_at

    def moment(self, at: float) -> datetime:
        return START + timedelta(seconds=at)

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)

    def contents(self) -> dict[str, str]:
        every = {**self.clusters, **self.instances}
        return {name: thing.content for name, thing in sorted(every.items()) if thing.gone_at is None}

    def requests(self, operation: str) -> list[Mapping[str, Any]]:
        return [asked for called, asked in self.asked if called == operation]

    def client(self) -> Any:
        memory = self

        class Client:
            def __getattr__(self, name: str) -> Any:
                if name == "get_paginator":
                    return lambda operation: SimpleNamespace(paginate=lambda **asked: iter([memory.call(operation, asked)]))
                return lambda **asked: memory.call(name, asked)

        return Client()

    def call(self, operation: str, asked: Mapping[str, Any]) -> Any:
        if self.left:
            raise LeftError(operation)
        self.counts[operation] += 1
        if errors := ParamValidator().validate(asked, _shapes()[operation]).generate_report():
            raise AssertionError(f"{operation}: {errors}")
        self.asked.append((operation, asked))
        for things in (self.instances, self.clusters):
            for name in [name for name, each in things.items() if each.gone_at is not None and each.gone_at <= self.now]:
                del things[name]
        self.before_each(operation, asked)
        return getattr(self, operation)(**asked)

    # reading

    def describe_db_instances(self, DBInstanceIdentifier: str = "", Filters: Any = ()) -> Any:  # noqa: N803
        return {
            "DBInstances": [
                self._instance(each) for each in self._found(self.instances, "DBInstanceNotFound", DBInstanceIdentifier, Filters)
            ]
        }

    def describe_db_clusters(self, DBClusterIdentifier: str = "", Filters: Any = ()) -> Any:  # noqa: N803
        found = self._found(self.clusters, "DBClusterNotFoundFault", DBClusterIdentifier, Filters)
        return {"DBClusters": [self._cluster(each) for each in found]}

    def _found(self, things: dict[str, Thing], missing: str, name: str, filters: Any) -> list[Thing]:
        there = {each.name: each for each in things.values() if each.seen_at <= self.now}
        if name:
            if name not in there:
                raise refusal(missing)
            return [there[name]]
        (wanted,) = filters
        assert wanted["Name"] in ("dbi-resource-id", "db-cluster-resource-id")
        return [each for each in there.values() if each.resource_id in wanted["Values"]]

    def _instance(self, thing: Thing) -> dict[str, Any]:
        status = thing.status(self.now)
        said = {key: value for key, value in thing.said.items() if key != "Arn"}
        if status != "creating":
            said["Endpoint"] = {"Address": f"{thing.name}.x.{REGION}.rds.amazonaws.com", "Port": said.get("Port", 5432)}
        said.pop("Port", None)
        own = (
            {} if "DBClusterIdentifier" in said or not said.get("BackupRetentionPeriod") else {"LatestRestorableTime": self._latest(thing)}
        )
        return {**said, **own, **self._common(thing), "DBInstanceIdentifier": thing.name, "DbiResourceId": thing.resource_id,
                "DBInstanceStatus": status, "DBInstanceArn": thing.said["Arn"]}  # fmt: skip

    def _cluster(self, thing: Thing) -> dict[str, Any]:
        members = [each for each in self.instances.values() if each.said.get("DBClusterIdentifier") == thing.name]
        said = {key: value for key, value in thing.said.items() if key != "Arn"}
        if self.endpoints and thing.content == "live":
            said["CustomEndpoints"] = ["x"]
        return {
            **said, **self._common(thing), "DBClusterIdentifier": thing.name, "DbClusterResourceId": thing.resource_id,
            "Status": thing.status(self.now), "DBClusterArn": thing.said["Arn"], "Endpoint": f"{thing.name}.cluster-x.{REGION}.rds.amazonaws.com",
            "EarliestRestorableTime": self.moment(self.kept[thing.resource_id]["earliest"]), "LatestRestorableTime": self._latest(thing),
            "DBClusterMembers": [{"DBInstanceIdentifier": each.name, "IsClusterWriter": number == 0} for number, each in enumerate(members)],
        }  # fmt: skip

    def _common(self, thing: Thing) -> dict[str, Any]:
        return {"TagList": [{"Key": key, "Value": value} for key, value in thing.tags.items()]}

    def _latest(self, thing: Thing) -> datetime:
        return self.moment(self.kept.get(thing.resource_id, {}).get("latest", self.now - self.lag))

    def describe_db_instance_automated_backups(self, DbiResourceId: str) -> Any:  # noqa: N803
        return {"DBInstanceAutomatedBackups": self._backups(DbiResourceId, "DbiResourceId", "DBInstanceAutomatedBackupNotFound")}

    def describe_db_cluster_automated_backups(self, DbClusterResourceId: str) -> Any:  # noqa: N803
        return {
            "DBClusterAutomatedBackups": self._backups(DbClusterResourceId, "DbClusterResourceId", "DBClusterAutomatedBackupNotFoundFault")
        }

    def _backups(self, resource: str, key: str, missing: str) -> list[dict[str, Any]]:
        if resource not in self.kept:
            raise refusal(missing)
        said = self.kept[resource]
        window = {"EarliestTime": self.moment(said["earliest"]), "LatestTime": self.moment(said.get("latest", self.now - self.lag))}
        return [{key: resource, "Status": said["status"], "RestoreWindow": window, "BackupRetentionPeriod": 7}]

    def describe_db_cluster_endpoints(self, DBClusterIdentifier: str) -> Any:  # noqa: N803
        return {"DBClusterEndpoints": [{"EndpointType": "CUSTOM", **each} for each in self.endpoints]}

    def describe_events(self, SourceIdentifier: str, SourceType: str, Duration: int) -> Any:  # noqa: N803
        assert Duration <= 14 * 24 * 60
        return {"Events": [{"Message": each} for each in self.events.get(SourceIdentifier, ())]}

    def describe_orderable_db_instance_options(self, Engine: str, **_: Any) -> Any:  # noqa: N803
        aurora = Engine.startswith("aurora")
        return {"OrderableDBInstanceOptions": [each for each in self.offered if (each["StorageType"] == "aurora") == aurora]}

    def _group(self, key: str, name: str, missing: str, listing: str) -> Any:
        if name not in self.groups and missing:
            raise refusal(missing)
        return {listing: [{key: each} for each in self.groups if each == name]}

    def describe_db_subnet_groups(self, DBSubnetGroupName: str) -> Any:  # noqa: N803
        return self._group("DBSubnetGroupName", DBSubnetGroupName, "DBSubnetGroupNotFoundFault", "DBSubnetGroups")

    def describe_db_parameter_groups(self, DBParameterGroupName: str) -> Any:  # noqa: N803
        return self._group("DBParameterGroupName", DBParameterGroupName, "DBParameterGroupNotFound", "DBParameterGroups")

    def describe_db_cluster_parameter_groups(self, DBClusterParameterGroupName: str) -> Any:  # noqa: N803
        return self._group("DBClusterParameterGroupName", DBClusterParameterGroupName, "", "DBClusterParameterGroups")

    def describe_option_groups(self, OptionGroupName: str) -> Any:  # noqa: N803
        return self._group("OptionGroupName", OptionGroupName, "OptionGroupNotFoundFault", "OptionGroupsList")

    # restoring

    def _room(self, things: dict[str, Thing], name: str, taken: str, full: str) -> None:
        if name in things:
            raise refusal(taken)
        if len(self.instances) + len(self.clusters) >= self.quota:
            raise refusal(full)

    def _source(self, resource: str, missing: str, instant: datetime) -> Thing | None:
        if resource not in self.kept:
            raise refusal(missing)
        source = next((each for each in (*self.instances.values(), *self.clusters.values()) if each.resource_id == resource), None)
        if (
            not self.moment(self.kept[resource]["earliest"])
            <= instant
            < self.moment(self.kept[resource].get("latest", self.now - self.lag))
        ):
            raise refusal("InvalidRestoreFault")
        return source

    def restore_db_instance_to_point_in_time(
        self, TargetDBInstanceIdentifier: str, SourceDbiResourceId: str, RestoreTime: datetime, Tags: Any, **asked: Any  # noqa: N803
    ) -> None:  # fmt: skip
        self._room(self.instances, TargetDBInstanceIdentifier, "DBInstanceAlreadyExists", "InstanceQuotaExceeded")
        self._source(SourceDbiResourceId, "DBInstanceNotFound", RestoreTime)
        self._made(self.make(TargetDBInstanceIdentifier, "then"), INSTANCE, asked, Tags, 60)

    def restore_db_cluster_to_point_in_time(
        self, DBClusterIdentifier: str, SourceDbClusterResourceId: str, RestoreToTime: datetime, Tags: Any, **asked: Any  # noqa: N803
    ) -> None:  # fmt: skip
        self._room(self.clusters, DBClusterIdentifier, "DBClusterAlreadyExistsFault", "DBClusterQuotaExceededFault")
        self._source(SourceDbClusterResourceId, "DBClusterNotFoundFault", RestoreToTime)
        self._made(self.make(DBClusterIdentifier, "then", cluster=True), CLUSTER, asked, Tags, 60)

    def create_db_instance(self, DBInstanceIdentifier: str, DBClusterIdentifier: str, Tags: Any, **asked: Any) -> None:  # noqa: N803
        self._room(self.instances, DBInstanceIdentifier, "DBInstanceAlreadyExists", "InstanceQuotaExceeded")
        if self.clusters[DBClusterIdentifier].status(self.now) != "available":
            raise refusal("InvalidDBClusterStateFault")
        self._made(self.make(DBInstanceIdentifier, "member", of=DBClusterIdentifier), INSTANCE, asked, Tags, 40)

    def _made(self, thing: Thing, like: Mapping[str, Any], asked: Mapping[str, Any], tags: Any, seconds: float) -> None:
        """With the defaults of what is not asked for."""
        keep = {key: thing.said[key] for key in ("Arn", "DBClusterIdentifier") if key in thing.said}
        plain = {
            key: like[key]
            for key in ("Engine", "EngineVersion", "AllocatedStorage", "StorageEncrypted", "BackupRetentionPeriod")
            if key in like
        }
        thing.said = {**plain, **keep, **described(asked, cluster=like is CLUSTER)}
        thing.tags = {each["Key"]: each["Value"] for each in tags}
        thing.seen_at, thing.ready_at, thing.broken = self.now + self.hidden, self.now + seconds, self.becomes

    # changing

    def _settled(self, things: dict[str, Thing], name: str, missing: str, busy: str) -> Thing:
        if name not in things or things[name].seen_at > self.now:
            raise refusal(missing)
        if things[name].status(self.now) not in ("available", things[name].broken):
            raise refusal(busy)
        return things[name]

    def modify_db_instance(self, DBInstanceIdentifier: str, ApplyImmediately: bool, **asked: Any) -> None:  # noqa: N803
        thing = self._settled(self.instances, DBInstanceIdentifier, "DBInstanceNotFound", "InvalidDBInstanceState")
        assert ApplyImmediately, "or it waits for the next maintenance window"
        thing.said |= described(asked, cluster=False)
        thing.busy_until = self.now + 8

    def modify_db_cluster(self, DBClusterIdentifier: str, ApplyImmediately: bool, **asked: Any) -> None:  # noqa: N803
        thing = self._settled(self.clusters, DBClusterIdentifier, "DBClusterNotFoundFault", "InvalidDBClusterStateFault")
        assert "EnableHttpEndpoint" not in asked, "taken and ignored, but for Aurora Serverless v1"
        assert ApplyImmediately, "or it waits for the next maintenance window"
        thing.said |= described(asked, cluster=True)
        thing.busy_until = self.now + 8

    def add_tags_to_resource(self, ResourceName: str, Tags: Any) -> None:  # noqa: N803
        thing = next(each for each in (*self.instances.values(), *self.clusters.values()) if each.said["Arn"] == ResourceName)
        thing.tags |= {each["Key"]: each["Value"] for each in Tags}

    def delete_db_instance(self, DBInstanceIdentifier: str, SkipFinalSnapshot: bool, DeleteAutomatedBackups: bool = True) -> None:  # noqa: N803
        self._leave(self._settled(self.instances, DBInstanceIdentifier, "DBInstanceNotFound", "InvalidDBInstanceState"), SkipFinalSnapshot)

    def delete_db_cluster(self, DBClusterIdentifier: str, SkipFinalSnapshot: bool, DeleteAutomatedBackups: bool = True) -> None:  # noqa: N803
        if any(each.said.get("DBClusterIdentifier") == DBClusterIdentifier and each.gone_at is None for each in self.instances.values()):
            raise refusal("InvalidDBClusterStateFault")
        self._leave(
            self._settled(self.clusters, DBClusterIdentifier, "DBClusterNotFoundFault", "InvalidDBClusterStateFault"), SkipFinalSnapshot
        )

    def _leave(self, thing: Thing, skip: bool) -> None:
        assert skip, "a final snapshot would be left"
        if thing.said.get("DeletionProtection"):
            raise refusal("InvalidParameterCombination")
        thing.gone_at = self.now + 30


def left_at_each(memory: Memory, files: Callable[[], Mapping[Any, bytes]], put: Callable[[Mapping[Any, bytes]], None],
                 begin: Callable[[], object], check: Callable[[int], None]) -> int:  # fmt: skip
    """Begin again and again from the same state, to be left at the first call, at the second, ...

    :return: how many calls there were
    """
    state = ("instances", "clusters", "kept", "now")
    before, noted = copy.deepcopy({key: getattr(memory, key) for key in state}), files()
    for number in itertools.count():
        for key, value in copy.deepcopy(before).items():
            setattr(memory, key, value)
        put(noted)
        memory.counts.clear()
        memory.leave_at = number
        try:
            begin()
        except LeftError:
            memory.leave_at = None
            check(number)
            continue
        memory.leave_at = None
        return memory.counts.total()
    raise AssertionError

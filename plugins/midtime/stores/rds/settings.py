"""What a restore of an instance or a cluster loses, as it was when it was marked, in the words of Amazon's own requests.

So whoever puts a setting back hands it over again; and what is different now is told in the same words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from midtime.model.restore_point import Instant, Record
from midtime.stores.marks import Mark, Spoken

GP3_IOPS, GP3_THROUGHPUT = 3000, 125
"""What every gp3 volume has; a smaller one takes no request for it."""
_AS_SAID = (
    "AutoMinorVersionUpgrade", "BackupRetentionPeriod", "CopyTagsToSnapshot", "DeletionProtection", "LicenseModel",
    "MaxAllocatedStorage", "MonitoringInterval", "MonitoringRoleArn", "MultiAZ", "NetworkType", "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod", "PreferredBackupWindow", "PreferredMaintenanceWindow", "PubliclyAccessible", "StorageType",
    "DedicatedLogVolume", "DatabaseInsightsMode", "CACertificateIdentifier", "ProcessorFeatures", "DBInstanceClass", "PromotionTier",
    "ServerlessV2ScalingConfiguration",
)  # fmt: skip
"""Called the same in an answer as in a request."""
_OTHERWISE = {
    "IAMDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
    "EnabledCloudwatchLogsExports": "EnableCloudwatchLogsExports",
    "PerformanceInsightsEnabled": "EnablePerformanceInsights",
    "HttpEndpointEnabled": "EnableHttpEndpoint",
    "DBClusterParameterGroup": "DBClusterParameterGroupName",
}
"""Called otherwise."""


class Member(Record):
    """One instance of a cluster."""

    name: str
    writer: bool = False
    settings: dict[str, Any]
    tags: dict[str, str] = {}


class MarkedServer(Mark):
    """The artifact: the instance or cluster at the mark."""

    region: str
    account: str
    name: str
    resource_id: str
    engine: str
    engine_version: str
    days: int
    """For which automated backups were kept."""
    earliest: Instant | None = None
    latest: Instant | None = None
    allocated: int = 0
    """Gibibytes."""
    encrypted: bool = False
    settings: dict[str, Any]
    tags: dict[str, str] = {}
    roles: tuple[str, ...] = ()
    """IAM roles, each with the feature that it is for: listed, never put back."""
    members: tuple[Member, ...] = ()
    """The writer first."""
    endpoints: tuple[dict[str, Any], ...] = ()
    """Custom ones of a cluster: listed, never put back."""


def settings_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody chose. What is off, or not there, is left out."""
    found = {key: said.get(key) for key in _AS_SAID} | {ours: said.get(theirs) for theirs, ours in _OTHERWISE.items()}
    found |= {
        "DBSubnetGroupName": _subnet_group(said.get("DBSubnetGroup")),
        "VpcSecurityGroupIds": sorted(each["VpcSecurityGroupId"] for each in said.get("VpcSecurityGroups") or ()),
        "DBParameterGroupName": _first(said.get("DBParameterGroups"), "DBParameterGroupName"),
        "OptionGroupName": _first(said.get("OptionGroupMemberships"), "OptionGroupName"),
        "Port": said.get("Port") or (said["Endpoint"].get("Port") if isinstance(said.get("Endpoint"), Mapping) else None),
        "BacktrackWindow": said.get("BacktrackWindow") or None,  # Aurora PostgreSQL has none, and takes no request for it
        **_domain(said),
        **_speed(said),
    }
    return {key: _plain(value) for key, value in found.items() if value not in (None, [], {}, "")}


def roles_of(said: Mapping[str, Any]) -> tuple[str, ...]:
    """IAM roles."""
    return tuple(sorted(f"{each['RoleArn']} ({each.get('FeatureName') or 'any'})" for each in said.get("AssociatedRoles") or ()))


def own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Those that somebody chose: neither Amazon's nor ours."""
    return {key: value for key, value in tags.items() if not key.startswith(("aws:", "midtime:"))}


def spoken(settings: Mapping[str, Any], tags: Mapping[str, str], roles: Iterable[str] = ()) -> Spoken:
    """In words."""
    for key, value in sorted(settings.items()):
        if value != 0:  # nor False
            yield key, value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    for key, value in sorted(tags.items()):
        yield f"tag {key}", repr(value)
    for role in roles:
        yield f"role {role.split(' ')[0]}", role


def _subnet_group(said: Any) -> Any:
    """An instance's is described, a cluster's is named."""
    return said.get("DBSubnetGroupName") if isinstance(said, Mapping) else said


def _domain(said: Mapping[str, Any]) -> dict[str, Any]:
    joined: Mapping[str, Any] = next(iter(said.get("DomainMemberships") or ()), {})
    return {"Domain": joined.get("Domain"), "DomainIAMRoleName": joined.get("IAMRoleName")}


def _speed(said: Mapping[str, Any]) -> dict[str, Any]:
    iops, throughput = said.get("Iops"), said.get("StorageThroughput")
    if said.get("StorageType") == "gp3":
        iops, throughput = (iops if (iops or 0) > GP3_IOPS else None), (throughput if (throughput or 0) > GP3_THROUGHPUT else None)
    return {"Iops": iops or None, "StorageThroughput": throughput or None}


def _first(said: Any, key: str) -> Any:
    return next((each.get(key) for each in said or ()), None)


def _plain(value: Any) -> Any:
    """What JSON can hold."""
    return json.loads(json.dumps(value, default=lambda each: each.isoformat() if isinstance(each, datetime) else str(each)))

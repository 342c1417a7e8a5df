"""What a copy is to be like: as marked, but not yet protected; and a drill as cheap as it can be. In the words of Amazon's requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midtime.stores.marks import with_room
from midtime.stores.rds.notes import Copy
from midtime.stores.rds.servers import INSTANCES, Flavour
from midtime.stores.rds.settings import Member
from midtime.stores.rds.standing import tags_of

_NETWORK = ("DBSubnetGroupName", "VpcSecurityGroupIds", "Port", "NetworkType", "EnableIAMDatabaseAuthentication")
"""Who may reach it, and how: from the first moment on."""
_OF_INSTANCES = (
    *_NETWORK, "DBInstanceClass", "DBParameterGroupName", "OptionGroupName", "MultiAZ", "StorageType", "Iops", "StorageThroughput",
    "MaxAllocatedStorage", "PubliclyAccessible", "AutoMinorVersionUpgrade", "CopyTagsToSnapshot", "EnableCloudwatchLogsExports",
    "BackupRetentionPeriod", "PreferredBackupWindow", "CACertificateIdentifier", "LicenseModel", "DedicatedLogVolume", "Domain",
    "DomainIAMRoleName", "ProcessorFeatures",
)  # fmt: skip
_OF_CLUSTERS = (
    *_NETWORK, "DBClusterParameterGroupName", "StorageType", "CopyTagsToSnapshot", "EnableCloudwatchLogsExports", "BackupRetentionPeriod",
    "PreferredBackupWindow", "BacktrackWindow", "ServerlessV2ScalingConfiguration",
)  # fmt: skip
_OF_MEMBERS = (
    "DBInstanceClass", "PromotionTier", "DBParameterGroupName", "PubliclyAccessible", "AutoMinorVersionUpgrade", "CopyTagsToSnapshot",
    "CACertificateIdentifier", "PreferredMaintenanceWindow", "MonitoringInterval", "MonitoringRoleArn", "EnablePerformanceInsights",
    "PerformanceInsightsRetentionPeriod", "PerformanceInsightsKMSKeyId",
)  # fmt: skip
_DEAR = (
    "MaxAllocatedStorage", "EnableCloudwatchLogsExports", "PreferredBackupWindow", "BackupRetentionPeriod", "MultiAZ", "ProcessorFeatures",
    "DedicatedLogVolume", "CopyTagsToSnapshot", "BacktrackWindow", "MonitoringInterval", "MonitoringRoleArn", "EnablePerformanceInsights",
    "PerformanceInsightsRetentionPeriod", "PerformanceInsightsKMSKeyId",
)  # fmt: skip
"""What a drill does without."""
_TOGETHER = (
    ("MonitoringInterval", "MonitoringRoleArn"),
    ("EnablePerformanceInsights", "PerformanceInsightsRetentionPeriod", "PerformanceInsightsKMSKeyId"),
)
"""What a request wants to have whole."""
AFTERWARDS: Mapping[str, tuple[str, ...]] = {
    "instance": (
        "VpcSecurityGroupIds", "DBParameterGroupName", "OptionGroupName", "MultiAZ", "MaxAllocatedStorage", "PubliclyAccessible",
        "AutoMinorVersionUpgrade", "CopyTagsToSnapshot", "EnableIAMDatabaseAuthentication", "BackupRetentionPeriod", "PreferredBackupWindow",
        "PreferredMaintenanceWindow", "MonitoringInterval", "MonitoringRoleArn", "EnablePerformanceInsights",
        "PerformanceInsightsRetentionPeriod", "PerformanceInsightsKMSKeyId",
    ),
    "cluster": (
        "VpcSecurityGroupIds", "DBClusterParameterGroupName", "CopyTagsToSnapshot", "EnableIAMDatabaseAuthentication", "BackupRetentionPeriod",
        "PreferredBackupWindow", "PreferredMaintenanceWindow", "ServerlessV2ScalingConfiguration",
    ),
}  # fmt: skip
"""What can be changed once it is there, should the restore not have brought it. Not the HTTP endpoint of a cluster, one more door into it."""


def restore_request(note: Copy, flavour: Flavour) -> dict[str, Any]:
    """Of the restore itself, beside names and instant."""
    keys = _OF_INSTANCES if flavour is INSTANCES else _OF_CLUSTERS
    wanted = _picked(note, note.marked.settings, keys)
    if note.drill and flavour is INSTANCES:
        wanted |= {"MultiAZ": False, "BackupRetentionPeriod": 0}
    elif note.drill:
        wanted["BackupRetentionPeriod"] = 1  # a cluster has backups always
    if note.instance_class and flavour is INSTANCES:
        wanted["DBInstanceClass"] = note.instance_class
    if note.subnet_group:
        wanted["DBSubnetGroupName"] = note.subnet_group
    return {**wanted, "DeletionProtection": False, "Tags": tags_for(note)}


def members_of(note: Copy) -> list[Member]:
    """A cluster's instances, its writer first; of a drill one is enough."""
    marked = sorted(note.marked.members, key=lambda each: (not each.writer, each.name))
    return marked[:1] if note.drill else marked


def member_request(note: Copy, member: Member) -> dict[str, Any]:
    """Of one instance of a cluster."""
    wanted = _picked(note, member.settings, _OF_MEMBERS)
    if note.instance_class:
        wanted["DBInstanceClass"] = note.instance_class
    return {**wanted, "DBClusterIdentifier": note.name, "Engine": note.marked.engine, "Tags": tags_for(note, member.tags)}


def tags_for(note: Copy, more: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """As requests have them."""
    own = tags_of(note)
    if more is not None and not note.drill:
        own = with_room({key: value for key, value in own.items() if key.startswith("midtime:")}, more)
    return [{"Key": key, "Value": value} for key, value in own.items()]


def changes(flavour: Flavour, wanted: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be asked for, so that it becomes what it was."""
    keys = AFTERWARDS[flavour.noun]
    different = {key for key in keys if wanted.get(key) != now.get(key) and key in wanted}
    for group in _TOGETHER:
        if different & set(group):
            different |= {key for key in group if key in wanted}
    return {key: wanted[key] for key in keys if key in different}


def _picked(note: Copy, settings: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: settings[key] for key in keys if key in settings and not (note.drill and key in _DEAR)}

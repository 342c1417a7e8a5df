"""How Amazon describes an instance and a cluster that have all the settings there are; and what a request makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

INSTANCE: dict[str, Any] = {
    "Engine": "postgres", "EngineVersion": "16.3", "DBInstanceClass": "db.r6g.2xlarge", "AllocatedStorage": 500, "StorageEncrypted": True,
    "StorageType": "gp3", "Iops": 12000, "StorageThroughput": 500, "MaxAllocatedStorage": 1000, "MultiAZ": True, "Port": 5433,
    "BackupRetentionPeriod": 7, "PreferredBackupWindow": "01:00-01:30", "PreferredMaintenanceWindow": "sun:03:00-sun:03:30",
    "DBSubnetGroup": {"DBSubnetGroupName": "private"}, "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-2"}, {"VpcSecurityGroupId": "sg-1"}],
    "DBParameterGroups": [{"DBParameterGroupName": "tuned"}], "OptionGroupMemberships": [{"OptionGroupName": "options"}],
    "PubliclyAccessible": False, "AutoMinorVersionUpgrade": True, "CopyTagsToSnapshot": True, "IAMDatabaseAuthenticationEnabled": True,
    "EnabledCloudwatchLogsExports": ["postgresql"], "DeletionProtection": True, "MonitoringInterval": 60, "MonitoringRoleArn": "arn:role/m",
    "PerformanceInsightsEnabled": True, "PerformanceInsightsRetentionPeriod": 7, "CACertificateIdentifier": "rds-ca-rsa2048-g1",
    "LicenseModel": "postgresql-license", "NetworkType": "IPV4", "AssociatedRoles": [{"RoleArn": "arn:role/s3", "FeatureName": "s3Import"}],
}  # fmt: skip
CLUSTER: dict[str, Any] = {
    "Engine": "aurora-postgresql", "EngineVersion": "16.3", "StorageEncrypted": True, "Port": 5433, "BackupRetentionPeriod": 7,
    "PreferredBackupWindow": "01:00-01:30", "PreferredMaintenanceWindow": "sun:03:00-sun:03:30", "DBSubnetGroup": "private",
    "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-1"}], "DBClusterParameterGroup": "tuned-cluster", "CopyTagsToSnapshot": True,
    "IAMDatabaseAuthenticationEnabled": True, "EnabledCloudwatchLogsExports": ["postgresql"], "DeletionProtection": True,
    "HttpEndpointEnabled": True, "NetworkType": "IPV4", "ReaderEndpoint": "r.cluster-ro-x.rds.amazonaws.com",
}  # fmt: skip
_OTHERWISE = {
    "EnableIAMDatabaseAuthentication": "IAMDatabaseAuthenticationEnabled", "EnableCloudwatchLogsExports": "EnabledCloudwatchLogsExports",
    "EnablePerformanceInsights": "PerformanceInsightsEnabled", "EnableHttpEndpoint": "HttpEndpointEnabled",
    "DBClusterParameterGroupName": "DBClusterParameterGroup",
}  # fmt: skip


def described(asked: Mapping[str, Any], *, cluster: bool) -> dict[str, Any]:
    """What a request makes of a description."""
    return dict(_described(key, value, cluster) for key, value in asked.items())


def _described(key: str, value: Any, cluster: bool) -> tuple[str, Any]:
    if key == "DBSubnetGroupName":
        return "DBSubnetGroup", value if cluster else {"DBSubnetGroupName": value}
    if key == "VpcSecurityGroupIds":
        return "VpcSecurityGroups", [{"VpcSecurityGroupId": each} for each in value]
    if key == "DBParameterGroupName":
        return "DBParameterGroups", [{"DBParameterGroupName": value}]
    if key == "OptionGroupName":
        return "OptionGroupMemberships", [{"OptionGroupName": value}]
    return _OTHERWISE.get(key, key), value

"""What RDS means by a refusal, and which of them pass by themselves."""

from __future__ import annotations

from botocore.exceptions import ClientError

from midtime.errors import NotRestorableError, StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError, TargetExistsError
from midtime.stores.aws.refusals import code_of, errors_of
from midtime.stores.reasons import Reason

NOT_THERE = frozenset({"DBInstanceNotFound", "DBInstanceNotFoundFault", "DBClusterNotFound", "DBClusterNotFoundFault"})
NO_BACKUPS = frozenset(
    {"DBInstanceAutomatedBackupNotFound", "DBInstanceAutomatedBackupNotFoundFault", "DBClusterAutomatedBackupNotFoundFault"}
)
TAKEN = frozenset({"DBInstanceAlreadyExists", "DBInstanceAlreadyExistsFault", "DBClusterAlreadyExists", "DBClusterAlreadyExistsFault"})
FULL = frozenset({
    "InstanceQuotaExceeded", "InstanceQuotaExceededFault", "StorageQuotaExceeded", "StorageQuotaExceededFault",
    "DBClusterQuotaExceededFault", "InsufficientDBInstanceCapacity", "InsufficientDBInstanceCapacityFault",
    "InsufficientDBClusterCapacityFault", "InsufficientStorageClusterCapacity", "ProvisionedIopsNotAvailableInAZFault",
})  # fmt: skip
"""The account, or Amazon, has no room now."""
BUSY = frozenset(["InvalidDBInstanceState", "InvalidDBInstanceStateFault", "InvalidDBClusterStateFault"])
"""Something else is being done with it."""
_THROTTLED = frozenset(["Throttling", "ThrottlingException", "RequestLimitExceeded"])
_MISSING = Reason(StoreAccessError, "not there", "correct the store's region and its instance or cluster, and its connection's account")
_LACKS = Reason(
    StoreAccessError,
    "something that it had is gone, or does not fit any more",
    "make it again under its old name; a drill's target may name another `subnet_group` and `instance_class`",
)
_NO_KEY = Reason(
    StoreAccessError,
    "its KMS key cannot be used",
    "enable the key or cancel its deletion, and let the login use it: without it nothing of this store can be restored",
)
_NO_HISTORY = Reason(NotRestorableError, "there is no such history", "see who switched the automated backups off, or removed them")
_TAKEN = Reason(TargetExistsError, "the name is taken", "choose another name")
_FULL = Reason(StoreStatementError, "no room", "raise the account's quota of instances, clusters or storage, or remove some")
_BUSY = Reason(StoreStatementError, "busy", "wait until the instance or cluster is available")
aws_errors = errors_of(
    "docs/rds.md",
    {
        _MISSING: " ".join(NOT_THERE),
        _LACKS: "DBParameterGroupNotFound DBParameterGroupNotFoundFault DBClusterParameterGroupNotFound DBClusterParameterGroupNotFoundFault "
        "DBSubnetGroupNotFoundFault OptionGroupNotFoundFault InvalidSubnet InvalidVPCNetworkStateFault DBSubnetGroupDoesNotCoverEnoughAZs "
        "DBSecurityGroupNotFound CertificateNotFound DomainNotFoundFault NetworkTypeNotSupported StorageTypeNotSupported "
        "StorageTypeNotSupportedFault InvalidParameterValue InvalidParameterCombination",
        _NO_KEY: "KMSKeyNotAccessibleFault",
        _NO_HISTORY: " ".join(["PointInTimeRestoreNotEnabled", "PointInTimeRestoreNotEnabledFault", "InvalidRestoreFault", *NO_BACKUPS]),
        _TAKEN: " ".join(TAKEN),
        _FULL: " ".join(FULL),
        _BUSY: " ".join(BUSY),
    },
)


def refused_with(error: StoreError) -> str:
    """The service's own word for what became an error of ours."""
    return code_of(error.__cause__) if isinstance(error.__cause__, ClientError) else ""


def passes(error: StoreError) -> bool:
    """Whether the next look may find that it has passed by itself."""
    return isinstance(error, StoreUnreachableError) or refused_with(error) in FULL | BUSY | _THROTTLED

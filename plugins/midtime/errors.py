"""Every error that Midtime raises on purpose.

::

    MidtimeError
    ├── TopologyError              a topology file is wrong
    ├── RequestError               what a person or a DAG run asked for makes no sense
    ├── StoreError                 a database of the topology
    │   ├── StoreUnreachableError    * it does not answer
    │   ├── StoreAccessError           it refuses us: connection, password, privilege, missing schema
    │   ├── StoreStatementError      * it fails a statement of ours
    │   ├── ToolError                  a client tool is missing, too old or cannot do what is needed
    │   ├── StagingSpaceError          the worker's disk has no room
    │   ├── CopyError                * the dump failed or is incomplete
    │   ├── TargetExistsError          a restore would overwrite something
    │   ├── RestoreFailedError       * the restore failed or is incomplete
    │   └── ProductRunningError        a restore into place found a product that answers
    ├── CatalogError               restore points and their artifacts
    │   ├── DestinationError         * the object store does not answer, or fails us
    │   │   └── DestinationAccessError   it refuses us: connection, credentials, permission, no such bucket
    │   ├── RestorePointNotFoundError  no such restore point
    │   ├── ManifestError              a manifest is unreadable, edited or of an unknown version
    │   │   └── ForeignManifestError       it is of a newer Midtime, or belongs elsewhere
    │   ├── ArtifactError              an artifact is missing, truncated or altered
    │   └── LeaseHeldError           * somebody else works on this
    └── VerificationError          a restored set is not what was backed up
        ├── TornError                  a transaction is half there
        └── ContentError               tables, counts or digests differ from the capture

``*`` marks what may pass when tried again (``retryable``). Each message says what happened and to whom; ``fix`` says what to do.
"""

from __future__ import annotations

from typing import ClassVar


class MidtimeError(Exception):
    """Base of all deliberate errors.

    :param message: what happened, to which store, endpoint or file
    :param fix: what the reader can do about it, one imperative sentence
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} — {self.fix}" if self.fix else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders in Airflow; the default rebuild would lose the keyword argument.
        return (_rebuild, (type(self), self.message, self.fix))


def _rebuild(kind: type[MidtimeError], message: str, fix: str) -> MidtimeError:
    return kind(message, fix=fix)


class TopologyError(MidtimeError):
    """Raised when a topology file cannot be read or breaks a rule."""


class RequestError(MidtimeError):
    """Raised when a run's parameters or a command's arguments contradict each other or the topology."""


class StoreError(MidtimeError):
    """Base of errors of one database."""


class StoreUnreachableError(StoreError):
    """Raised when a database does not answer."""

    retryable = True


class StoreAccessError(StoreError):
    """Raised when a database refuses us or lacks something that the topology names."""


class StoreStatementError(StoreError):
    """Raised when a database fails a statement for a reason of its own."""

    retryable = True


class ToolError(StoreError):
    """Raised when a client tool is missing, older than the server, or lacks a feature."""


class StagingSpaceError(StoreError):
    """Raised when the worker's staging disk is too small or full."""


class CopyError(StoreError):
    """Raised when a dump process failed, or ended without writing everything."""

    retryable = True


class TargetExistsError(StoreError):
    """Raised when a restore would overwrite an existing database."""


class RestoreFailedError(StoreError):
    """Raised when a restore process failed."""

    retryable = True


class ProductRunningError(StoreError):
    """Raised when a product still answers although its database is to be replaced."""


class CatalogError(MidtimeError):
    """Base of errors of the object store and what lies in it."""


class DestinationError(CatalogError):
    """Raised when the destination cannot be read or written."""

    retryable = True


class DestinationAccessError(DestinationError):
    """Raised when the destination is not there, or not for us."""

    retryable = False


class RestorePointNotFoundError(CatalogError):
    """Raised when the named restore point is not in the catalog."""


class ManifestError(CatalogError):
    """Raised when a manifest is unreadable, edited or newer than this code."""


class ForeignManifestError(ManifestError):
    """Raised when a manifest may well be whole but is not for us to judge: a newer Midtime's, or that of another topology or id."""


class ArtifactError(CatalogError):
    """Raised when an artifact is missing or differs from its size or SHA-256 in the manifest."""


class LeaseHeldError(CatalogError):
    """Raised when an unexpired lease of somebody else covers the object."""

    retryable = True


class VerificationError(MidtimeError):
    """Base of errors that say a restored set is not what was backed up."""


class TornError(VerificationError):
    """Raised when a transaction is only partly in the set."""


class ContentError(VerificationError):
    """Raised when tables, counts or digests differ from the capture."""

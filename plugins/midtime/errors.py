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
    │   ├── NotRestorableError         what keeps a store's history has not reached the midtime in time
    │   ├── RestoreFailedError       * the restore failed or is incomplete
    │   └── ProductRunningError        a restore into place found a product that answers
    ├── CatalogError               restore points and their artifacts
    │   ├── DestinationError         * the object store does not answer, or fails us
    │   │   └── DestinationAccessError   it refuses us: connection, credentials, permission, no such bucket
    │   ├── RestorePointNotFoundError  no such restore point
    │   ├── ManifestError              a manifest is unreadable, edited or of an unknown version
    │   │   └── ForeignManifestError       it is of a newer Midtime, or belongs elsewhere
    │   ├── ArtifactError              an artifact is missing, truncated or altered
    │   │   └── AlteredArtifactError       it is of its size, and not what was written
    │   └── LeaseHeldError           * somebody else works on this
    ├── ProductError               a Scalar product, or its admin service
    │   ├── DiscoveryError           * its endpoints cannot be looked up now
    │   │   ├── DiscoveryAccessError       we may not look, or there is nothing of that name
    │   │   └── ProductNotReadyError     * pods are not ready, have no address, or are being rolled out
    │   ├── AdminUnreachableError    * an endpoint does not answer
    │   ├── AdminAccessError           it refuses us: TLS, credentials, no admin service there
    │   ├── PauseError                 a Pause that did not pause
    │   │   ├── DrainTimeoutError        * outstanding requests did not finish; the gate is open again
    │   │   ├── OldPauseFailedError      * the same from an older server, which says no more and reopens for everybody
    │   │   ├── EarlierPauseError        * it did not drain under somebody's earlier pause, which stays
    │   │   ├── PauseInProgressError     * somebody else is pausing at this moment
    │   │   ├── UnpausedInDrainError     * somebody unpaused while we waited
    │   │   ├── PauseArgumentError         it takes our limit for nonsense
    │   │   └── PauseUnknownError        * no reply: it may have paused, or may still do so
    │   ├── ForeignPauseError        * somebody else's pause is there already
    │   └── StillPausedError         * what we paused could not be unpaused, or not be seen to be
    ├── WindowError                a pause window that proves nothing
    │   ├── ArmingError              * not everybody was ready in time; nothing was paused
    │   ├── WindowVoidError          * it was disturbed, or a capture did not report: no restore point
    │   └── NoInstantError           * no instant fits into it on every clock
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


class NotRestorableError(StoreError):
    """Raised when what keeps a store's history (an archive, a managed service) has not reached the midtime in time, or cannot be asked."""


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


class AlteredArtifactError(ArtifactError):
    """Raised when an artifact is of its size, and not what was written."""


class LeaseHeldError(CatalogError):
    """Raised when an unexpired lease of somebody else covers the object."""

    retryable = True


class ProductError(MidtimeError):
    """Base of errors of a Scalar product, or of its admin service."""


class DiscoveryError(ProductError):
    """Raised when a product's endpoints cannot be looked up now."""

    retryable = True


class DiscoveryAccessError(DiscoveryError):
    """Raised when we may not look for the endpoints, or nothing of that name is there."""

    retryable = False


class ProductNotReadyError(DiscoveryError):
    """Raised when endpoints are not ready, have no address, or are being rolled out."""


class AdminUnreachableError(ProductError):
    """Raised when an endpoint does not answer."""

    retryable = True


class AdminAccessError(ProductError):
    """Raised when an endpoint refuses us, or has no admin service."""


class PauseError(ProductError):
    """Base of what a Pause that did not pause ends with."""


class DrainTimeoutError(PauseError):
    """Raised when outstanding requests did not finish in time; the server has reopened its gate."""

    retryable = True


class OldPauseFailedError(PauseError):
    """Raised when a server of the old contract fails a Pause: its gate is open again, whoever had closed it."""

    retryable = True


class EarlierPauseError(PauseError):
    """Raised when a Pause did not drain under somebody's earlier pause, which stays and is not ours to lift."""

    retryable = True


class PauseInProgressError(PauseError):
    """Raised when somebody else is pausing at this moment."""

    retryable = True


class UnpausedInDrainError(PauseError):
    """Raised when somebody unpaused while our Pause waited."""

    retryable = True


class PauseArgumentError(PauseError):
    """Raised when the server takes our limit for nonsense; its gate is untouched."""


class PauseUnknownError(PauseError):
    """Raised when a Pause ended without a reply: the server may have paused, or may still do so."""

    retryable = True


class ForeignPauseError(ProductError):
    """Raised when an endpoint is paused, or leased, by somebody else."""

    retryable = True


class StillPausedError(ProductError):
    """Raised when what we paused could not be unpaused, or could not be seen to be."""

    retryable = True


class WindowError(MidtimeError):
    """Base of errors of a pause window that proves nothing."""


class ArmingError(WindowError):
    """Raised when not everybody was ready in time; nothing was paused."""

    retryable = True


class WindowVoidError(WindowError):
    """Raised when a window was disturbed, or a capture did not report in it: there is no restore point."""

    retryable = True


class NoInstantError(WindowError):
    """Raised when no instant fits into the window on every store's clock."""

    retryable = True


class VerificationError(MidtimeError):
    """Base of errors that say a restored set is not what was backed up."""


class TornError(VerificationError):
    """Raised when a transaction is only partly in the set."""


class ContentError(VerificationError):
    """Raised when tables, counts or digests differ from the capture."""

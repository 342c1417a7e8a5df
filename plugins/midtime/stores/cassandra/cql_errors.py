"""What Cassandra's driver raises, in our words: whether the cluster is away, refuses us, or fails what we ask."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from cassandra import (
    AuthenticationFailed,
    DriverException,
    OperationTimedOut,
    Timeout,
    Unauthorized,
    Unavailable,
    UnresolvableContactPoints,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.pool import NoConnectionsAvailable
from cassandra.protocol import ErrorMessage, IsBootstrappingErrorMessage, OverloadedErrorMessage

from midtime.errors import StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError

_ACCESS = (AuthenticationFailed, Unauthorized, ssl.SSLError)
_AWAY = (
    ConnectionBusy,
    ConnectionException,
    IsBootstrappingErrorMessage,
    NoConnectionsAvailable,
    NoHostAvailable,
    OperationTimedOut,
    OSError,
    OverloadedErrorMessage,
    Timeout,
    Unavailable,
    UnresolvableContactPoints,
)
_OF_THE_DRIVER = (DriverException, ErrorMessage, *_ACCESS, *_AWAY)
_NO_QUORUM = "Cannot achieve consistency"
"""With these words a cluster refuses a login that it could not read: too few of its nodes are up yet."""

_TLS = ("CERTIFICATE", "WRONG_VERSION_NUMBER")
"""Words of OpenSSL's: the driver makes an error of another class of them."""


@contextmanager
def cql_errors(where: str) -> Iterator[None]:
    """Turn the driver's errors into ours.

    :param where: names the cluster, and the connection, for people
    """
    try:
        yield
    except _OF_THE_DRIVER as error:
        raise store_error(where, error) from error


def store_error(where: str, error: BaseException) -> StoreError:
    """One of our errors for one of the driver's."""
    text = f"{where}: {_said(error)}"
    if any(_refuses(cause) for cause in _causes(error)):
        return StoreAccessError(text, fix="correct login, password or TLS extras of the store's `conn_id`, or grant its role what it lacks")
    if isinstance(error, (*_AWAY, *_ACCESS)):
        return StoreUnreachableError(
            f"does not answer: {text}", fix="check that enough nodes are up and their CQL port is reachable from the worker"
        )
    return StoreStatementError(text, fix="check the nodes' logs, then run again")


def _refuses(error: BaseException) -> bool:
    text = str(error)
    return (isinstance(error, _ACCESS) and _NO_QUORUM not in text) or (isinstance(error, OSError) and any(word in text for word in _TLS))


def _causes(error: BaseException) -> list[BaseException]:
    """A statement that no node could answer has as many causes as there are nodes."""
    return list(error.errors.values()) if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict) else [error]


def _said(error: BaseException) -> str:
    if isinstance(error, NoHostAvailable) and isinstance(error.errors, dict):
        return "; ".join(f"{host}: {str(cause) or type(cause).__name__}" for host, cause in error.errors.items()) or "no node can be used"
    return str(error) or type(error).__name__

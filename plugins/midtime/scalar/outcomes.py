"""What the end of an admin RPC means, as one error of ``errors.py``.

======================================================  ============================  =======================  ==========================
status                                                  ErrorInfo                     of Pause                 of Unpause and CheckPaused
======================================================  ============================  =======================  ==========================
FAILED_PRECONDITION                                     TIMED_OUT                     DrainTimeoutError        AdminUnreachableError
FAILED_PRECONDITION                                     TIMED_OUT_STILL_PAUSED        EarlierPauseError        AdminUnreachableError
ABORTED                                                 GATE_OPEN                     UnpausedInDrainError     AdminUnreachableError
ABORTED                                                 PAUSE_IN_PROGRESS             PauseInProgressError     AdminUnreachableError
FAILED_PRECONDITION                                     no trailer: the old contract  OldPauseFailedError      AdminUnreachableError
INVALID_ARGUMENT                                        any                           PauseArgumentError       AdminUnreachableError
UNIMPLEMENTED, UNAUTHENTICATED, PERMISSION_DENIED       any                           AdminAccessError         AdminAccessError
UNAVAILABLE: the TLS handshake failed, or no gRPC there  none                          AdminAccessError         AdminAccessError
everything else, also a pair that is not in this table  any                           PauseUnknownError        AdminUnreachableError
======================================================  ============================  =======================  ==========================

The contracts are told apart by the trailer, never by a version: later patch releases of old versions speak the new one. A reason counts
only when it is the single ErrorInfo of a Scalar domain, in a readable ``google.rpc.Status`` that repeats the status of the RPC.
A refused connection is *unknown* too: gRPC does not say for certain that nothing was sent.
"""

from __future__ import annotations

from typing import Any, Literal

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from midtime import errors
from midtime.scalar.endpoint import Endpoint

Verb = Literal["pause", "unpause", "check_paused"]

DOMAINS = frozenset({"com.scalar.dl.admin", "com.scalar.db.cluster.admin"})
TRAILER = "grpc-status-details-bin"
WORDS: dict[Verb, str] = {"pause": "Pause", "unpause": "Unpause", "check_paused": "CheckPaused"}

Code = grpc.StatusCode
NEW_CONTRACT: dict[tuple[grpc.StatusCode, str], tuple[type[errors.PauseError], str, str]] = {
    (Code.FAILED_PRECONDITION, "TIMED_OUT"): (
        errors.DrainTimeoutError,
        "outstanding requests did not finish within the drain limit; its gate is open again",
        "try again when long transactions have ended, look for clients that leave transactions open, or raise pause.drain",
    ),
    (Code.FAILED_PRECONDITION, "TIMED_OUT_STILL_PAUSED"): (
        errors.EarlierPauseError,
        "it did not drain under somebody's earlier pause, which stays",
        "find out who paused it and let them lift it: midtime must not",
    ),
    (Code.ABORTED, "GATE_OPEN"): (
        errors.UnpausedInDrainError,
        "somebody unpaused it while it drained",
        "find out who else pauses and unpauses it, then try again",
    ),
    (Code.ABORTED, "PAUSE_IN_PROGRESS"): (
        errors.PauseInProgressError,
        "somebody else is pausing it at this moment",
        "keep other backups of this product apart from ours in time, then try again",
    ),
}
ACCESS_FIXES = {
    Code.UNIMPLEMENTED: "give the admin port, not another port of the product",
    Code.UNAUTHENTICATED: "give the client certificate that it asks for in tls.cert and tls.key",
    Code.PERMISSION_DENIED: "allow this worker to use the admin service",
}
TLS_FIX = "check tls.ca, tls.cert, tls.key and tls.override_authority of the product in the topology, and whether its admin port speaks TLS"
NOT_GRPC_WORDS = ("expected settings frame", "http1.x server")
CLOSED_FIX = "check that the product runs, and whether its admin port wants TLS (tls.ca) or a client certificate (tls.cert, tls.key)"
#: gRPC gives a failed handshake the status of a refused connection, and only its text tells
TLS_WORDS = ("handshake failed", "handshaker", "ssl_error", "ssl routines", "certificate", "peer name", "hostname verification")


def translate(endpoint: Endpoint, verb: Verb, error: grpc.RpcError) -> errors.MidtimeError:
    """The error that says what ``error`` means for the endpoint. Pure: it waits for nothing and changes nothing."""
    return _refused(endpoint, verb, error) or (_pause(endpoint, error) if verb == "pause" else _unreachable(endpoint, verb, error))


def _refused(endpoint: Endpoint, verb: Verb, error: grpc.RpcError) -> errors.AdminAccessError | None:
    # Of a Pause nothing is concluded from a text: what stands between may have sent it on before it failed.
    fix = ACCESS_FIXES.get(error.code()) or (_misconnected(error) if error.code() is Code.UNAVAILABLE and verb != "pause" else None)
    if fix is None:
        return None
    return errors.AdminAccessError(f"{endpoint} refused {WORDS[verb]}: {_text(error)}", fix=fix)


def _misconnected(error: grpc.RpcError) -> str | None:
    """The fix where no connection was made because the two sides do not speak the same; the RPC was not sent then."""
    details = (error.details() or "").lower()
    if any(word in details for word in NOT_GRPC_WORDS):
        return ACCESS_FIXES[Code.UNIMPLEMENTED]
    return TLS_FIX if any(word in details for word in TLS_WORDS) else None


def _unreachable(endpoint: Endpoint, verb: Verb, error: grpc.RpcError) -> errors.AdminUnreachableError:
    # What a server does that misses TLS or a certificate, and also what one does that is being stopped: it closes the connection.
    closed = "failed to connect" in (error.details() or "") and "Socket closed" in (error.details() or "")
    fix = CLOSED_FIX if closed else "check that the product runs and that this worker can reach its admin port"
    return errors.AdminUnreachableError(f"{endpoint} did not answer {WORDS[verb]}: {_text(error)}", fix=fix)


def _pause(endpoint: Endpoint, error: grpc.RpcError) -> errors.PauseError:
    code = error.code()
    if code is Code.INVALID_ARGUMENT:
        return errors.PauseArgumentError(f"{endpoint} takes the drain limit for nonsense: {_text(error)}", fix="set pause.drain above 0")
    trailers = _trailers(error)
    if code is Code.FAILED_PRECONDITION and not trailers:
        return _old_contract(endpoint, error)
    reason = _reason(code, trailers)
    if known := NEW_CONTRACT.get((code, reason or "")):
        kind, what, fix = known
        return kind(f"{endpoint} was not paused: {what} ({reason})", fix=fix)
    return _unknown(endpoint, error)


def _old_contract(endpoint: Endpoint, error: grpc.RpcError) -> errors.PauseError:
    return errors.OldPauseFailedError(
        f"{endpoint} was not paused and does not say why, as servers of the old contract do; "
        f"its gate is open again, whoever had closed it: {_text(error)}",
        fix="try again when long transactions have ended, look for clients that leave transactions open, or upgrade the product",
    )


def _unknown(endpoint: Endpoint, error: grpc.RpcError) -> errors.PauseError:
    return errors.PauseUnknownError(
        f"Pause of {endpoint} ended without an answer that tells: it may be paused, or may still become so: {_text(error)}",
        fix="see with CheckPaused whether it is paused until the drain limit has passed, and lift our pause",
    )


def _trailers(error: grpc.RpcError) -> list[bytes]:
    metadata = error.trailing_metadata() or ()
    return [value for key, value in metadata if key == TRAILER]


def _reason(code: grpc.StatusCode, trailers: list[bytes]) -> str | None:
    """The reason that the server gives, or None where it gives none that can be trusted."""
    reasons = {info.reason for info in _infos(code, trailers) if info.domain in DOMAINS}
    return reasons.pop() if len(reasons) == 1 else None


def _infos(code: grpc.StatusCode, trailers: list[bytes]) -> list[ErrorInfo]:
    """Every ErrorInfo in trailers that can be read and that speak of the same status."""
    result = []
    try:
        for trailer in trailers:
            status = Status.FromString(trailer)
            if status.code == code.value[0]:
                result += [_unpacked(detail) for detail in status.details if detail.Is(ErrorInfo.DESCRIPTOR)]
    except (DecodeError, TypeError):
        return []
    return result


def _unpacked(detail: Any) -> ErrorInfo:
    info = ErrorInfo()
    detail.Unpack(info)
    return info


def _text(error: grpc.RpcError) -> str:
    return f"{error.code().name} {error.details() or ''}".strip()

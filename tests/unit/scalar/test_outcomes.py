"""Every way in which an RPC can end is one error, and nothing that is not understood is taken for something that is."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import DebugInfo, ErrorInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from midtime import errors
from midtime.scalar.endpoint import Endpoint
from midtime.scalar.outcomes import DOMAINS, TRAILER, Verb, translate

ENDPOINT = Endpoint("ledger", "scalardl-ledger", "10.0.0.1:50053")
Code = grpc.StatusCode
LEDGER, CLUSTER = "com.scalar.dl.admin", "com.scalar.db.cluster.admin"
REASONS = {
    (Code.FAILED_PRECONDITION, "TIMED_OUT"): errors.DrainTimeoutError,
    (Code.FAILED_PRECONDITION, "TIMED_OUT_STILL_PAUSED"): errors.EarlierPauseError,
    (Code.ABORTED, "GATE_OPEN"): errors.UnpausedInDrainError,
    (Code.ABORTED, "PAUSE_IN_PROGRESS"): errors.PauseInProgressError,
}
ACCESS = {Code.UNIMPLEMENTED, Code.UNAUTHENTICATED, Code.PERMISSION_DENIED}
HANDSHAKE = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.1:1: Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL"
)


class Ended(grpc.RpcError):
    """An RPC that ended with these."""

    def __init__(self, code: Code, *trailers: bytes, details: str | None = "") -> None:
        self._code, self._trailers, self._details = code, trailers, details

    def code(self) -> Code:
        return self._code

    def details(self) -> str | None:
        return self._details

    def trailing_metadata(self) -> Any:
        return (("server", "x"), *((TRAILER, value) for value in self._trailers)) if self._trailers else None


def info(code: Code, reason: str, domain: str = LEDGER) -> bytes:
    return status(code, ErrorInfo(reason=reason, domain=domain))


def status(code: Code, *details: Any) -> bytes:
    made = Status(code=code.value[0])
    for detail in details:
        made.details.add().Pack(detail)
    return made.SerializeToString()


def kind(code: Code, *trailers: bytes, verb: Verb = "pause") -> type[errors.MidtimeError]:
    return type(translate(ENDPOINT, verb, Ended(code, *trailers)))


@pytest.mark.parametrize("domain", sorted(DOMAINS))
@pytest.mark.parametrize(("code", "reason"), REASONS)
def test_each_reason_of_the_new_contract_is_a_class_of_its_own(code: Code, reason: str, domain: str) -> None:
    assert kind(code, info(code, reason, domain)) is REASONS[code, reason]


def test_both_domains_are_known() -> None:
    assert {LEDGER, CLUSTER} == DOMAINS


def test_without_a_trailer_it_is_the_old_contract() -> None:
    assert kind(Code.FAILED_PRECONDITION) is errors.OldPauseFailedError
    assert kind(Code.INVALID_ARGUMENT) is errors.PauseArgumentError


@pytest.mark.parametrize(
    "trailers",
    [
        [info(Code.FAILED_PRECONDITION, "SOMETHING_NEW")],
        [info(Code.FAILED_PRECONDITION, "TIMED_OUT", "mesh.example")],
        [info(Code.FAILED_PRECONDITION, "timed_out")],
        [info(Code.FAILED_PRECONDITION, "GATE_OPEN")],  # goes with ABORTED
        [info(Code.ABORTED, "TIMED_OUT")],  # speaks of another status
        [status(Code.FAILED_PRECONDITION)],
        [status(Code.FAILED_PRECONDITION, DebugInfo(detail="TIMED_OUT"))],
        [status(Code.FAILED_PRECONDITION, ErrorInfo(reason="TIMED_OUT", domain=LEDGER), ErrorInfo(reason="TIMED_OUT_STILL_PAUSED", domain=LEDGER))],
        [info(Code.FAILED_PRECONDITION, "TIMED_OUT"), b"\xff\xff\xff"],
        [b"\xff\xff\xff"],
        [b""],
        [info(Code.FAILED_PRECONDITION, "TIMED_OUT")[:-3]],
        [Status(code=9, details=[{"type_url": "type.googleapis.com/google.rpc.ErrorInfo", "value": b"\xff"}]).SerializeToString()],
    ],
    ids=["new reason", "foreign domain", "case", "reason of another status", "another status", "no details", "no ErrorInfo", "two reasons",
         "second broken", "broken", "empty", "cut off", "broken ErrorInfo"],
)  # fmt: skip
def test_what_is_not_understood_is_unknown(trailers: list[bytes]) -> None:
    assert kind(Code.FAILED_PRECONDITION, *trailers) is errors.PauseUnknownError


def test_another_domain_beside_ours_does_not_hide_it() -> None:
    both = status(Code.ABORTED, ErrorInfo(reason="RATE", domain="mesh.example"), ErrorInfo(reason="GATE_OPEN", domain=CLUSTER))
    assert kind(Code.ABORTED, both) is errors.UnpausedInDrainError


@given(st.sampled_from(Code), st.lists(st.binary(max_size=40), max_size=2), st.sampled_from(["pause", "unpause", "check_paused"]))
def test_no_trailer_can_break_it(code: Code, trailers: list[bytes], verb: Verb) -> None:
    error = translate(ENDPOINT, verb, Ended(code, *trailers, details=None))
    assert ENDPOINT.address in error.message
    assert error.fix
    assert not isinstance(error, tuple(REASONS.values()))


@pytest.mark.parametrize("code", sorted(set(Code) - ACCESS - {Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT, Code.OK}, key=str))
def test_every_other_end_of_a_pause_is_unknown_and_may_pass(code: Code) -> None:
    assert kind(code) is errors.PauseUnknownError
    assert errors.PauseUnknownError.retryable


@pytest.mark.parametrize("verb", ["unpause", "check_paused"])
@pytest.mark.parametrize("code", sorted(set(Code) - ACCESS - {Code.OK}, key=str))
def test_every_other_end_of_the_others_is_no_answer(code: Code, verb: Verb) -> None:
    assert kind(code, verb=verb) is errors.AdminUnreachableError
    assert kind(code, info(code, "TIMED_OUT"), verb=verb) is errors.AdminUnreachableError


@pytest.mark.parametrize("verb", ["pause", "unpause", "check_paused"])
def test_refusals(verb: Verb) -> None:
    assert {kind(code, verb=verb) for code in ACCESS} == {errors.AdminAccessError}


def test_of_a_pause_nothing_is_concluded_from_a_text() -> None:
    """What stands between may have sent it on before it failed."""
    error = translate(ENDPOINT, "pause", Ended(Code.UNAVAILABLE, details=HANDSHAKE))
    assert type(error) is errors.PauseUnknownError


@pytest.mark.parametrize("verb", ["unpause", "check_paused"])
def test_refusals_are_told_apart_from_silence(verb: Verb) -> None:
    error = translate(ENDPOINT, verb, Ended(Code.UNAVAILABLE, details=HANDSHAKE))
    assert type(error) is errors.AdminAccessError
    assert "tls.ca" in error.fix


def test_a_connection_that_is_closed_at_once_hints_at_tls() -> None:
    """A server that misses TLS or our certificate does that, but so does one that is being stopped: it may pass."""
    error = translate(
        ENDPOINT, "check_paused", Ended(Code.UNAVAILABLE, details="failed to connect to all addresses; last error: Socket closed")
    )
    assert type(error) is errors.AdminUnreachableError
    assert "tls.cert" in error.fix

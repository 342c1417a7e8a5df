"""Every row of the measured pause contract, old and new, over the wire.

A row is played by a function that returns how its Pauses ended and whether the gate is closed afterwards. Seconds are short here; the order
of events is what was measured on ScalarDL Ledger 3.14.0 (new) and 3.13.0 (old).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from midtime import errors
from midtime.scalar.admin_pb2 import PauseRequest
from midtime.scalar.client import AdminClient, Reply
from midtime.scalar.double import Double
from midtime.scalar.outcomes import translate
from tests.unit.scalar.conftest import Connect

OK = None
SHORT, LONG = 0.25, 0.6
Ends = list[type[errors.MidtimeError] | None]
Row = Callable[["Caller"], Ends]


class Caller:
    """Several clients of one double, and the requests that AdminClient never sends."""

    def __init__(self, double: Double, client: AdminClient, contract: str) -> None:
        self.double, self.client, self.contract = double, client, contract

    def begin(self, drain: float = SHORT) -> Reply[None]:
        """Send a waiting Pause and see that it has arrived."""
        known = len(self.double.calls("pause"))
        reply = self.client.begin_pause(drain=drain, timeout=10)
        while len(self.double.calls("pause")) == known:
            time.sleep(0.01)
        return reply

    def raw(self, **request: Any) -> type[errors.MidtimeError] | None:
        with grpc.insecure_channel(self.double.address) as channel:
            pause = channel.unary_unary("/rpc.Admin/Pause", request_serializer=PauseRequest.SerializeToString)
            try:
                pause(PauseRequest(**request), timeout=10)
            except grpc.RpcError as error:
                return type(translate(self.double.endpoint(), "pause", error))
            return OK

    def busy(self, seconds: float | None = None) -> None:
        self.double.control(outstanding=1, **{"for": seconds})


def end(reply: Reply[None]) -> type[errors.MidtimeError] | None:
    try:
        reply.result()
    except errors.PauseError as error:
        return type(error)
    return OK


def again(caller: Caller) -> Ends:
    return [end(caller.begin()), end(caller.begin()), caller.raw(), caller.raw(wait_outstanding=True)]


def no_positive_maximum(caller: Caller) -> Ends:
    return [caller.raw(wait_outstanding=True, max_pause_wait_time=0), caller.raw(wait_outstanding=True, max_pause_wait_time=-1)]


def negative_without_waiting(caller: Caller) -> Ends:
    return [caller.raw(max_pause_wait_time=-5)]


def expires(caller: Caller) -> Ends:
    caller.busy()
    return [end(caller.begin())]


def expires_under_an_earlier_pause(caller: Caller) -> Ends:
    caller.busy()
    caller.double.control(foreign="pause")
    return [end(caller.begin())]


def unpaused_while_waiting(caller: Caller) -> Ends:
    caller.busy()
    reply = caller.begin()
    caller.client.unpause(timeout=5)
    return [end(reply)]


def unpaused_while_waiting_under_an_earlier_pause(caller: Caller) -> Ends:
    caller.double.control(foreign="pause")
    return unpaused_while_waiting(caller)


def not_waiting_while_another_waits(caller: Caller) -> Ends:
    caller.busy(SHORT)
    reply = caller.begin(5)
    begun = time.monotonic()
    second = caller.raw()
    assert time.monotonic() - begun < 5
    return [end(reply), second]


def second_expires_first(caller: Caller) -> Ends:
    caller.busy()
    first, second = caller.begin(LONG), caller.begin(SHORT)
    ends = [end(first), end(second)]
    assert second.answered is not None
    assert first.answered is not None
    assert second.answered < first.answered
    return ends


def second_outlasts_first(caller: Caller) -> Ends:
    caller.busy()
    first, second = caller.begin(SHORT), caller.begin(LONG)
    ends = [end(first)]
    taken_over = caller.client.check_paused(timeout=5)
    assert taken_over is (caller.contract == "new")
    return [*ends, end(second)]


def both_drain(caller: Caller) -> Ends:
    caller.busy(SHORT)
    first, second = caller.begin(5), caller.begin(5)
    return [end(first), end(second)]


def no_maximum(caller: Caller) -> Ends:
    caller.double.control(default_limit=SHORT)
    caller.busy()
    return [caller.raw(wait_outstanding=True)]


OLD, TIMED, LEFT = errors.OldPauseFailedError, errors.DrainTimeoutError, errors.EarlierPauseError
TURN, OPENED, NONSENSE = errors.PauseInProgressError, errors.UnpausedInDrainError, errors.PauseArgumentError
#: the row, then for the new and the old contract: how its Pauses end, and whether the gate is closed afterwards
ROWS: list[tuple[Row, tuple[Ends, bool], tuple[Ends, bool]]] = [
    (again, ([OK, OK, OK, OK], True), ([OK, OK, OK, OK], True)),
    (no_positive_maximum, ([NONSENSE, NONSENSE], False), ([OK, OK], True)),
    (negative_without_waiting, ([OK], True), ([OK], True)),
    (expires, ([TIMED], False), ([OLD], False)),
    (expires_under_an_earlier_pause, ([LEFT], True), ([OLD], False)),
    (unpaused_while_waiting, ([OPENED], False), ([OLD], False)),
    (unpaused_while_waiting_under_an_earlier_pause, ([OPENED], False), ([OLD], False)),
    (not_waiting_while_another_waits, ([OK, TURN], True), ([OK, OK], True)),
    (second_expires_first, ([TIMED, TURN], False), ([OLD, OLD], False)),
    (second_outlasts_first, ([TIMED, TIMED], False), ([OLD, OLD], False)),
    (both_drain, ([OK, OK], True), ([OK, OK], True)),
    (no_maximum, ([TIMED], False), ([OLD], False)),
]


@pytest.mark.parametrize("contract", ["new", "old"])
@pytest.mark.parametrize(("row", "new", "old"), ROWS, ids=[row[0].__name__ for row in ROWS])
def test_row(doubles: dict[str, Double], connect: Connect, contract: str, row: Row, new: tuple[Ends, bool], old: tuple[Ends, bool]) -> None:
    double = doubles[contract]
    double.control(reset=True)
    client = connect(double.endpoint())
    client.connect(timeout=10)
    caller = Caller(double, client, contract)
    ends, paused = new if contract == "new" else old
    assert row(caller) == ends
    assert client.check_paused(timeout=5) is paused


def test_the_rows_reach_every_pause_error_that_is_an_answer() -> None:
    reached = {kind for _, new, old in ROWS for kind in new[0] + old[0] if kind is not OK}
    assert reached == set(errors.PauseError.__subclasses__()) - {errors.PauseUnknownError}


def test_the_gate_is_closed_before_it_has_drained(doubles: dict[str, Double], connect: Connect) -> None:
    for contract, double in doubles.items():
        double.control(reset=True)
        client = connect(double.endpoint())
        caller = Caller(double, client, contract)
        caller.busy()
        reply = caller.begin()
        assert client.check_paused(timeout=5)
        assert end(reply) is not OK


def test_an_old_server_may_answer_ok_with_its_gate_open(old_double: Double, connect: Connect) -> None:
    """It only counts requests: unpaused in the drain, its Pause is OK when they end. So OK alone proves nothing."""
    caller = Caller(old_double, connect(old_double.endpoint()), "old")
    caller.busy(SHORT)
    reply = caller.begin(5)
    caller.client.unpause(timeout=5)
    assert end(reply) is OK
    assert not caller.client.check_paused(timeout=5)


def test_a_maximum_of_half_a_millisecond_is_sent_as_one(double: Double, client: AdminClient) -> None:
    client.pause(drain=0.0004, timeout=5)
    client.pause(drain=1.5, timeout=5)
    assert [(call["wait"], call["limit_ms"]) for call in double.calls("pause")] == [(True, 1), (True, 1500)]

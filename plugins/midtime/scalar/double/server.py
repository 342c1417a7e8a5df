"""The admin service that the double serves on each of its ports."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.empty_pb2 import Empty
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from midtime.scalar.admin_pb2 import CheckPausedResponse, PauseRequest
from midtime.scalar.double.gate import OK, Gate, Outcome
from midtime.scalar.double.script import Call, Fault, Script

DEATH = 70  # exit status of a scripted death
TRAILER = "grpc-status-details-bin"


class PlayedEndpoint:
    """One port with a gate and a script of its own; ``calls`` is shared by all ports."""

    def __init__(self, number: int, gate: Gate, calls: list[Call]) -> None:
        self.number, self.gate, self.calls = number, gate, calls
        self.script = Script()
        self.refuses = False
        self._running: set[asyncio.Future[Any]] = set()

    def reset(self) -> None:
        """As after a start."""
        self.script, self.refuses = Script(), False
        self.gate.reset()

    def handler(self) -> Any:
        """For ``add_generic_rpc_handlers``."""
        methods = {
            "Pause": _method(self._pause, PauseRequest, Empty),
            "Unpause": _method(self._unpause, Empty, Empty),
            "CheckPaused": _method(self._check_paused, Empty, CheckPausedResponse),
        }
        return grpc.method_handlers_generic_handler("rpc.Admin", methods)

    async def _pause(self, request: PauseRequest, context: Any) -> Empty:
        limit = request.max_pause_wait_time if request.HasField("max_pause_wait_time") else None
        call = self._call("pause", context, wait=request.wait_outstanding, limit_ms=limit)

        async def act() -> Outcome:
            if self.script.lies.get("pause"):
                return OK
            return await self.gate.pause(request.wait_outstanding, None if limit is None else limit / 1000)

        await self._serve(call, act, context)
        return Empty()

    async def _unpause(self, _: Empty, context: Any) -> Empty:
        async def act() -> Outcome:
            self.gate.unpause()
            return OK

        await self._serve(self._call("unpause", context), act, context)
        return Empty()

    async def _check_paused(self, _: Empty, context: Any) -> CheckPausedResponse:
        seen = []

        async def act() -> Outcome:
            seen.append(self.script.lies.get("check_paused", self.gate.paused))
            return OK

        await self._serve(self._call("check_paused", context), act, context)
        return CheckPausedResponse(paused=bool(seen and seen[0]))

    def _call(self, rpc: str, context: Any, **request: Any) -> Call:
        call = Call(self.number, rpc, time.monotonic(), context.time_remaining(), **request)
        self.calls.append(call)
        return call

    async def _serve(self, call: Call, act: Callable[[], Awaitable[Outcome]], context: Any) -> None:
        """Play the call as a task of its own: a caller that gives up does not stop it, as with the real servers."""
        if self.script.dies(call.rpc):
            os._exit(DEATH)
        playing = asyncio.ensure_future(self._play(call, act))
        self._running.add(playing)
        playing.add_done_callback(self._running.discard)
        try:
            outcome, trailer = await asyncio.shield(playing)
        except asyncio.CancelledError:
            call.abandoned = True
            raise
        if outcome != OK:
            await context.abort(grpc.StatusCode[outcome.code], outcome.message, ((TRAILER, trailer),) if trailer is not None else ())

    async def _play(self, call: Call, act: Callable[[], Awaitable[Outcome]]) -> tuple[Outcome, bytes | None]:
        fault = Fault(fail="UNAVAILABLE", message="refused") if self.refuses else self.script.take(call.rpc)
        await asyncio.sleep(fault.delay)
        outcome = await act() if fault.acts else OK
        await asyncio.sleep(fault.reply_delay)
        if fault.hang:
            await asyncio.Event().wait()
        if fault.fail:
            outcome = Outcome(fault.fail, fault.reason, fault.domain, fault.message)
        call.answered, call.status = time.monotonic(), outcome.code
        return outcome, bytes.fromhex(fault.trailer) if fault.trailer is not None else _trailer(outcome)


def _method(behaviour: Any, request: Any, response: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        behaviour, request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )


def _trailer(outcome: Outcome) -> bytes | None:
    """The ErrorInfo as the new contract sends it; the old one sends nothing."""
    if not outcome.reason:
        return None
    status = Status(code=grpc.StatusCode[outcome.code].value[0], message=outcome.message)
    status.details.add().Pack(ErrorInfo(reason=outcome.reason, domain=outcome.domain))
    return bytes(status.SerializeToString())

"""The gate of a Scalar product, by the old and by the new contract of scalar-admin, on an asyncio loop.

Measured on ScalarDL Ledger 3.14.0 (new) and 3.13.0 and ScalarDB Server 3.13.6 (old). In both the server carries on with a Pause whose
caller has gone. Times are seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Contract = Literal["new", "old"]

DEFAULT_LIMIT = 30.0


@dataclass(frozen=True)
class Outcome:
    """How an RPC ends: the name of a gRPC status, and the ErrorInfo's reason and domain where there is one."""

    code: str = "OK"
    reason: str = ""
    domain: str = ""
    message: str = ""


OK = Outcome()
NOT_ABOVE_ZERO = Outcome("INVALID_ARGUMENT", message="max_pause_wait_time must be greater than 0")


class Gate:
    """One product's gate and its outstanding requests.

    :param domain: of the ErrorInfo of the new contract
    :param message: of a failure by the old contract; ScalarDL's is empty
    """

    def __init__(self, contract: Contract = "new", *, domain: str = "com.scalar.dl.admin", message: str = "") -> None:
        self.contract, self.domain, self.message = contract, domain, message
        self.reset()

    def reset(self) -> None:
        """Back to the state after a start of the product."""
        self.paused, self.outstanding, self.default_limit = False, 0, DEFAULT_LIMIT
        self._unpauses = 0
        self._turns: list[object] = []
        self._drained: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    def let_in(self, requests: int, seconds: float | None) -> None:
        """Have so many requests outstanding; they all end after ``seconds``, or never."""
        if self._drained is not None:
            self._drained.cancel()
        self._drained = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.let_in, 0, None)
        self.outstanding = requests
        self._notify()

    def unpause(self) -> None:
        """Open the gate, whoever closed it."""
        self._unpauses += 1
        self._set(paused=False)

    def close(self) -> None:
        """Close the gate without waiting."""
        self._set(paused=True)

    async def pause(self, wait: bool, limit: float | None) -> Outcome:
        """Play a Pause to its end. ``limit``: what the request gives, None where it gives none."""
        limit = self.default_limit if limit is None else limit
        if self.contract == "old":
            return await self._pause_by_old_contract(wait, limit)
        if wait:
            return await self._pause_in_turn(limit) if limit > 0 else NOT_ABOVE_ZERO
        if self._turns:
            return self._failure("ABORTED", "PAUSE_IN_PROGRESS")
        self.close()
        return OK

    async def _pause_by_old_contract(self, wait: bool, limit: float) -> Outcome:
        """Only the outstanding requests count: not who else pauses, nor whether the gate is still closed when they have ended."""
        self.close()
        if not wait or await self._until(lambda: self.outstanding == 0, _now() + limit):
            return OK
        self._set(paused=False)
        return Outcome("FAILED_PRECONDITION", message=self.message)

    async def _pause_in_turn(self, limit: float) -> Outcome:
        deadline, turn = _now() + limit, object()
        turns = self._turns
        turns.append(turn)
        try:
            if not await self._until(lambda: turns[0] is turn, deadline):
                return self._failure("ABORTED", "PAUSE_IN_PROGRESS")
            return await self._drain(deadline)
        finally:
            turns.remove(turn)
            self._notify()

    async def _drain(self, deadline: float) -> Outcome:
        earlier, unpauses = self.paused, self._unpauses
        self.close()
        drained = await self._until(lambda: self.outstanding == 0 or self._unpauses != unpauses, deadline)
        if self._unpauses != unpauses:
            return self._failure("ABORTED", "GATE_OPEN")
        if drained:
            return OK
        if earlier:
            return self._failure("FAILED_PRECONDITION", "TIMED_OUT_STILL_PAUSED")
        self._set(paused=False)
        return self._failure("FAILED_PRECONDITION", "TIMED_OUT")

    async def _until(self, holds: Callable[[], bool], deadline: float) -> bool:
        """Wait until it holds; False at the deadline."""
        while not holds():
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                return holds()
        return True

    def _set(self, *, paused: bool) -> None:
        self.paused = paused
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _failure(self, code: str, reason: str) -> Outcome:
        return Outcome(code, reason, self.domain)


def _now() -> float:
    return asyncio.get_running_loop().time()

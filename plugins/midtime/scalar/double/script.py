"""What one endpoint of the double does instead of what its contract says, and what it was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from midtime.errors import RequestError

RPCS = ("pause", "unpause", "check_paused")


@dataclass
class Fault:
    """How the next calls of one RPC go wrong."""

    delay: float = 0.0
    """Seconds until it acts, whether its caller still waits or not."""
    reply_delay: float = 0.0
    """Seconds between acting and answering."""
    hang: bool = False
    """It never answers."""
    fail: str = ""
    """The name of the gRPC status that it answers with."""
    message: str = ""
    reason: str = ""
    """Of an ErrorInfo that goes with ``fail``."""
    domain: str = "com.scalar.dl.admin"
    trailer: str | None = None
    """``grpc-status-details-bin`` as hexadecimal digits, instead of an ErrorInfo."""
    act: bool = False
    """With ``hang`` and ``fail``: it acts all the same, and only the answer is lost."""
    times: int | None = None
    """For so many calls; None: until it is told otherwise."""

    @property
    def acts(self) -> bool:
        """Whether the endpoint does what it is asked to, however it answers."""
        return self.act or not (self.hang or self.fail)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Fault:
        """Read one from JSON.

        :raises RequestError: there is no such field
        """
        if unknown := body.keys() - {one.name for one in fields(cls)}:
            raise RequestError(f"a fault has no {sorted(unknown)}", fix=f"give some of {[one.name for one in fields(cls)]}")
        return cls(**body)


@dataclass
class Call:
    """One RPC as the endpoint saw it; readings of ``time.monotonic()``, which all processes of a machine share."""

    endpoint: int
    rpc: str
    at: float
    timeout: float | None
    """Seconds that the caller had left; None where it gave no deadline."""
    wait: bool | None = None
    limit_ms: int | None = None
    answered: float | None = None
    """When the endpoint had its answer ready, even if nobody waited for it any more."""
    status: str | None = None
    abandoned: bool = False
    """Its caller went away before the answer."""


@dataclass
class Script:
    """The faults, lies and deaths of one endpoint. What is not scripted goes by the contract."""

    faults: dict[str, Fault] = field(default_factory=dict)
    lies: dict[str, bool] = field(default_factory=dict)
    """``pause``: it answers OK without closing its gate; ``check_paused``: what it answers, whatever is true."""
    deaths: dict[str, int] = field(default_factory=dict)
    """With how many calls from now the process dies."""

    def set_fault(self, rpc: str, body: Mapping[str, Any] | None) -> None:
        """Let the next calls of the RPC go wrong in this way; None: no more."""
        if body is None:
            self.faults.pop(rpc, None)
        else:
            self.faults[rpc] = Fault.from_dict(body)

    def take(self, rpc: str) -> Fault:
        """The fault of the call that has just come."""
        fault = self.faults.get(rpc, Fault())
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.faults.pop(rpc, None)
        return fault

    def dies(self, rpc: str) -> bool:
        """Whether the call that has just come is the deadly one."""
        if rpc not in self.deaths:
            return False
        self.deaths[rpc] -= 1
        return self.deaths[rpc] <= 0

    def tell_lies(self, lies: Mapping[str, bool | None]) -> None:
        """Add lies; None ends one."""
        if unknown := lies.keys() - {"pause", "check_paused"}:
            raise RequestError(f"there is no lie about {sorted(unknown)}", fix="lie about pause or check_paused")
        self.lies = {rpc: answer for rpc, answer in {**self.lies, **lies}.items() if answer is not None}

    def plan_deaths(self, deaths: Mapping[str, int]) -> None:
        """Die with the n-th call from now."""
        if unknown := deaths.keys() - set(RPCS):
            raise RequestError(f"there is no RPC {sorted(unknown)}", fix=f"name some of {RPCS}")
        self.deaths = dict(deaths)

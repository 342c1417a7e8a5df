"""What the RDS server of the tests goes by, beside what every double of a cloud service does, and which calls it saw."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.stack.cloud_world import ClockSettings, CloudWorld, Duration

#: by the kind of a fault: status and code of the answer
REFUSALS = {
    "throttling": (400, "Throttling"),
    "expired": (403, "ExpiredToken"),
    "denied": (403, "AccessDenied"),
    "quota": (400, "InstanceQuotaExceeded"),
    "key": (400, "KMSKeyNotAccessibleFault"),
    "error": (500, "InternalFailure"),
    "unavailable": (503, "ServiceUnavailable"),
}


@dataclass
class Settings(ClockSettings):
    """The defaults are quick; Amazon's own lag is five minutes, and its restores take from minutes to hours."""

    #: instances and clusters that there may be
    quota: int = 40
    create: Duration = 0.2
    modify: Duration = 0.2
    delete: Duration = 0.3
    restore: Duration = 0.3
    #: how long a restored one is at its first backup, once it is there
    back_up: Duration = 0.0
    #: the state that a restore ends in, instead of ``available``
    becomes: str = ""
    #: by name: where an instance or a cluster is reached; a restored one is ``creating`` until it has such an address
    endpoints: dict[str, list[str | int]] = field(default_factory=dict)
    #: whether restores wait for one
    awaited: bool = False
    #: by name, of what and to which second each was asked for: for whoever provides the data
    restores: dict[str, tuple[str, float]] = field(default_factory=dict)


WORLD = CloudWorld(Settings, set())

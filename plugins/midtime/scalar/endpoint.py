"""One address that answers scalar-admin, and who it is: what discovery finds, and what a window pauses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is behind an address, so that a restart or a replacement in mid-window is seen."""

    pod: str
    uid: str
    container: str
    """Container id."""
    restarts: int


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files on the worker; their content is read when a channel is made, and goes nowhere else."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    override_authority: str | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a product's admin service."""

    product: str
    """The product's name in reports."""
    kind: str
    address: str
    """``host:port``, an IPv6 address in brackets."""
    identity: Identity | None = None
    """None where discovery cannot tell: static lists and SRV records."""
    tls: TlsFiles | None = None

    def __str__(self) -> str:
        return f"{self.address} ({self.product})"

    def to_dict(self) -> dict[str, Any]:
        """For leases, XCom, the watchdog and manifests."""
        return asdict(self)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Endpoint:
        """Read what :meth:`to_dict` wrote."""
        identity, tls = body.get("identity"), body.get("tls")
        return cls(
            body["product"],
            body["kind"],
            body["address"],
            Identity(**identity) if identity else None,
            TlsFiles(**tls) if tls else None,
        )

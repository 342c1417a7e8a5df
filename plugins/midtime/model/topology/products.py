"""The products of a topology: what is paused, and what a restore in place stops and starts."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from midtime.model.durations import Duration
from midtime.model.topology.base import AbsolutePath, ConnId, Many, Name, Port, Section, Text, broken, distinct, matching, shown
from midtime.model.topology.commands import Action

Kind = Literal["scalardb-cluster", "scalardb-server", "scalardl-ledger", "scalardl-auditor", "application"]


def join_endpoint(host: str, port: int | str) -> str:
    """Write ``host:port``, an IPv6 address in brackets: what :func:`split_endpoint` reads.

    >>> join_endpoint("fd00::1", 60053)
    '[fd00::1]:60053'
    """
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


def split_endpoint(text: str) -> tuple[str, int]:
    """Split ``host:port``; an IPv6 address stands in brackets, because its own colons would be taken for the port's.

    :raises ValueError: with a sentence that says what is allowed
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]") and ":" in host
    if not colon or not host or any(c in text for c in "/@ \t"):
        raise ValueError(f'"{shown(text)}" is not host:port, such as 10.0.0.1:60053 or [fd00::1]:60053')
    if not bracketed and any(c in host for c in ":[]"):
        raise ValueError(f'"{shown(text)}" has colons in its host: write an IPv6 address in brackets, such as [fd00::1]:60053')
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(f'"{shown(text)}" has no port between 1 and 65535 after its last colon')
    return host.strip("[]") if bracketed else host, int(port)


def _endpoint(value: str) -> str:
    try:
        split_endpoint(value)
    except ValueError as error:
        broken(str(error))
    return value


HostPort = Annotated[str, AfterValidator(_endpoint)]
ServiceRecord = Annotated[
    str,
    *matching(r"_[A-Za-z0-9-]+\._(tcp|udp)\.[A-Za-z0-9.-]+", "an SRV record is _service._tcp.name, such as _admin._tcp.scalardb.svc.local"),
]


class KubernetesEndpoints(Section):
    """Endpoints found as pods of a Helm release."""

    conn_id: ConnId = Field(default="kubernetes_default", description="Airflow connection of type `kubernetes`.")
    namespace: Text = Field(description="Kubernetes namespace of the pods.")
    release: Text | None = Field(default=None, description="Helm release; finds the pods by the labels that Scalar's charts set.")
    selector: Text | None = Field(default=None, description="Label selector of the pods, instead of the chart's labels.")
    port: Port | None = Field(default=None, description="Admin port of the pods. Default: the port that the chart names for this kind.")


class Endpoints(Section):
    """Where the admin service (`Pause`, `Unpause`, `CheckPaused`) of a product answers: exactly one of the three ways."""

    static: Annotated[Many[HostPort], AfterValidator(distinct)] | None = Field(
        default=None,
        min_length=1,
        description="List of `host:port`, one for each process; IPv6 addresses in brackets. A host name must have exactly one address, and"
        " no address may be a load balancer's: only one of the processes behind it would be paused.",
    )
    srv: ServiceRecord | None = Field(
        default=None, description="DNS SRV record that lists the host and port of every process; each host must have exactly one address."
    )
    kubernetes: KubernetesEndpoints | None = Field(
        default=None, description="Pods of a Helm release, with identities that expose a restart."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum(way is not None for way in (self.static, self.srv, self.kubernetes)) != 1:
            broken("needs exactly one of `static`, `srv` and `kubernetes`")
        return self


class Tls(Section):
    """TLS towards the admin service. Files on the workers; give `cert` and `key` for mutual TLS."""

    ca: AbsolutePath | None = Field(default=None, description="File with the trusted CA certificates (PEM). Default: the system's.")
    cert: AbsolutePath | None = Field(default=None, description="File with our own certificate (PEM).")
    key: AbsolutePath | None = Field(default=None, description="File with our own private key (PEM).")
    override_authority: Text | None = Field(
        default=None, description="Host name that the server's certificate carries, if not the endpoint's."
    )

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert is None) != (self.key is None):
            broken("mutual TLS needs both `cert` and `key`")
        return self


class Product(Section):
    """One ScalarDB Cluster, ScalarDB Server, ScalarDL Ledger, ScalarDL Auditor or application with the admin service."""

    kind: Kind = Field(description="What it is; decides labels, ports and the order of the pause.")
    name: Name | None = Field(default=None, description="Name in reports. Default: the kind. Needed when two products are of one kind.")
    endpoints: Endpoints = Field(description="Where its admin service answers.")
    tls: Tls | None = Field(default=None, description="TLS settings. Default: no TLS.")
    stores: Annotated[Many[Name], AfterValidator(distinct)] | None = Field(
        default=None,
        min_length=1,
        description="Stores that it writes to. Default: all. Needed for Ledger and Auditor when there are several stores.",
    )
    clock_bound: Duration | None = Field(
        default=None, description="How far its clock may be off where it cannot be measured. Default: `scalardb.clock_bound`."
    )
    stop: Action | None = Field(default=None, description="How a restore in place stops it.")
    start: Action | None = Field(default=None, description="How a restore in place starts it again.")

    @property
    def label(self) -> str:
        """The name in reports."""
        return self.name or self.kind

    @model_validator(mode="after")
    def _complete(self) -> Self:
        pods = self.endpoints.kubernetes
        if pods and not (pods.release or pods.selector):
            broken("needs `release` or `selector` to find the pods", "endpoints", "kubernetes")
        if pods and self.kind == "application" and not (pods.selector and pods.port):
            broken("an application has no chart of Scalar's: give `selector` and `port`", "endpoints", "kubernetes")
        if (self.stop is None) != (self.start is None):
            broken("give both `stop` and `start`, or none of them")
        return self

"""Which endpoints a product has at this moment: from a static list, a DNS SRV record, or the pods of a Kubernetes namespace."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from midtime.scalar.endpoint import Endpoint, Identity, TlsFiles

if TYPE_CHECKING:
    from midtime.model.topology import Product


def discover(product: Product) -> tuple[Endpoint, ...]:
    """Find every endpoint of a product.

    Two calls give equal tuples if, and only if, the same processes are there as far as discovery can tell: with Kubernetes a restart,
    a replacement, an added or a removed pod makes a difference, a changed label or annotation makes none.

    Host names are looked up: an endpoint's address is always an IP address, so that two topologies that write one server differently
    lease the same. The name stays in ``product``, for people, and in ``tls``: the certificate is for it.

    :return: at least one, sorted by address, no address twice
    :raises DiscoveryError: they cannot be looked up now
    :raises DiscoveryAccessError: we may not look, there is nothing of that name, or a name does not stand for one process
    :raises ProductNotReadyError: not every pod is up, or a rollout is in progress
    """
    ways = product.endpoints
    if ways.kubernetes:
        from midtime.scalar.discovery import pods

        found = dict(pods.find(product))
        return tuple(_endpoint(product, address, identity=found[address]) for address in sorted(found))
    names = _named(product)
    return tuple(_endpoint(product, address, names[address]) for address in sorted(names))


def tls_of(product: Product) -> TlsFiles | None:
    """The files of its TLS as its topology names them; None without TLS."""
    return TlsFiles(**product.tls.model_dump()) if product.tls else None


def _named(product: Product) -> dict[str, str]:
    """Addresses and the names they were written with. Each way imports what it needs: a static list must not wait for other libraries."""
    from midtime.scalar.discovery import names

    if record := product.endpoints.srv:
        from midtime.scalar.discovery import srv

        return names.resolve(product.label, srv.targets(product.label, record))
    return names.resolve(product.label, product.endpoints.static or ())


def _endpoint(product: Product, address: str, name: str = "", *, identity: Identity | None = None) -> Endpoint:
    tls = tls_of(product)
    if tls and name and not tls.override_authority:
        tls = replace(tls, override_authority=name.rstrip("."))
    return Endpoint(f"{product.label} at {name}" if name else product.label, product.kind, address, identity, tls)

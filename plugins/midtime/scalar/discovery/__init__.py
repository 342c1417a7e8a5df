"""Which endpoints a product has at this moment: from a static list, a DNS SRV record, or the pods of a Kubernetes namespace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midtime.scalar.endpoint import Endpoint, Identity, TlsFiles

if TYPE_CHECKING:
    from midtime.model.topology import Product


def discover(product: Product) -> tuple[Endpoint, ...]:
    """Find every endpoint of a product.

    Two calls give equal tuples if, and only if, the same processes are there as far as discovery can tell: with Kubernetes a restart,
    a replacement, an added or a removed pod makes a difference, a changed label or annotation makes none.

    :return: at least one, sorted by address, no address twice
    :raises DiscoveryError: they cannot be looked up now
    :raises DiscoveryAccessError: we may not look, or there is nothing of that name
    :raises ProductNotReadyError: not every pod is up, or a rollout is in progress
    """
    tls = TlsFiles(product.tls.ca, product.tls.cert, product.tls.key, product.tls.override_authority) if product.tls else None
    found = _addresses(product)
    return tuple(Endpoint(product.label, product.kind, address, found[address], tls) for address in sorted(found))


def _addresses(product: Product) -> dict[str, Identity | None]:
    """Each imports what it needs: a static list must not wait for the Kubernetes client."""
    ways = product.endpoints
    if ways.static:
        return dict.fromkeys(ways.static)
    if ways.srv:
        from midtime.scalar.discovery import srv

        return dict.fromkeys(srv.targets(product.label, ways.srv))
    from midtime.scalar.discovery import pods

    return dict(pods.find(product))

"""The endpoints of products as they are now, whatever state they are in: for those who unpause."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from midtime.errors import DiscoveryError, MidtimeError, ProductNotReadyError
from midtime.model.topology import join_endpoint, split_endpoint
from midtime.pausing import endpoints_of

if TYPE_CHECKING:
    from midtime.lifting import Leased
    from midtime.model.topology import Product, Topology
    from midtime.scalar.endpoint import Endpoint


@dataclass(slots=True)
class Known:
    """The topologies that are known, and their endpoints as they are now, each product looked up once."""

    known: Mapping[str, Topology]
    _found: dict[tuple[str, str], Mapping[str, Endpoint] | DiscoveryError] = field(default_factory=dict)
    _looking: Lock = field(default_factory=Lock)

    def same(self, leased: Leased) -> bool:
        """Whether the endpoint is still the one that was paused, as far as discovery can tell.

        :raises DiscoveryError: it cannot be looked up
        """
        wanted = leased.endpoint
        if wanted.identity is None or not (product := self._product(leased)):
            return True  # nobody can tell; its address is all there is
        with self._looking:
            found = self._endpoints(leased.topology, product)
        now = found.get(wanted.address)
        return now is not None and now.identity in (wanted.identity, None)

    def _product(self, leased: Leased) -> Product | None:
        topology = self.known.get(leased.topology)
        products: Sequence[Product] = topology.products if topology else ()
        return next((product for product in products if product.label == leased.endpoint.product), None)

    def _endpoints(self, topology: str, product: Product) -> Mapping[str, Endpoint]:
        key = topology, product.label
        if key not in self._found:
            try:
                self._found[key] = {each.address: each for each in endpoints_now(product)}
            except DiscoveryError as error:
                self._found[key] = error
        found = self._found[key]
        if isinstance(found, DiscoveryError):
            raise found
        return found


def endpoints_now(product: Product) -> list[Endpoint]:
    """The endpoints of a product, in whatever state it is: a pod that does not come up must not keep the others paused.

    :return: without identities where the product is not at rest
    :raises DiscoveryError: they cannot be looked up
    """
    try:
        return endpoints_of([product])
    except ProductNotReadyError:
        return list(_left_of(product))
    except MidtimeError:
        if product.endpoints.static:
            return list(_as_written(product))
        raise
    except Exception as error:
        # Airflow's database and every client library have errors of their own; the other products are unpaused whatever it is.
        raise DiscoveryError(f"product {product.label}: its endpoints cannot be looked up: {error}", fix="see the error") from error


def _as_written(product: Product) -> Iterator[Endpoint]:
    """Every address of every name that can be found: a name with several, or one that is wrong, must not keep the others paused."""
    from midtime.scalar.discovery import tls_of
    from midtime.scalar.discovery.names import addresses_of
    from midtime.scalar.endpoint import Endpoint

    for written in product.endpoints.static or ():
        host, port = split_endpoint(written)
        try:
            addresses = addresses_of(host)
        except (OSError, UnicodeError):
            addresses = [host]
        for address in addresses:
            yield Endpoint(product.label, product.kind, join_endpoint(address, port), tls=tls_of(product))


def _left_of(product: Product) -> Iterator[Endpoint]:
    from midtime.scalar.discovery import pods, tls_of  # slow to import
    from midtime.scalar.endpoint import Endpoint

    tls = tls_of(product)
    for address in pods.remains(product).addresses:
        yield Endpoint(product.label, product.kind, address, tls=tls)

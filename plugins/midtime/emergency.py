"""A person unpauses everything, whoever paused it. It must work when as little else as possible does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import yaml
from pydantic import ValidationError

from midtime.catalog.pause_leases import PauseLeases, lease_place
from midtime.errors import CatalogError, DiscoveryError, MidtimeError, RequestError
from midtime.finding import endpoints_now
from midtime.lifting import TRY_SECONDS, client_of
from midtime.model.instants import to_rfc3339, utc_now
from midtime.model.topology import Product
from midtime.scalar.watchdog_process import SEEN_SECONDS

if TYPE_CHECKING:
    from midtime.catalog.leases import Lease
    from midtime.scalar.endpoint import Endpoint
    from midtime.scalar.opening import Gate

_AT_ONCE = 16


class Paused(Protocol):
    """What must be known of a topology to unpause it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def products(self) -> Sequence[Product]:
        """Whose endpoints are unpaused."""

    @property
    def destination(self) -> str:
        """Where leases lie, if nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What a wrong topology file still says."""

    name: str
    products: tuple[Product, ...]
    destination: str


def salvage(folder: Path, name: str) -> Salvaged | None:
    """The products of a topology whose file is wrong elsewhere; None where it does not even say that."""
    for path in sorted(folder.glob("*.yaml")):
        try:
            body = yaml.safe_load(path.read_text())
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(body, dict) and body.get("name") == name and (products := tuple(_products(body.get("products")))):
            return Salvaged(name, products, str(body.get("destination", "")))
    return None


def _products(said: object) -> Iterator[Product]:
    for each in said if isinstance(said, list) else ():
        with suppress(ValidationError):
            yield Product.model_validate(each)


@dataclass(frozen=True, slots=True)
class Unpaused:
    """What became of one endpoint, or of one product whose endpoints cannot be told."""

    subject: str
    became: str
    """``unpaused``, ``was open`` or ``failed``."""
    detail: str = ""
    address: str = ""

    @property
    def open(self) -> bool:
        """Whether it is open now."""
        return self.became != "failed"


@dataclass(frozen=True, slots=True)
class GivenBack:
    """What became of a lease, or of the question whether there is one."""

    subject: str
    good: bool
    detail: str
    holder: str = ""


def unpause_by_hand(topology: Paused) -> list[Unpaused]:
    """Unpause every endpoint of every product, whoever paused it: what a person does who knows better.

    Nothing but the products is asked: neither the object store nor, for static endpoints, Airflow's database.

    :raises RequestError: the topology has no products
    """
    if not topology.products:
        raise RequestError(f"topology {topology.name} has no products: there is nothing to unpause", fix="name a topology that has")
    found: dict[str, Endpoint] = {}
    told: list[Unpaused] = []
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="discover") as pool:
        looks = [(product, pool.submit(endpoints_now, product)) for product in topology.products]
        for product, look in looks:
            try:
                found.update({each.address: each for each in look.result() if each.address not in found})
            except DiscoveryError as error:
                told.append(Unpaused(product.label, "failed", str(error)))
    return [*_open_all(list(found.values())), *told]


def _open_all(endpoints: list[Endpoint]) -> Iterator[Unpaused]:
    from midtime.scalar.opening import Gate, open_gates

    with ExitStack() as stack:
        gates = []
        for endpoint in endpoints:
            try:
                gates.append(Gate(client_of(stack, endpoint)))
            except MidtimeError as error:  # a file of its TLS is not here
                yield Unpaused(str(endpoint), "failed", str(error), endpoint.address)
        open_gates(gates, until=time.monotonic() + TRY_SECONDS)
        for gate in gates:
            yield Unpaused(str(gate.endpoint), *_became(gate), gate.endpoint.address)


def _became(gate: Gate) -> tuple[str, str]:
    if gate.foreign:
        return "failed", "it was unpaused, and paused again at once: by somebody else, or by a Pause that was still on its way; try again"
    if not gate.done:
        return "failed", str(gate.error) if gate.error else "it stays paused"
    return ("unpaused" if gate.unpauses else "was open"), ""


def give_back_by_hand(topology: Paused, unpaused: list[Unpaused]) -> Iterator[GivenBack]:
    """Say which windows' leases lay on these endpoints, and give back those of what is open now.

    A lease of this topology whose endpoint is none of it any more is only told of.
    """
    addresses = {each.address.lower(): each for each in unpaused if each.address}
    try:
        leases = PauseLeases(lease_place(topology.destination))
        found = list(leases.look())
    except MidtimeError as error:
        yield GivenBack("leases", False, f"cannot be read, so that who paused cannot be told: {error}")
        return
    if any(addresses[address].open for address, _ in found if address in addresses):
        time.sleep(SEEN_SECONDS)  # until a watchdog that stays has seen that they are open; the next window's Pause would pass for ours

    def one(address: str, lease: Lease | CatalogError) -> GivenBack | None:
        if isinstance(lease, CatalogError):
            return GivenBack(address, False, str(lease)) if address in addresses else None
        if address in addresses:
            return _give_back(leases, address, lease, addresses[address].open)
        if lease.details.get("topology") != topology.name:
            return None
        return GivenBack(address, False, f"is not of this topology any more: {_of(lease)}; remove {leases.folder(address)}", lease.holder)

    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="leases") as pool:
        yield from (each for each in pool.map(lambda pair: one(*pair), found) if each)


def _give_back(leases: PauseLeases, address: str, lease: Lease, is_open: bool) -> GivenBack:
    if not is_open:
        return GivenBack(address, False, f"{_of(lease)}; the lease stays, midtime__sweep goes on trying", lease.holder)
    try:
        leases.release([address], holder=lease.holder, window=lease.details.get("window"))
    except MidtimeError as error:
        return GivenBack(address, False, f"{_of(lease)}; it could not be given back: {error}", lease.holder)
    return GivenBack(address, True, f"{_of(lease)}; given back{_what_of_the_window(lease)}", lease.holder)


def _of(lease: Lease) -> str:
    return f"leased by {lease.holder} until {to_rfc3339(lease.expires_at)}"


def _what_of_the_window(lease: Lease) -> str:
    return "; that window is void, there will be no restore point of it" if lease.live(utc_now()) else "; that run is over or dead"

"""Products around a restore in place: stopped before a database is replaced, started after it."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator

from midtime.errors import DiscoveryAccessError, DiscoveryError, ProductRunningError, RequestError
from midtime.model.topology import Action, Product, Topology, split_endpoint
from midtime.scalar.discovery import discover

POLL_SECONDS = 0.5


def require_stoppable(topology: Topology) -> None:
    """Refuse, before anything is touched, a restore in place that could not stop the products.

    :raises RequestError: a stop or start through SSH
    """
    for product in topology.products:
        for action in (product.stop, product.start):
            if action and action.ssh_conn_id:
                raise RequestError(
                    f"product {product.label} is stopped through SSH, which a restore in place cannot do yet",
                    fix="remove stop and start from the topology and stop it by hand before the restore",
                )


def stop_all(topology: Topology) -> None:
    """Stop every product, and make sure that none is left; first of all those that we cannot stop.

    Stopped is what accepts no connection at any endpoint that was found *before* the stop, and, on Kubernetes, has no pod left and no
    workload that would make one. Nothing found before the stop proves nothing: the name may be misspelt.

    :raises ProductRunningError: one still runs, or cannot be told from one that runs
    :raises DiscoveryError: its endpoints cannot be looked up
    """
    for product in sorted(topology.products, key=lambda product: product.stop is not None):
        addresses = _known(product)
        if product.stop:
            _act(product, product.stop, "stop")
        _wait_silent(product, addresses)


def start_all(topology: Topology) -> None:
    """Start every product that has a ``start`` and does not answer, and wait until it does.

    :raises ProductRunningError: one does not answer in its time
    :raises DiscoveryError: Kubernetes does not scale it
    """
    for product in topology.products:
        if product.start and _missing(product):
            _act(product, product.start, "start")
            _wait_answering(product, product.start.timeout.total_seconds())


def answering(addresses: Iterable[str]) -> Iterator[str]:
    """Those that accept a connection."""
    for address in addresses:
        try:
            with socket.create_connection(split_endpoint(address), timeout=3):
                yield address
        except OSError:
            continue


def _known(product: Product) -> tuple[str, ...]:
    """The addresses to watch while it stops, in whatever state it is."""
    if product.endpoints.kubernetes:
        from midtime.scalar.discovery.pods import remains

        left = remains(product)
        if not left.known and not (product.stop and product.stop.kubernetes):
            raise _untellable(product, "no pod or workload has its labels")
        return left.addresses
    try:
        return tuple(endpoint.address for endpoint in discover(product))
    except DiscoveryAccessError as error:
        raise _untellable(product, error.message) from error


def _untellable(product: Product, reason: str) -> ProductRunningError:
    return ProductRunningError(
        f"whether product {product.label} runs cannot be seen: {reason}; nothing was replaced",
        fix="correct its endpoints in the topology; if it is stopped already, start it, so that the restore sees what it stops",
    )


def _running(product: Product, addresses: Iterable[str]) -> list[str]:
    """What is left of it, for people; what cannot be seen counts as left."""
    heard = ", ".join(answering(addresses))
    left = [f"answers at {heard}"] if heard else []
    if product.endpoints.kubernetes:
        from midtime.scalar.discovery.pods import remains

        try:
            left += [f"has {each}" for each in remains(product).running]
        except DiscoveryError as error:
            left.append(f"cannot be seen: {error}")
    return left


def _wait_silent(product: Product, addresses: tuple[str, ...]) -> None:
    deadline = time.monotonic() + (product.stop.timeout.total_seconds() if product.stop else 0)
    while left := _running(product, addresses):
        if time.monotonic() > deadline:
            raise ProductRunningError(
                f"product {product.label} still {', '.join(left)}",
                fix="see why its stop does not stop it" if product.stop else "stop it, then run again: nothing was replaced",
            )
        time.sleep(POLL_SECONDS)


def _missing(product: Product) -> list[str]:
    """What keeps it from being up, for people."""
    try:
        found = {endpoint.address for endpoint in discover(product)}
    except DiscoveryError as error:
        return [f"its endpoints ({error.message})"]
    return sorted(found - set(answering(found)))


def _wait_answering(product: Product, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while missing := _missing(product):
        if time.monotonic() > deadline:
            raise ProductRunningError(
                f"product {product.label} does not answer at {', '.join(missing)}", fix="start it by hand; the data is in place"
            )
        time.sleep(POLL_SECONDS)


def _act(product: Product, action: Action, verb: str) -> None:
    if not action.kubernetes:
        _run(product, action, verb)
        return
    from midtime.scalar.discovery import scaling

    (scaling.stop if verb == "stop" else scaling.start)(product.label, action.kubernetes)


def _run(product: Product, action: Action, verb: str) -> None:
    command = list(action.command or ())
    # Into a file, not a pipe: what a start command leaves running may hold its output open for ever.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=action.timeout.total_seconds(),
                start_new_session=True,
                check=False,
            )
            failed = f"exit code {done.returncode}" if done.returncode else ""
        except (OSError, subprocess.TimeoutExpired) as error:
            failed = str(error)
        if failed:
            output.seek(0)
            raise ProductRunningError(
                f"the {verb} command of product {product.label} failed: {failed}\n{output.read()[-2000:]}",
                fix=f"{verb} it by hand, then run again",
            )

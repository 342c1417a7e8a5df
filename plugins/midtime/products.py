"""Products around a restore in place: stopped before a database is replaced, started after it."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from midtime.errors import (
    AdminAccessError,
    AdminUnreachableError,
    DiscoveryAccessError,
    DiscoveryError,
    ForeignPauseError,
    MidtimeError,
    ProductRunningError,
    RequestError,
    StillPausedError,
)
from midtime.model.topology import Action, Product, Topology, split_endpoint
from midtime.pausing import endpoints_of, require_unpaused
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


def find_all(topology: Topology) -> dict[str, tuple[str, ...]]:
    """Where each product answers, by its label; to be asked *before* the first is stopped. Nothing found proves nothing: the name may be misspelt.

    :raises ProductRunningError: one cannot be told from one that runs
    :raises DiscoveryError: its endpoints cannot be looked up
    """
    return {product.label: _known(product) for product in topology.products}


def stop_all(topology: Topology, known: Mapping[str, Sequence[str]] | None = None, *, again: bool = False) -> None:
    """Stop every product, and make sure that none is left; first of all those that we cannot stop.

    Stopped is what accepts no connection at any endpoint that was found *before* the stop, and, on Kubernetes, has no pod left and no
    workload that would make one.

    :param known: what :func:`find_all` found
    :param again: an earlier try may have stopped some of them: what does not run any more is left alone
    :raises ProductRunningError: one still runs, or cannot be told from one that runs
    :raises DiscoveryError: its endpoints cannot be looked up
    """
    found = find_all(topology) if known is None else known
    for product in sorted(topology.products, key=lambda product: product.stop is not None):
        addresses = found.get(product.label, ())
        if product.stop and not (again and not _running(product, addresses)):
            _act(product, product.stop, "stop")
        _wait_silent(product, addresses)


def require_stopped(topology: Topology) -> Iterator[str]:
    """Make sure that every product is stopped, without stopping any.

    :return: a sentence for each
    :raises ProductRunningError: one runs, or cannot be told from one that runs
    :raises DiscoveryError: its endpoints cannot be looked up
    """
    for product in topology.products:
        addresses = _known(product)
        if left := _running(product, addresses):
            raise ProductRunningError(f"product {product.label} still {', '.join(left)}", fix="stop it, then run again: nothing was taken")
        yield f"Product {product.label} is stopped: nothing answers at {', '.join(addresses) or 'any address'}"


def start_all(topology: Topology) -> None:
    """Start every product that has a ``start`` and does not answer, and wait until it does.

    :raises ProductRunningError: one does not answer in its time
    :raises DiscoveryError: Kubernetes does not scale it
    """
    for product in topology.products:
        if product.start and _missing(product):
            _act(product, product.start, "start")
            _wait_answering(product, product.start.timeout.total_seconds())


def require_serving(topology: Topology) -> Iterator[str]:
    """Ask every product that we start whether it is paused, by scalar-admin; what only just came up, or is in somebody's window, gets time.

    :return: a sentence for each that is left to people
    :raises StillPausedError: one stays paused longer than any window of ours would
    :raises ProductError: one does not answer, or refuses us
    """
    for product in topology.products:
        if not product.start:
            yield f"Product {product.label} has no `start` in the topology: start it by hand, and see that it is not paused"
            continue
        try:
            _wait_serving(product, max(topology.pause.deadline, product.start.timeout).total_seconds())
        except AdminAccessError as error:
            if product.kind != "application":
                raise
            yield f"Application {product.label} runs, but cannot be asked whether it is paused: {error}"


def _wait_serving(product: Product, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            require_unpaused(endpoints_of([product]))
            return
        except (AdminUnreachableError, ForeignPauseError, DiscoveryError) as error:
            if time.monotonic() > deadline or isinstance(error, DiscoveryAccessError):
                raise _not_serving(product, error) from error
        time.sleep(POLL_SECONDS)


def _not_serving(product: Product, error: MidtimeError) -> MidtimeError:
    if isinstance(error, ForeignPauseError):
        return StillPausedError(
            f"product {product.label} was started and is paused: {error.message}",
            fix="`midtime unpause` lifts it; the databases are in order",
        )
    return type(error)(f"product {product.label} was started: {error.message}", fix=error.fix)


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


def _wait_silent(product: Product, addresses: Sequence[str]) -> None:
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
                f"product {product.label} does not answer at {', '.join(missing)}", fix="start it by hand; the databases are in order"
            )
        time.sleep(POLL_SECONDS)


def _act(product: Product, action: Action, verb: str) -> None:
    if not action.kubernetes:
        _run(product, action, verb)
        return
    from midtime.kubernetes import scaling

    (scaling.stop if verb == "stop" else scaling.start)(f"product {product.label}", action.kubernetes)


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

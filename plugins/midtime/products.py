"""Products around a restore in place: stopped before a database is replaced, started after it."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

from midtime.errors import ProductRunningError, RequestError
from midtime.model.topology import Action, Product, Topology, split_endpoint

POLL_SECONDS = 0.5


def require_stoppable(topology: Topology) -> None:
    """Refuse, before anything is touched, a restore in place that could not tell whether the products are stopped.

    :raises RequestError: endpoints that only discovery finds, or a stop that is not a command on the worker
    """
    for product in topology.products:
        if product.endpoints.static is None:
            raise RequestError(
                f"product {product.label} is found by {'SRV record' if product.endpoints.srv else 'Kubernetes'}: whether it is stopped cannot be seen yet",
                fix="restore beside the original, stop the products and rename the databases by hand",
            )
        for action in (product.stop, product.start):
            if action and (action.ssh_conn_id or not action.command):
                raise RequestError(
                    f"product {product.label} is stopped through SSH or Kubernetes, which a restore in place cannot do yet",
                    fix="remove stop and start from the topology and stop it by hand before the restore",
                )


def stop_all(topology: Topology) -> None:
    """Stop every product, and make sure that none answers; first of all those that we cannot stop.

    :raises ProductRunningError: one still does
    """
    for product in sorted(topology.products, key=lambda product: product.stop is not None):
        if product.stop:
            _run(product, product.stop, "stop")
        _wait_silent(product)


def start_all(topology: Topology) -> None:
    """Start every product that has a ``start`` and does not answer, and wait until it does.

    :raises ProductRunningError: one does not answer in its time
    """
    for product in topology.products:
        if product.start and set(product.endpoints.static or ()) - set(answering(product)):
            _run(product, product.start, "start")
            _wait_answering(product, product.start.timeout.total_seconds())


def answering(product: Product) -> Iterator[str]:
    """The endpoints of a product that accept a connection."""
    for endpoint in product.endpoints.static or ():
        try:
            with socket.create_connection(split_endpoint(endpoint), timeout=3):
                yield endpoint
        except OSError:
            continue


def _wait_silent(product: Product) -> None:
    deadline = time.monotonic() + (product.stop.timeout.total_seconds() if product.stop else 0)
    while still := list(answering(product)):
        if time.monotonic() > deadline:
            raise ProductRunningError(
                f"product {product.label} still answers at {', '.join(still)}",
                fix="stop it, then run again: nothing was replaced" if not product.stop else "see why its stop command does not stop it",
            )
        time.sleep(POLL_SECONDS)


def _wait_answering(product: Product, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    wanted = set(product.endpoints.static or ())
    while missing := wanted - set(answering(product)):
        if time.monotonic() > deadline:
            raise ProductRunningError(
                f"product {product.label} does not answer at {', '.join(sorted(missing))}", fix="start it by hand; the data is in place"
            )
        time.sleep(POLL_SECONDS)


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

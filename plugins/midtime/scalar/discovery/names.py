"""Host names of endpoints, looked up once: what is paused, leased and polled is one address, and behind it one process.

A channel to a name with several addresses would connect to one of them, and the others would go on writing in a "proven" window.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from queue import Empty, SimpleQueue

from midtime.errors import DiscoveryAccessError, DiscoveryError
from midtime.model.topology import join_endpoint

LIFETIME = 5.0
"""Seconds for all names together: what comes later is of no use to a window."""
_AT_ONCE = 32
_AGAIN = (socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_SYSTEM, socket.EAI_MEMORY)


def resolve(subject: str, endpoints: Iterable[str]) -> dict[str, str]:
    """The ``ip:port`` of each ``host:port``, and the host name that it was written with: empty where an address was.

    :param subject: the product's name in reports
    :raises DiscoveryError: names cannot be looked up now
    :raises DiscoveryAccessError: a name does not exist, has several addresses, or leads to where another one leads
    """
    written = [(each, *each.rpartition(":")[::2]) for each in endpoints]
    names = {host for _, host, _ in written if not _is_address(host)}
    addresses = dict(_one_each(subject, _looked_up(subject, sorted(names))))
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for each, host, port in written:
        found[join_endpoint(addresses.get(host, host), port)].append((each, host if host in names else ""))
    for address, those in found.items():
        if len(those) > 1:
            raise DiscoveryAccessError(
                f"{' and '.join(sorted(each for each, _ in those))} of product {subject} are one address, {address}",
                fix="list each process once, by an address of its own: behind a load balancer or a forwarded port only one would be paused",
            )
    return {address: host for address, [(_, host)] in found.items()}


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _looked_up(subject: str, names: list[str]) -> dict[str, list[str] | OSError]:
    """Ask the system for every name: at once, because each has its own time-outs; on daemons, because nothing else ends such a question."""
    waiting: SimpleQueue[str] = SimpleQueue()
    for name in names:
        waiting.put(name)
    answers: dict[str, list[str] | OSError] = {}
    threads = [threading.Thread(target=_work, args=(waiting, answers), name="resolve", daemon=True) for _ in names[:_AT_ONCE]]
    until = time.monotonic() + LIFETIME
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    if mute := [name for name in names if name not in answers]:
        raise DiscoveryError(
            f"{', '.join(mute[:3])} of product {subject} cannot be looked up: no answer within {LIFETIME:g} s",
            fix="see why the worker's name servers do not answer, then try again",
        )
    return answers


def _work(waiting: SimpleQueue[str], answers: dict[str, list[str] | OSError]) -> None:
    while True:
        try:
            name = waiting.get_nowait()
        except Empty:
            return
        try:
            answers[name] = addresses_of(name)
        except UnicodeError as error:  # a label that is empty or too long
            answers[name] = socket.gaierror(socket.EAI_NONAME, str(error))
        except OSError as error:
            answers[name] = error


def addresses_of(name: str) -> list[str]:
    """Every address that a name has here.

    :raises OSError: none can be found
    """
    return sorted({str(where[0]) for _, _, _, _, where in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)})


def _one_each(subject: str, answers: Mapping[str, list[str] | OSError]) -> Iterator[tuple[str, str]]:
    for name, answer in answers.items():
        what = f"{name} of product {subject}"
        if isinstance(answer, OSError):
            if answer.errno in _AGAIN:
                raise DiscoveryError(
                    f"{what} cannot be looked up: {answer.strerror}", fix="see why the worker's name servers fail, then try again"
                ) from answer
            raise DiscoveryAccessError(
                f"{what} is no host name that the worker knows: {answer.strerror}",
                fix=f"check with `getent ahosts {name}` on the worker; correct the topology or the record",
            ) from answer
        if len(answer) != 1:
            raise DiscoveryAccessError(
                f"{what} has {len(answer)} addresses ({', '.join(answer[:5])}{', ...' if len(answer) > 5 else ''}), and only one would be paused",
                fix="list every process by its own address, or use `srv` or `kubernetes`; of one process with an IPv4 and an IPv6 address"
                " (such as localhost), write one of them",
            )
        yield name, answer[0]

"""How long 1,000 endpoints take to be paused and seen to be paused; see docs/benchmarks.md.

The endpoints are real gRPC servers in one other process (the shipped double). The peer is the obvious way, in the same run: one after the
other, each Pause and CheckPaused over the same channels. Run as ``python -m benchmarks.pause_fanout``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable

from benchmarks.support.measuring import median, wait_for_quiet
from midtime.pausing import clients_of, connect_all
from midtime.scalar.client import AdminClient
from midtime.scalar.double import Double
from midtime.scalar.guard import Guard
from midtime.scalar.keeper import Limits

GOAL = 2.0
"""Seconds, from the first Pause sent to the last endpoint seen paused."""


class Nobody:
    """The watchdog's place: its pipe is measured elsewhere."""

    lost = False

    def about_to_pause(self, settled: dict[str, float], deadline: float) -> None: ...

    def answered(self, addresses: Iterable[str]) -> None: ...

    def not_ours(self, addresses: Iterable[str]) -> None: ...

    def stay(self) -> None: ...

    def unpaused(self) -> set[str]:
        return set()


def at_once(clients: list[AdminClient]) -> tuple[float, float]:
    """The guard of a window: seconds until it is open, and of the whole outage."""
    guard = Guard([clients], Limits(10, 0, 30), Nobody())
    guard.begin()
    while not guard.opened.wait(0.05):
        assert not guard.ended.is_set(), guard.error
    guard.finish()
    guard.ended.wait()
    assert guard.error is None, guard.error
    assert guard.began is not None
    assert guard.start is not None
    assert guard.over is not None
    return guard.start - guard.began, guard.over - guard.began


def one_after_the_other(clients: list[AdminClient]) -> float:
    """What a loop takes."""
    began = time.monotonic()
    for client in clients:
        client.pause(drain=10, timeout=11)
    for client in clients:
        assert client.check_paused(timeout=5)
    confirmed = time.monotonic() - began
    for client in clients:
        client.unpause(timeout=5)
    return confirmed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with Double(count=options.endpoints) as double:
        endpoints = [double.endpoint(number) for number in range(options.endpoints)]
        with clients_of(endpoints) as clients:
            began = time.monotonic()
            connect_all(clients)
            print(f"{options.endpoints} channels opened beforehand in {time.monotonic() - began:.2f} s")
            wait_for_quiet(30)
            ours, outages, peers = [], [], []
            for _ in range(options.rounds):
                confirmed, outage = at_once(clients)
                ours.append(confirmed)
                outages.append(outage)
                peers.append(one_after_the_other(clients))
    print(
        f"confirmed after: midtime median {median(ours):.2f} s, most {max(ours):.2f} s (goal {GOAL} s); whole window {median(outages):.2f} s"
    )
    print(f"one after the other: median {median(peers):.2f} s; ratio {median(ours) / median(peers):.2f}")


if __name__ == "__main__":
    main()

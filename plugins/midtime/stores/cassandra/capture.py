"""Fixing the instant: a nodetool on every node that has been started and waits, and in the window is told to go on.

What a client was told is written is in the memtables of enough nodes; ``nodetool snapshot`` flushes them and makes hard links. So all that was
acknowledged before the first node is told is in the set, and nothing that begins after the last one has answered. In between it depends on the
node, which is why writers are paused.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from midtime.errors import CopyError, MidtimeError, StoreUnreachableError, TargetExistsError
from midtime.model.durations import format_duration
from midtime.model.instants import utc_now
from midtime.stores.cassandra.cluster import Cluster, Member
from midtime.stores.cassandra.nodetool import ArmedCommand, Nodetool, Tool
from midtime.stores.cassandra.ring import Ring, numbers, read_ring
from midtime.stores.cassandra.snapshot_folders import folders_of
from midtime.stores.copied import Armed

log = logging.getLogger(__name__)

EXPIRING = (4, 1)
"""Version since which snapshots can have a time to live."""
BRIEFLY = 20.0
"""Seconds for a node to forget a snapshot of a capture that has failed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot on every node."""

    tag: str
    midtime: datetime
    """When the nodes were told: all that was acknowledged by then is in it."""
    seconds: float
    """Until the last node had taken it."""
    keyspaces: tuple[str, ...]
    ring: Ring
    """As it was shortly before."""


class ArmedSnapshots(Armed):
    """One waiting nodetool a node.

    :param limit: how long all of them together may take in the window
    """

    def __init__(self, cluster: Cluster, ring: Ring, tag: str, keyspaces: Sequence[str], limit: timedelta) -> None:
        self.cluster, self.ring, self.tag, self.keyspaces, self.limit = cluster, ring, tag, tuple(keyspaces), limit
        self.commands: dict[str, ArmedCommand] = {}
        self.released = False
        self._adding = threading.Lock()

    def start(self, member: Member, tool: Nodetool, ttl: timedelta, patience: float) -> None:
        """Start that node's, and wait until it waits."""
        command = tool.armed_snapshot(self.tag, self.keyspaces, ttl, patience)
        with self._adding:
            self.commands[member.label] = command
        command.wait_ready()

    def check(self) -> None:
        """Whether all of them still wait: one does not when its node's server has ended."""
        for command in self.commands.values():
            if not command.alive:
                command.wait(BRIEFLY)
                raise CopyError(f"node {command.label}: nodetool ended while it waited for the window", fix="see that node's log")

    def fix(self) -> Snapshot:
        """Let all of them go on at once. The first that fails fails all: writers wait for us. :meth:`close` ends the others.

        :raises StoreUnreachableError: they have not all taken it in time
        :raises StoreError: one has failed
        """
        self.released = True
        midtime, started = utc_now(), time.monotonic()
        deadline = started + self.limit.total_seconds()
        self.cluster.each(lambda member: self._take(self.commands[member.label], deadline), hasty=True)
        return Snapshot(self.tag, midtime, time.monotonic() - started, self.keyspaces, self.ring)

    def _take(self, command: ArmedCommand, deadline: float) -> None:
        command.release()
        try:
            command.wait(max(deadline - time.monotonic(), 0.001))
        except StoreUnreachableError as error:
            if time.monotonic() < deadline:
                raise
            raise StoreUnreachableError(
                f"node {command.label} has not taken its snapshot within {format_duration(self.limit)}",
                fix="see what its disk is busy with; flush before, or raise capture_limit",
            ) from error

    def close(self) -> None:
        """End those that wait. Idempotent."""
        for command in self.commands.values():
            command.close()


@contextmanager
def armed_snapshots(cluster: Cluster, tool: Tool, tag: str, keyspaces: Sequence[str], patience: timedelta) -> Iterator[ArmedSnapshots]:
    """Flush, and start nodetool on all nodes. If the block fails, no snapshot of that tag is left, as far as the nodes can be reached.

    :param patience: how long the window may have to be waited for
    """
    spec, ring = cluster.spec, read_ring(cluster, tool)
    armed = ArmedSnapshots(cluster, ring, tag, keyspaces, spec.capture_limit)
    ttl = spec.snapshot_ttl if numbers(ring.version)[:2] >= EXPIRING else timedelta(0)
    seconds = (patience + spec.capture_limit).total_seconds()
    cluster.each(lambda member: _require_unused(member, tag))
    try:
        if spec.flush:
            cluster.each(lambda member: tool(member).flush(seconds))  # by then nobody waits for us any more
        cluster.each(lambda member: armed.start(member, tool(member), ttl, seconds))
        yield armed
    except BaseException:
        armed.close()
        if armed.released:
            _forget(cluster, tool, tag)
        raise
    finally:
        armed.close()


def _require_unused(member: Member, tag: str) -> None:
    if folders_of(member, tag):
        raise TargetExistsError(f"node {member.label} has a snapshot {tag} already", fix="clear it by hand if nobody needs it")


def _forget(cluster: Cluster, tool: Tool, tag: str) -> None:
    def one(member: Member) -> None:
        try:
            tool(member).clear(tag, BRIEFLY)
        except MidtimeError as error:
            log.warning("Snapshot %s may be left on node %s: %s", tag, member.label, error)

    cluster.each(one)

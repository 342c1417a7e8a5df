"""Nodes stopped and started by what the user gave for it, and seen to be down, or up and of one mind."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Sequence

from midtime.errors import MidtimeError, RequestError, RestoreFailedError, StoreUnreachableError, ToolError
from midtime.model.topology.cassandra import SshAccess
from midtime.model.topology.commands import Action
from midtime.model.words import counted
from midtime.stores.base import Say
from midtime.stores.cassandra.cluster import Cluster, Member
from midtime.stores.cassandra.nodetool import tools_of
from midtime.stores.cassandra.ring import Ring, read_ring

POLL_SECONDS = 1.0
SLACK = 15.0
"""Seconds that the node may take to say that a command took too long."""
HOST = "{host}"
BUSY = 113
"""Exit code of an act for which an earlier one leaves no room."""
_AT_WORK = "an earlier stop or start is still at work on it"
# Into a file, not a pipe: what a start leaves running may hold its output open for ever. In a session of its own, so that nobody ends it
# with us; hence it may outlive us, and the next act on this node, which may undo it, waits for its end. What it starts does not hold the lock.
_ACT = f"""
limit=$1 patience=$2 lock=$3 host=$4; shift 4
said=$(mktemp)
trap 'rm -f "$said"' EXIT
set -- timeout -k 5 "$limit" "$@"
if test ! -d "$lock"; then
    if test -w "${{HOME:-/nowhere}}"; then lock=$HOME; else lock=${{TMPDIR:-/tmp}}; fi
    lock=$lock/.midtime_act_$host
fi
if flock --version 2>/dev/null | grep -q util-linux; then set -- flock -o -E {BUSY} -w "$patience" "$lock" "$@"; fi
if command -v setsid >/dev/null; then set -- setsid --wait "$@"; fi
code=0
"$@" </dev/null >"$said" 2>&1 || code=$?
if [ "$code" = {BUSY} ]; then echo "{_AT_WORK}" >&2; fi
if [ "$code" != 0 ]; then tail -c 2000 "$said" >&2; fi
exit "$code"
"""
# Whoever has a segment of the commit log open, or mapped, is the node's server. What we may not look into shows nothing.
_HOLDERS = """
for process in /proc/[0-9]*; do
    if grep -qsF -- "$1/" "$process/maps" || find "$process/fd" -lname "$1/*" 2>/dev/null | grep -q .; then echo "${process#/proc/}"; fi
done
"""


class Lifecycle:
    """Stops and starts the nodes of one cluster.

    :param say: is told what was done, one line at a time
    """

    def __init__(self, cluster: Cluster, say: Say) -> None:
        self.cluster, self.say = cluster, say

    def running(self) -> list[Member]:
        """The nodes whose server runs, or may run."""
        found = self.cluster.each(lambda member: bool(signs_of_life(member)))
        return [member for member in self.cluster.members if found[member.label]]

    def stop(self, members: Sequence[Member], before: Callable[[Member], None] = lambda _: None) -> None:
        """Stop them all at once, and wait until nothing is left of them.

        :param before: called for each right before its stop, which there is not if it raises
        :raises RestoreFailedError: a stop failed, or did not stop its node in time
        """
        labels = {member.label for member in members}

        def one(member: Member) -> None:
            if member.label in labels:
                before(member)
                _stop(member)

        self.cluster.each(one)
        if labels:
            self.say(f"Stopped: {', '.join(sorted(labels))}")

    def start(self, members: Iterable[Member]) -> None:
        """Start those of them that do not run: seeds first, each of which must listen before the next one is started, then the others.

        :raises RestoreFailedError: a start failed, or its node does not listen in time
        """
        missing = [member for member in members if not listens(member)]
        for member in (each for each in missing if each.seed):
            self._start(member)
        others = {member.label for member in missing if not member.seed}
        self.cluster.each(lambda member: self._start(member) if member.label in others else None)

    def _start(self, member: Member) -> None:
        act(member, member.start, "start")
        _wait_listening(member)
        self.say(f"Started: {member.label}")

    def wait_whole(self) -> Ring:
        """Until all nodes say of all that they are up and normal, with one schema.

        :raises StoreUnreachableError: they do not in time
        """
        tool = tools_of(self.cluster)
        deadline = time.monotonic() + max(_seconds(member.start) for member in self.cluster.members)
        while True:
            try:
                return read_ring(self.cluster, tool)
            except MidtimeError as error:
                if time.monotonic() > deadline:
                    raise
                last = error
            self.say(f"Waiting for the ring: {last.message}")
            time.sleep(POLL_SECONDS)


def signs_of_life(member: Member) -> list[str]:
    """What shows that its server runs, for people; what is left of it may come only to light when a port is closed already."""
    found = ["CQL port open"] if listens(member) else []
    processes = member.node.shell(_HOLDERS, member.layout.commitlog).split()
    return [*found, *(f"process {each} has its commit log open" for each in processes)]


def listens(member: Member) -> bool:
    """Whether its CQL port accepts connections: the last thing that a node opens."""
    try:
        with socket.create_connection((member.host, member.cql_port), timeout=3):
            return True
    except OSError:
        return False


def require_actions(cluster: Cluster) -> str:
    """Whether each node can be stopped and started so that its files can be reached meanwhile.

    :raises RequestError: one cannot
    """
    for member in cluster.members:
        for verb, action in (("stop", member.stop), ("start", member.start)):
            if action is None:
                raise RequestError(f"node {member.label} has no `{verb}`", fix="write `stop` and `start` into the topology")
            if action.kubernetes:
                raise RequestError(
                    f"node {member.label} is to be scaled away by its `{verb}`: without its pod nobody reaches its files",
                    fix="give a command that ends only Cassandra and leaves the pod, see the runbook",
                )
    return f"{counted(len(cluster.members), 'node')} with stop and start"


def act(member: Member, action: Action | None, verb: str) -> None:
    """Run a stop or a start on the node.

    :raises RestoreFailedError: it failed
    :raises StoreUnreachableError: it takes longer than it may, or the node does not answer
    """
    if action is None or action.command is None:
        raise RequestError(f"node {member.label} has no command to {verb} it", fix="write `stop` and `start` into the topology")
    seconds, patience = _seconds(action), max(_seconds(member.stop), _seconds(member.start))
    said = [str(int(seconds) + 1), str(int(patience) + 1), member.layout.data[0], member.host]
    command = [*said, *(word.replace(HOST, member.host) for word in action.command)]
    try:
        if action.ssh_conn_id:
            from midtime.stores.cassandra.nodes.ssh import SshNode

            node = SshNode(member.label, member.host, SshAccess(conn_id=action.ssh_conn_id))
            try:
                node.shell(_ACT, *command, timeout=patience + seconds + SLACK)
            finally:
                node.close()
        else:
            member.node.shell(_ACT, *command, timeout=patience + seconds + SLACK)
    except ToolError as error:
        busy = _AT_WORK in error.message
        fix = "see on the node what that waits for, and end it; then run again" if busy else f"{verb} it by hand, then run again"
        raise RestoreFailedError(f"node {member.label}: {verb} failed: {error.message}", fix=fix) from error


def _stop(member: Member) -> None:
    act(member, member.stop, "stop")
    deadline = time.monotonic() + _seconds(member.stop)
    while left := signs_of_life(member):
        if time.monotonic() > deadline:
            raise RestoreFailedError(
                f"node {member.label} was stopped and still runs: {', '.join(left)}", fix="see why its stop does not stop it"
            )
        time.sleep(POLL_SECONDS)


def _wait_listening(member: Member) -> None:
    deadline = time.monotonic() + _seconds(member.start)
    while not listens(member):
        if time.monotonic() > deadline:
            raise StoreUnreachableError(
                f"node {member.label} was started and does not listen on port {member.cql_port}", fix="read its log; start it by hand"
            )
        time.sleep(POLL_SECONDS)


def _seconds(action: Action | None) -> float:
    return action.timeout.total_seconds() if action else 300.0

"""nodetool on a node: it speaks JMX to the node's server.

The login for JMX is in no argument and no file. nodetool reads its password from a file before it connects, and that file is a FIFO in a
private folder; what goes into it comes through our own channel to the node. By the same way a snapshot is *armed*: the JVM of nodetool is
started and waits for the password, and goes on when that is sent. Should we die before, or the server, it is ended, and no snapshot is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from midtime.errors import MidtimeError, StoreAccessError, StoreUnreachableError, ToolError
from midtime.stores.cassandra import nodetool_output as output
from midtime.stores.cassandra.nodes.base import SHORT, Running
from midtime.stores.cassandra.nodetool_output import Described, Info, RingMember
from midtime.stores.naming import airflow_connection

if TYPE_CHECKING:
    from midtime.stores.cassandra.cluster import Cluster, Member

Tool = Callable[["Member"], "Nodetool"]
"""nodetool of each node of a cluster."""
LONG = 3600.0
"""Seconds that a flush or a repair may take."""
READY = "midtime: ready"
# The FIFO is held open for both ends, also by nodetool itself, so that it never ends: an empty password would be taken for none, and
# nodetool would go on. Java reads on until its buffer is full: hence the zeros. Killing `timeout` kills the JVM below a script, too.
# A nodetool that waits is not connected: whether the server is still there is told by its port.
# Of what it complains of, Java's stack traces are left out: an access keeps the end alone.
_SCRIPT = """
limit=$1 armed=$2 port=$3; shift 3
umask 077
folder=$(mktemp -d "${TMPDIR:-/tmp}/midtime_tmp_login.XXXXXXXXXX")
tool= reader= watcher=
trap 'kill $tool $reader $watcher 2>/dev/null || :; rm -rf "$folder"' EXIT
trap 'exit 143' HUP INT TERM
mkfifo "$folder/login"
exec 3<>"$folder/login"
for word; do
    shift
    if test "$word" = @login@; then word=$folder/login; fi
    set -- "$@" "$word"
done
timeout -k 2 "$limit" "$@" </dev/null 2>"$folder/complaints" &
tool=$!
exec 4<&0
{
    if IFS= read -r line <&4; then printf '%s\\n%04096d\\n' "$line" 0 >&3; else kill "$tool"; fi
} &
reader=$!
listening() { grep -qs "^ *[0-9]*: [0-9A-F]*:$(printf %04X "$port") [0-9A-F]*:0000 0A " /proc/net/tcp /proc/net/tcp6; }
waits() { find /proc/[0-9]*/fd ! -name 3 -lname "$folder/login" 2>/dev/null | grep -q .; }
briefly() { sleep "$1" </dev/null >/dev/null 2>&1 3>&- 4>&-; }
if test -n "$armed"; then
    until waits || ! kill -0 "$tool" 2>/dev/null; do briefly 0.05; done
    if listening; then
        while briefly 0.5; do
            listening || { echo "Connection refused: nothing listens at port $port any more" >>"$folder/complaints"; kill "$tool"; exit; }
        done &
        watcher=$!
    fi
    if kill -0 "$tool" 2>/dev/null; then echo "$armed"; fi
fi
code=0
wait "$tool" || code=$?
tool=
grep -v '^[[:space:]]*at ' "$folder/complaints" | cut -c -300 | head -n 6 >&2 || :
exit "$code"
"""
_UNREACHABLE = re.compile(r"Failed to connect|Connection refused|ConnectException|ConnectIOException|UnknownHostException|Connection reset")
_ENDED = re.compile(r"^node \S+: (\S+ ended with exit code \d+: )?")
"""What an access says before a command's last words."""
_REFUSED = re.compile(r"SecurityException|Authentication failed|Credentials required|Access denied|AccessControlException", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Login:
    """User and password of JMX."""

    user: str
    password: str

    @property
    def line(self) -> bytes:
        """As nodetool's password file has it."""
        return f"{self.user} {self.password}\n".encode()


NOBODY = Login("midtime", "midtime")
"""For a JMX that asks nobody, and then looks at neither."""


def jmx_login(conn_id: str | None) -> Login | None:
    """The login of an Airflow connection; none where JMX asks for none.

    :raises StoreAccessError: there is no such connection, or nodetool cannot be told its password
    """
    if conn_id is None:
        return None
    connection = airflow_connection(conn_id)
    if connection is None or not connection.login or not connection.password:
        raise StoreAccessError(
            f"Airflow connection {conn_id!r} does not exist, or lacks login or password", fix="create it, or leave jmx_conn_id out"
        )
    if re.search(r"\s", connection.login + connection.password):
        raise StoreAccessError(f"Airflow connection {conn_id!r} has a space in login or password", fix="nodetool takes none: choose others")
    return Login(connection.login, connection.password)


def tools_of(cluster: Cluster) -> Tool:
    """Nodetool of each node of a cluster, with the login that it asks for.

    :raises StoreAccessError: as for :func:`jmx_login`
    """
    login = jmx_login(cluster.jmx_conn_id)
    return lambda member: Nodetool(member, login)


class Nodetool:
    """nodetool of one node.

    :param login: of JMX; None: it asks for none
    """

    def __init__(self, member: Member, login: Login | None = None) -> None:
        self._member, self._login = member, login

    def status(self) -> tuple[RingMember, ...]:
        """All nodes as this one sees them."""
        return output.status(self.run("status"))

    def describecluster(self) -> Described:
        """Names, versions and keyspaces as this node sees them."""
        return output.describecluster(self.run("describecluster"))

    def schema_versions(self) -> dict[str, tuple[str, ...]]:
        """Schema version -> addresses."""
        return self.describecluster().schema_versions

    def version(self) -> str:
        """Cassandra's, of this node."""
        return self.run("version").strip().rpartition(" ")[2]

    def info(self) -> Info:
        """What the node says of itself, with its tokens."""
        return output.info(self.run("info", "-T"))

    def snapshots(self) -> dict[str, frozenset[str]]:
        """Tag -> ``keyspace.table`` of each table in it."""
        return output.listsnapshots(self.run("listsnapshots"))

    def tables(self, keyspaces: Sequence[str]) -> frozenset[str]:
        """``keyspace.table`` of all tables."""
        return output.tablestats(self.run("tablestats", "-F", "json", *keyspaces))

    def flush(self, timeout: float = LONG) -> None:
        """Write all memtables out: nodetool flushes all keyspaces in one call, or one a call."""
        self.run("flush", timeout=timeout)

    def clear(self, tag: str, timeout: float = SHORT) -> None:
        """Remove that snapshot. Nothing happens if it is not there."""
        self.run("clearsnapshot", "-t", tag, timeout=timeout)

    def repair(self, *words: str, timeout: float = LONG * 24) -> None:
        """Repair, as the options say."""
        self.run("repair", *words, timeout=timeout)

    def run(self, *words: str, timeout: float = SHORT) -> str:
        """Run it to its end; what it printed.

        :raises StoreUnreachableError: the node, or its server, does not answer (in time)
        :raises StoreAccessError: JMX refuses us
        :raises ToolError: nodetool is not there, or fails
        """
        try:
            return self._member.node.run(self._command(self._login, timeout, "", words), sent=(self._login or NOBODY).line, timeout=timeout)
        except ToolError as error:
            raise told(error, self._member.label) from error

    def armed_snapshot(self, tag: str, keyspaces: Sequence[str], ttl: timedelta, patience: float) -> ArmedCommand:
        """A nodetool that is about to take a snapshot.

        :param ttl: the server removes the snapshot by itself after that; zero: never
        :param patience: seconds after which it ends by itself
        """
        lives = ("--ttl", f"{int(ttl.total_seconds())}s") if ttl else ()
        login = self._login or NOBODY
        command = self._command(login, patience, READY, ("snapshot", "-t", tag, *lives, *keyspaces))
        return ArmedCommand(self._member.label, self._member.node.start(command), login)

    def _command(self, login: Login | None, limit: float, armed: str, words: Sequence[str]) -> list[str]:
        member, asked = self._member, ("-u", login.user, "-pwf", "@login@") if login else ()
        tool = (*member.nodetool, "-p", str(member.jmx_port), *asked, *words)
        return ["sh", "-euc", _SCRIPT, "midtime", str(int(limit) + 1), armed, str(member.jmx_port), *tool]


class ArmedCommand:
    """A nodetool that has been started and waits for its login."""

    def __init__(self, label: str, running: Running, login: Login) -> None:
        self.label, self._running, self._login = label, running, login

    def wait_ready(self, seconds: float = SHORT) -> None:
        """Until its JVM is up and waits.

        :raises StoreError: it does not get so far
        """
        self._running.silence = seconds
        said = b""
        while READY.encode() not in said:
            if not (chunk := self._running.read()):
                self.wait(SHORT)
                raise ToolError(f"node {self.label}: nodetool ended before it was needed", fix="run nodetool status on the node")
            said += chunk

    @property
    def alive(self) -> bool:
        """Whether it still waits."""
        return self._running.alive

    def release(self) -> None:
        """Let it go on, now."""
        try:
            self._running.send(self._login.line)
        except ToolError:
            self.wait(SHORT)  # its own last words say more
            raise

    def wait(self, seconds: float) -> None:
        """Until it has done its work.

        :raises StoreError: it failed, or not in time
        """
        try:
            self._running.wait(seconds)
        except ToolError as error:
            raise told(error, self.label) from error

    def close(self) -> None:
        """End it. Idempotent."""
        self._running.close()


def told(error: ToolError, label: str) -> MidtimeError:
    """What a nodetool that failed means, by its last words."""
    said = " ".join(_ENDED.sub("", error.message).replace("-- StackTrace --", "").split())
    if _REFUSED.search(said):
        return StoreAccessError(f"node {label}: JMX refuses us: {said}", fix="name a connection with JMX's login in jmx_conn_id")
    if _UNREACHABLE.search(said):
        return StoreUnreachableError(f"node {label}: Cassandra does not answer: {said}", fix="see that it runs, and that jmx_port is right")
    return ToolError(f"node {label}: {said}", fix=error.fix)

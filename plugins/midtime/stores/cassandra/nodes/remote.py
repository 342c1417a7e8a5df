"""What SSH and Kubernetes lack: a command that was given up goes on running where it is. So each says its process id first."""

from __future__ import annotations

from collections.abc import Sequence

from midtime.stores.cassandra.nodes.words import LastWords

_SAY = 'echo "$$" >&2; LC_ALL=C; export LC_ALL; exec "$@"'
# The input comes in pieces, each with its length before it, and 0 at its end. Who feeds it says its own process id first, so that it
# can be ended with the command, also if there is more input to come; the outer shell would complain of that, and is not listened to.
_SAY_AND_FEED = """echo "$$" >&2; LC_ALL=C; export LC_ALL; exec 3<&0 4>&2 2>/dev/null
( exec <&3 3<&- 4>&-; sh -c 'echo "$PPID"'; while read -r size && test "$size" -gt 0; do head -c "$size"; done ) |
( exec 3<&- 2>&4 4>&-; read -r feeder; code=0; "$@" || code=$?; kill "$feeder" 2>/dev/null; exit "$code" )"""
# The whole group, if it is that of a session of its own: a shell's children too. Field 3 and 4 behind the name are group and session.
_END = """test -r "/proc/$1/stat" || exit 0
line=$(cat "/proc/$1/stat"); set -- "$1" ${line##*) }
if test "$4" = "$5" && test "$4" -gt 1; then target="-$4"; else target="$1"; fi
kill -s TERM -- "$target" || exit 0
( sleep 2; kill -s KILL -- "$target" ) > /dev/null 2>&1 < /dev/null &"""


def saying_its_id(command: Sequence[str]) -> list[str]:
    """The same command; the first line of its standard error is its process id."""
    return ["sh", "-c", _SAY, "midtime", *command]


def fed_in_pieces(command: Sequence[str]) -> list[str]:
    """The same, for an access that cannot end a command's input: it comes in pieces, each after a line with its length, and 0 at the end."""
    return ["sh", "-c", _SAY_AND_FEED, "midtime", *command]


def ending(process_id: int) -> list[str]:
    """A command that ends another one and its children: at once if they obey, else two seconds later."""
    return ["sh", "-c", _END, "midtime", str(process_id)]


class RemoteWords(LastWords):
    """The last words of a command that says its process id first."""

    def __init__(self) -> None:
        super().__init__()
        self.process_id: int | None = None
        self._first: bytes | None = b""

    def add(self, chunk: bytes) -> None:
        """It wrote something more."""
        if self._first is None:
            return super().add(chunk)
        line, newline, rest = (self._first + chunk).partition(b"\n")
        if not newline:
            self._first = line
            return None
        self._first = None
        if line.isdigit():
            self.process_id = int(line)
            return super().add(rest)
        return super().add(line + newline + rest)

    def end(self) -> None:
        """Nothing more comes; what came was perhaps no whole line."""
        if self._first:
            first, self._first = self._first, None
            super().add(first)

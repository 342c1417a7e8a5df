"""The swap on one node: what lives in its folders is set aside, what is staged is moved in, and the other way round.

Both ways are one shell script that runs on the node: it survives our death, and whoever comes back runs it, or the other one, from its
beginning. Everything moves inside one folder, so each move is a rename. Two marks in the folder that keeps what was live tell whose the
entries are that stand there now: without ``.midtime_moved`` they are what was live, with it they are what was staged. And nothing moves before
a third one, ``.midtime_staged``, says in each folder that all is staged: whoever wakes up late and finds the working copy gone moves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from midtime.errors import RestoreFailedError, ToolError
from midtime.stores.cassandra.nodes.base import Node
from midtime.stores.naming import require_working_name

PATIENCE = 1800.0
"""Seconds that a swap may take: it moves names only, but makes them durable, and the disk may have much to write before."""
KEPT = "midtime_before_"
"""Begins the name of every folder that keeps what was live."""

OWN_ALONE = """
own_alone() { if [ "$(id -u)" = 0 ] && [ -n "$owner" ]; then chown -- "$owner" "$1"; fi; }  # Cassandra walks through it when it starts
make_folder() { if [ ! -d "$1" ]; then mkdir -p -- "$1"; own_alone "$1"; fi; }
"""
"""For a script that has ``$owner``: folders that Cassandra's user can use, also where the node's shell is root's."""

_COMMON = (
    OWN_ALONE
    + r"""
working=$1 aside=$2 owner=$3
shift 3
refuse() { echo "midtime refuses: $*" >&2; exit 65; }
case $working in midtime_tmp_?*) ;; *) refuse "$working is no working name" ;; esac
case $aside in midtime_before_?*) ;; *) refuse "$aside is no name to keep anything under" ;; esac
case $working$aside in */*) refuse "a name is no path" ;; esac
settle() { sync -f "$1" 2>/dev/null || sync; }
mark() { settle "$1"; touch "$1/$2"; settle "$1"; }
own() { if [ "$(id -u)" = 0 ] && [ -n "$owner" ]; then chown -R -- "$owner" "$1"; fi; }
move_all() {
    for entry in "$1"/* "$1"/.*; do
        name=${entry##*/}
        case $name in . | .. | lost+found | midtime_tmp_* | midtime_before_* | .midtime_*) continue ;; esac
        [ -e "$entry" ] || [ -L "$entry" ] || continue
        if [ -e "$2/$name" ] || [ -L "$2/$name" ]; then refuse "both $entry and $2/$name are there"; fi
        mv -- "$entry" "$2/"
    done
}
"""
)

# A script survives whoever started it: the other way must not begin while it is at work.
_TURN = """
if [ -d "$1" ] && command -v flock >/dev/null; then
    exec 9<"$1"
    flock -w 60 9 || refuse "another swap is at work on $1"
fi
"""

_STAGED = """
for folder; do
    [ -e "$folder/$aside/.midtime_moved" ] || [ -e "$folder/$working/.midtime_staged" ] || refuse "nothing is staged in $folder/$working"
done
"""

_FORWARD = (
    _TURN
    + _STAGED
    + """
for folder; do
    kept=$folder/$aside
    [ ! -e "$kept/.midtime_moved" ] || continue
    mkdir -p -- "$kept"
    own_alone "$kept"
    move_all "$folder" "$kept"
    mark "$kept" .midtime_moved
done
for folder; do
    kept=$folder/$aside
    [ ! -e "$kept/.midtime_placed" ] || continue
    if [ -d "$folder/$working" ]; then
        own "$folder/$working"
        move_all "$folder/$working" "$folder"
    fi
    settle "$folder"
    mark "$kept" .midtime_placed
done
"""
)

_BACK = (
    _TURN
    + """
for folder; do
    kept=$folder/$aside
    [ -e "$kept/.midtime_moved" ] || continue
    rm -f -- "$kept/.midtime_placed"
    mkdir -p -- "$folder/$working"
    move_all "$folder" "$folder/$working"
    settle "$folder"
    rm -- "$kept/.midtime_moved"
    settle "$kept"
done
for folder; do
    kept=$folder/$aside
    [ -d "$kept" ] || continue
    move_all "$kept" "$folder"
    settle "$folder"
    rm -f -- "$kept/.midtime_final"
    rmdir -- "$kept"
done
"""
)

_READY = """
for folder; do
    make_folder "$folder"
    mkdir -p -- "$folder/$working"
    mark "$folder/$working" .midtime_staged
done
"""

_DROP = (
    _TURN
    + """
for folder; do
    if [ -d "$folder/$aside" ] && [ ! -e "$folder/$aside/.midtime_placed" ]; then refuse "$folder is half swapped"; fi
done
for folder; do rm -f -- "$folder/$working/.midtime_staged"; done
for folder; do rm -rf -- "${folder:?}/$working"; done
"""
)

_LOOK = (
    _TURN
    + """
for folder; do
    kept=$folder/$aside
    if [ -e "$kept/.midtime_placed" ]; then echo placed
    elif [ -d "$kept" ]; then echo begun
    else echo untouched
    fi
done
"""
)

_HALTED = ".midtime_halted"


def _mark_anew(former: str, mark: str) -> str:
    return f"""
for folder; do
    if [ -e "$folder/$working/{former}" ]; then mv -- "$folder/$working/{former}" "$folder/$working/{mark}"; settle "$folder/$working"; fi
done
"""


# A forward script of a process that died may not even have begun: afterwards it finds nothing staged.
_HALT = _TURN + _mark_anew(".midtime_staged", _HALTED)
_UNHALT = _mark_anew(_HALTED, ".midtime_staged")


class Progress(StrEnum):
    """How far a swap of one node is."""

    UNTOUCHED = "untouched"
    BEGUN = "begun"
    PLACED = "placed"


@dataclass(frozen=True, slots=True)
class Swap:
    """What is swapped on one node.

    :param folders: all that Cassandra writes to; data directories last, so that no restored data ever stands beside a live commit log
    :param working: name of the folder in each of them that holds what is staged; where there is none, nothing is moved in
    :param aside: name of the folder in each of them that keeps what was live
    :param owner: ``user`` or ``user:group``; what is staged becomes theirs where the node's shell is root's
    """

    node: Node
    folders: tuple[str, ...]
    working: str
    aside: str
    owner: str = ""

    def ready(self) -> None:
        """All is staged that shall be."""
        self._run(_READY)

    def drop(self) -> None:
        """Remove what is staged. Idempotent.

        :raises RestoreFailedError: a part of it is in place, and another is not
        """
        self._run(_DROP)

    def require_staged(self) -> None:
        """Whether :meth:`forward` may begin, or go on.

        :raises RestoreFailedError: nothing is staged
        """
        self._run(_STAGED)

    def forward(self) -> None:
        """What is live is set aside, what is staged is moved in. Goes on wherever an earlier try was; Cassandra is stopped meanwhile.

        :raises RestoreFailedError: nothing is staged, or names are taken by what is neither
        """
        self._run(_FORWARD)

    def back(self) -> None:
        """The other way round: what was live is live again, what was placed is staged. Where nothing was done it does nothing.

        :raises RestoreFailedError: names are taken by what is neither
        """
        self._run(_BACK)

    def halt(self) -> None:
        """From now on nothing is moved in, also by a script that was sent and has not begun yet; what is at work comes to its end first.

        :raises RestoreFailedError: it does not
        """
        self._run(_HALT)

    def unhalt(self) -> None:
        """What is staged may be moved in again."""
        self._run(_UNHALT)

    def look(self) -> Progress:
        """How far it is, once no script is at work."""
        said = set(self._run(_LOOK).split())
        if said == {Progress.PLACED}:
            return Progress.PLACED
        return Progress.UNTOUCHED if said <= {Progress.UNTOUCHED} else Progress.BEGUN

    def _run(self, script: str) -> str:
        require_working_name(self.working)
        try:
            return self.node.shell(_COMMON + script, self.working, self.aside, self.owner, *self.folders, timeout=PATIENCE)
        except ToolError as error:
            raise RestoreFailedError(
                f"node {self.node.label}: the folders could not be swapped: {error.message}",
                fix=f"see on the node what stands in {', '.join(self.folders)} beside {self.working} and {self.aside}, then run again",
            ) from error

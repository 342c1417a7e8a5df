"""Files of a node: found, hashed, sent out and taken in by the tools that every Linux has (POSIX sh, GNU find, coreutils and tar).

A file's name is never part of a shell's text, and names go NUL-separated. Large files of the worker itself are read without those tools.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from midtime.errors import StoreAccessError, ToolError
from midtime.stores.cassandra.nodes import here
from midtime.stores.cassandra.nodes.archives import File, pack, unpack
from midtime.stores.cassandra.nodes.base import PIECE, SHORT, SILENCE, Node, fed
from midtime.stores.cassandra.nodes.words import changed

OURS = "midtime_"
"""Begins the name of every folder that may be removed."""
WALK = 600.0
"""Seconds that a walk over folders, or the removal of one, may say nothing."""
SLOWEST = 20e6
"""Bytes a second that any disk gives."""

_FIND = """xargs -0 -r -I '<root>' sh -euc '
test -d "$1" || exit 0
find -H "$@" "(" -type f -o -type l ")" -printf "%y %s %i %T@ %H\\0%P\\0"
' midtime '<root>' "$@" """
_STATES = """cd -- "$1"; xargs -0 -r stat --printf '%s %i %.9Y\\0' --"""
# A line of sha256sum is written in one piece, also by several of them at once; with its -z it would not be.
_HASHES = """cd -- "$1"; xargs -0 -r -n 16 -P "$2" nice -n 19 sha256sum --binary --"""
# Code 1: a file changed, or only lost a link meanwhile, which is daily life in a snapshot. _STATES tells the two apart.
_SEND = """code=0
LC_ALL=C tar --create --file=- --directory="$1" --format=gnu --hard-dereference --no-recursion --null --verbatim-files-from --files-from=- || code=$?
test "$code" -le 1 || exit "$code" """
_TAKE = """LC_ALL=C tar --extract --file=- --directory="$1" --touch --preserve-permissions --numeric-owner "$2"
case $(sync --version 2>/dev/null) in *GNU*) sync -f -- "$1" ;; *) sync ;; esac"""
_ROOM = """mkdir -p -- "$1"; test -z "$2" || test "$(stat -c %u:%g -- "$1")" = "$2" || chown "$2" -- "$1" """
_OWNER = """user=${1%%:*}; group=${1#"$user"}; group=${group#:}
id -u "$user"
if test -z "$group"; then id -g "$user"; else
    entry=$(getent group "$group") || { echo "no such group: $group" >&2; exit 1; }
    echo "$entry" | cut -d: -f3
fi
id -u; id -g"""


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A file as a walk over a node's folders showed it."""

    root: str
    path: str
    """Relative to the root."""
    size: int
    inode: int
    mtime_ns: int


def find(node: Node, roots: Sequence[str], *tests: str) -> list[FileSeen]:
    """All files below some folders. A folder that is not there has none; folders that links point to are not entered, except a root.

    :param tests: of GNU find, such as ``-path '*/snapshots/*'``
    :raises ToolError: a link is among them: what it points to would be missed; or a name that is no UTF-8
    :raises StoreError: as for :meth:`Node.run`
    """
    said = node.output(["sh", "-euc", _FIND, "midtime", *tests], sent=_names(roots), timeout=WALK).split(b"\0")[:-1]
    return [_seen(node, head, path) for head, path in zip(said[::2], said[1::2], strict=True)]


def _seen(node: Node, head: bytes, path: bytes) -> FileSeen:
    kind, size, inode, mtime, root = head.split(b" ", 4)
    try:
        file = FileSeen(root.decode(), path.decode(), int(size), int(inode), _nanoseconds(mtime))
    except UnicodeDecodeError:
        raise ToolError(
            f"node {node.label}: the name of the file {path!r} in {root!r} is no UTF-8",
            fix="rename it, or remove it if it is none of Cassandra's",
        ) from None
    if kind != b"f":
        raise ToolError(
            f"node {node.label}: {file.root}/{file.path} is a symbolic link, and what it points to would be missed",
            fix="put the file or folder itself there, or name its folder in the topology's `directories`",
        )
    return file


def _nanoseconds(seconds: bytes) -> int:
    whole, _, fraction = seconds.partition(b".")
    return int(whole) * 10**9 + int(fraction[:9].ljust(9, b"0"))


def hashes(node: Node, root: str, paths: Sequence[str], jobs: int = 2, *, size: int = 0) -> dict[str, str]:
    """SHA-256 of files, computed on the node, behind whatever else wants its processors.

    :param jobs: how many are read at once
    :param size: of all of them, in bytes: the more, the longer it may take
    :raises ToolError: one is missing or cannot be read
    """
    if node.here:
        return here.hashes(node.label, root, paths, jobs)
    said = node.output(["sh", "-euc", _HASHES, "midtime", root, str(jobs)], sent=_names(paths), timeout=SILENCE + size / SLOWEST)
    found = dict(map(_hash_line, said.decode(errors="replace").split("\n")[:-1]))
    if lost := set(paths) - found.keys():
        raise ToolError(f"node {node.label}: sha256sum did not tell the hash of {min(lost)!r} in {root}", fix="try again")
    return {path: found[path] for path in paths}


def _hash_line(line: str) -> tuple[str, str]:
    """``<sha> *<name>``; a backslash before it if there are some in the name for odd letters."""
    escaped, line = line.startswith("\\"), line.removeprefix("\\")
    name = line[66:]
    return re.sub(r"\\([nr\\])", lambda found: {"n": "\n", "r": "\r"}.get(found[1], "\\"), name) if escaped else name, line[:64]


@contextmanager
def send_out(node: Node, root: str, paths: Sequence[str]) -> Iterator[Iterator[File]]:
    """Read files of a node, one after the other: path, size and content of each, in the given order.

    What came is right only when the block has ended without an error: that is when it is known that no file changed meanwhile.

    :raises ToolError: a file is not there
    :raises CopyError: a file vanished or was written meanwhile, or not all of it came
    """
    if node.here:
        with here.send_out(node.label, root, paths) as found:
            yield found
        return
    before = _states(node, root, paths)
    with node.start(["sh", "-euc", _SEND, "midtime", root]) as running, fed(running, _names(paths)):

        def read(size: int) -> bytes:
            if not (chunk := running.read(size)):
                running.wait(WALK)  # if it failed, its own words say more than that something is missing
            return chunk

        yield _members(node, read, paths, [size for size, _, _ in before])
        while read(PIECE):
            pass
    if _states(node, root, paths) != before:
        raise changed(node.label, f"a file in {root}")


def _states(node: Node, root: str, paths: Sequence[str]) -> list[tuple[int, int, int]]:
    """Size, inode and time of each. Another link to a file, or one less, changes nothing of it."""
    said = node.output(["sh", "-euc", _STATES, "midtime", root], sent=_names(paths), timeout=WALK).split(b"\0")[:-1]
    return [(int(size), int(inode), _nanoseconds(mtime)) for size, inode, mtime in map(bytes.split, said)]


def _members(node: Node, read: Callable[[int], bytes], paths: Sequence[str], sizes: Sequence[int]) -> Iterator[File]:
    came = 0
    for (path, size, content), wanted in zip(unpack(read), zip(paths, sizes, strict=True), strict=False):
        if (path, size) != wanted:
            raise changed(node.label, wanted[0])
        came += 1
        yield path, size, content
    if came != len(paths):
        raise changed(node.label, paths[came])


def take_in(node: Node, root: str, files: Iterable[tuple[str, int, Iterable[bytes]]], owner: str | None) -> None:
    """Write files to a node, with their folders, and see them on its disk. Done again after it was interrupted, it makes them whole.

    :param files: path below the root, size and content of each
    :param owner: ``user`` or ``user:group`` there, who shall own them; None: whoever we are there
    :raises StoreAccessError: we may not give files to that owner
    :raises ToolError: they cannot be written, for want of room perhaps
    :raises CopyError: a content is not of its size
    """
    ids = _ids(node, owner) if owner else None
    node.shell(_ROOM, root, f"{ids[0]}:{ids[1]}" if ids else "")
    with node.start(["sh", "-euc", _TAKE, "midtime", root, "--same-owner" if ids else "--no-same-owner"]) as running:
        try:
            for piece in pack(files, ids or (0, 0)):
                running.send(piece)
            running.end_input()
        except ToolError:
            running.wait(SHORT)  # its own last words say more
            raise
        running.wait(SILENCE)


def _ids(node: Node, owner: str) -> tuple[int, int]:
    user, group, me, _ = map(int, node.shell(_OWNER, owner).split())
    if me not in (0, user):
        raise StoreAccessError(
            f"node {node.label}: we are user {me} there and cannot give files to {owner}",
            fix="set `sudo`, or log in as that user or as root",
        )
    return user, group


def free_bytes(node: Node, path: str) -> int:
    """Room on the file system of a file or folder that exists."""
    blocks, size = node.run(["stat", "-f", "-c", "%a %S", "--", path]).split()
    return int(blocks) * int(size)


def exists(node: Node, path: str) -> bool:
    """Whether there is something of that name, be it a link that points nowhere."""
    return node.shell('if test -e "$1" || test -L "$1"; then echo yes; else echo no; fi', path).strip() == "yes"


def remove_tree(node: Node, path: str) -> None:
    """Remove a folder of ours, with all that is in it. Nothing happens if it is not there.

    :raises ValueError: its name is not one of ours
    """
    if not path.startswith("/") or posixpath.normpath(path) != path or not posixpath.basename(path).startswith(OURS):
        raise ValueError(f"not a folder of ours: {path!r}")
    node.run(["rm", "-rf", "--", path], timeout=WALK)


def _names(paths: Sequence[str]) -> bytes:
    return b"".join(path.encode() + b"\0" for path in paths)

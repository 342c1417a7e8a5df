"""Client tools: found, probed for their version and run, with nothing secret in their arguments."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from glob import glob
from pathlib import Path

from midtime.errors import MidtimeError, ToolError

TAIL = 40
"""Lines of a tool's output that an error shows."""
# Runs before the tool, in its process: asks the kernel to kill it when we die (PR_SET_PDEATHSIG), unless we died meanwhile. Python's own
# preexec_fn would fork, which gRPC's threads do not survive.
_LEASH = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv[1]):
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.exit(f"error: {sys.argv[2]} does not run: {error.strerror}")
"""


def candidates(name: str, *, folder: str | None, patterns: Sequence[str]) -> list[Path]:
    """Every place where a client tool may be, best first.

    :param folder: the topology's ``client_path``: when given, the only place
    :param patterns: glob patterns of the folders where distributions put versions side by side
    """
    if folder:
        folders = [folder]
    else:
        folders = [
            *os.environ.get("PATH", os.defpath).split(os.pathsep),
            *(each for pattern in patterns for each in sorted(glob(pattern), reverse=True)),
        ]
    found = (shutil.which(name, path=each) for each in dict.fromkeys(folders))
    return [Path(path) for path in found if path]


def version_of(tool: Path) -> tuple[int, ...]:
    """The first dotted number that ``tool --version`` prints, or the number of a version to come (``19beta1``).

    :raises ToolError: it does not run, or prints none
    """
    try:
        shown = subprocess.run([tool, "--version"], capture_output=True, text=True, errors="replace", timeout=30, check=False).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"{tool} does not run: {error}", fix="reinstall the database's client package") from error
    match = re.search(r"\d+((\.\d+)+|(?=alpha|beta|rc|devel))", shown)
    if match is None:
        raise ToolError(f"{tool} --version printed {shown.strip()!r}, no version", fix="reinstall the database's client package")
    return tuple(int(part) for part in match[0].split("."))


def run_tool(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    failed: Callable[[str], MidtimeError],
    on_line: Callable[[str], None] | None = None,
) -> None:
    """Run a tool to its end. It dies with this process, also when that is killed.

    :param env: added to this process's environment: the place for secrets
    :param failed: makes the error out of the last lines that the tool wrote
    :param on_line: is told every line that the tool writes
    """
    tail: list[str] = []
    # A session of its own: Ctrl-C and a task's SIGTERM come to us alone, and we end it in order.
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), *map(str, argv)],
        env={**os.environ, **env, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            for line in process.stdout or ():
                tail = [*tail, line.rstrip()][-TAIL:]
                if on_line:
                    on_line(line.rstrip())
            code = process.wait()
        except BaseException:
            _end(process)
            raise
    if code:
        raise failed("\n".join([*tail, _how_it_ended(code)]))


def _end(process: subprocess.Popen[str]) -> None:
    # The whole session: parallel tools fork workers.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        os.killpg(process.pid, signal.SIGKILL)  # also when the leader obeyed: a worker may not have


def _how_it_ended(code: int) -> str:
    return f"(killed by {signal.Signals(-code).name})" if code < 0 else f"(exit code {code})"

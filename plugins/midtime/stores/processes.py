"""Client tools: found, probed for their version and run, with nothing secret in their arguments."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from glob import glob
from pathlib import Path
from typing import IO, Any

from midtime.errors import CopyError, MidtimeError, ToolError

CHUNK = 1 << 20
TAIL = 40
"""Lines of a tool's output that an error shows."""
WIDTH = 500
"""Letters of each of them: what a tool repeats of a statement may be somebody's data."""
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
    shown = version_line(tool)
    match = re.search(r"\d+((\.\d+)+|(?=alpha|beta|rc|devel))", shown)
    if match is None:
        raise ToolError(f"{tool} --version printed {shown.strip()!r}, no version", fix="reinstall the database's client package")
    return tuple(int(part) for part in match[0].split("."))


def version_line(tool: Path) -> str:
    """What ``tool --version`` prints.

    :raises ToolError: it does not run
    """
    try:
        return subprocess.run([tool, "--version"], capture_output=True, text=True, errors="replace", timeout=30, check=False).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolError(f"{tool} does not run: {error}", fix="reinstall the database's client package") from error


def run_tool(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    failed: Callable[[str], MidtimeError],
    on_line: Callable[[str], None] | None = None,
    hide: Callable[[str], str] = str,
) -> None:
    """Run a tool to its end. It dies with this process, also when that is killed.

    :param env: added to this process's environment: the place for secrets
    :param failed: makes the error out of the last lines that the tool wrote
    :param on_line: is told every line that the tool writes
    :param hide: takes secrets out of a whole line, before the error has it
    """
    tail: list[str] = []
    with subprocess.Popen(
        _leashed(argv),
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
                tail = [*tail, _cut(hide(line.rstrip()))][-TAIL:]
                if on_line:
                    on_line(line.rstrip())
            code = process.wait()
        except BaseException:
            _end(process)
            raise
    if code:
        raise failed("\n".join([*tail, _how_it_ended(code)]))


@contextmanager
def streaming_tool(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    failed: Callable[[str], MidtimeError],
    stdin: int = subprocess.DEVNULL,
    stdout: int = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a tool whose data pass through our hands: the block reads its output or writes its input, to the end.

    Leaving the block waits for the tool; leaving it with an error ends the tool. Otherwise like :func:`run_tool`.
    """
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            _leashed(argv),
            env={**os.environ, **env, "LC_ALL": "C"},
            stdin=stdin,
            stdout=stdout,
            stderr=said,
            start_new_session=True,
        ) as process,
    ):
        for pipe in (process.stdin, process.stdout):
            _widen(pipe)
        try:
            yield process
            if process.stdout and os.read(process.stdout.fileno(), 1):
                return _end(process)  # nobody wants the rest
            code = _wait(process)
        except (_Ended, BrokenPipeError):  # it went away; its own last words say why
            code = _wait(process) or -signal.SIGPIPE
        except BaseException:
            _end(process)
            raise
        if code:
            raise failed("\n".join([*_tail_of(said), _how_it_ended(code)]))


def read_output(process: subprocess.Popen[bytes], *, silence: float | None = None) -> Iterator[bytes]:
    """What a tool writes, as soon as it comes, to its end; a tool that ended badly is an error here already, of :func:`streaming_tool`.

    :param silence: for how many seconds it may write nothing while we wait for it
    :raises CopyError: it wrote nothing for so long; :func:`streaming_tool` ends it
    """
    if process.stdout is None:
        raise ValueError("the tool was started without a pipe for its output")
    # Unbuffered: a first byte must not wait until a buffer is full.
    while _speaks(process, silence) and (chunk := os.read(process.stdout.fileno(), CHUNK)):
        yield chunk
    if process.wait():
        raise _Ended


def _speaks(process: subprocess.Popen[bytes], silence: float | None) -> bool:
    if silence is not None and process.stdout is not None:
        waiting = select.poll()  # select() knows no file above 1024
        waiting.register(process.stdout, select.POLLIN)
        if not waiting.poll(silence * 1000):
            tool = Path(list(map(str, process.args))[_OWN_ARGUMENTS]).name  # type: ignore[arg-type]
            raise CopyError(
                f"{tool} wrote nothing for {silence:g} seconds, and was ended",
                fix="see what it waited for, a lock for example; then run again",
            )
    return True


class _Ended(Exception):  # noqa: N818 - never leaves this module
    """The tool whose output is being read ended badly: whoever reads must not take what came for all."""


def _widen(pipe: IO[bytes] | None) -> None:
    """Larger pipes save switches between processes; where the kernel grants none, it works as well."""
    if pipe and hasattr(fcntl, "F_SETPIPE_SZ"):
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, CHUNK)


def _leashed(argv: Sequence[str | Path]) -> list[str]:
    # In a session of its own (start_new_session): Ctrl-C and a task's SIGTERM come to us alone, and we end it in order.
    return [sys.executable, "-I", "-S", "-c", _LEASH, str(os.getpid()), *map(str, argv)]


_OWN_ARGUMENTS = 6
"""What stands before the tool in them."""


def _wait(process: subprocess.Popen[bytes]) -> int:
    if process.stdin and not process.stdin.closed:
        with suppress(BrokenPipeError):
            process.stdin.close()
    return process.wait()


def _tail_of(said: IO[bytes]) -> list[str]:
    said.seek(0)
    return [_cut(line) for line in said.read().decode(errors="replace").splitlines()[-TAIL:]]


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"


def _end(process: subprocess.Popen[Any]) -> None:
    # The whole session: parallel tools fork workers.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)
        os.killpg(process.pid, signal.SIGKILL)  # also when the leader obeyed: a worker may not have


def _how_it_ended(code: int) -> str:
    return f"(killed by {signal.Signals(-code).name})" if code < 0 else f"(exit code {code})"

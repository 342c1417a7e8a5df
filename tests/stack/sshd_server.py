"""An SSH server of asyncssh's: ``python -m tests.stack.sshd_server PORT HOST_KEY AUTHORIZED_KEYS``. Commands run as whoever runs it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

import asyncssh

PIECE = 1 << 17
LOST = (OSError, asyncssh.Error)


async def _run(process: asyncssh.SSHServerProcess[bytes]) -> None:
    # A session of its own for each, as sshd gives it; and as with sshd, it runs on when its channel is closed.
    child = await asyncio.create_subprocess_exec("sh", "-c", process.command or "", stdin=-1, stdout=-1, stderr=-1, start_new_session=True)
    feeding = asyncio.create_task(_copy(process.stdin, child.stdin))
    await asyncio.gather(_copy(child.stdout, process.stdout), _copy(child.stderr, process.stderr))
    code = await child.wait()
    feeding.cancel()
    with contextlib.suppress(*LOST):
        process.exit(code) if code >= 0 else process.exit_with_signal("KILL")


async def _copy(source: Any, target: Any) -> None:
    try:
        while chunk := await source.read(PIECE):
            target.write(chunk)
            await target.drain()
    except LOST:
        pass
    if isinstance(target, asyncio.StreamWriter):
        target.close()


async def _serve(port: int, host_key: str, authorized_keys: str) -> None:
    options: dict[str, Any] = {"server_host_keys": [host_key], "authorized_client_keys": authorized_keys, "encoding": None}
    await asyncssh.listen("127.0.0.1", port, process_factory=_run, reuse_port=True, allow_scp=False, **options)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))

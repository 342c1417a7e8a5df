"""Processes for tests about death: forked, so they start in no time and know what the test knows."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
FORK = multiprocessing.get_context("fork")
PATIENCE = 30
"""Seconds until a test gives up waiting for what takes milliseconds."""


def until(look: Callable[[], T], what: str) -> T:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.005)
    return seen


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill_when_it_says_so(work: Callable[[Callable[[], NoReturn]], Any]) -> int:
    """Fork a process that does ``work``, and kill -9 it when it calls what it is given.

    :return: its pid
    """
    reader, writer = FORK.Pipe(duplex=False)

    def here() -> NoReturn:
        writer.send("here")
        while True:
            time.sleep(60)

    process = FORK.Process(target=work, args=(here,), daemon=True)
    process.start()
    assert reader.poll(PATIENCE), "the process never came to the place"
    assert reader.recv() == "here"
    assert process.pid
    os.kill(process.pid, signal.SIGKILL)
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL
    reader.close()
    writer.close()
    return process.pid


def race(contestants: int, work: Callable[[int, Callable[[], object]], T]) -> list[T]:
    """Fork processes that all do ``work`` and meet wherever they call what they are given.

    :param work: gets the contestant's number and the meeting
    :return: what each one returned
    """
    barrier = FORK.Barrier(contestants)
    results = FORK.SimpleQueue()

    def run(number: int) -> None:
        try:
            results.put((number, work(number, lambda: barrier.wait(PATIENCE)), None))
        except BaseException as error:  # noqa: BLE001 - told to the test
            barrier.abort()
            results.put((number, None, repr(error)))

    processes = [FORK.Process(target=run, args=(number,), daemon=True) for number in range(contestants)]
    for process in processes:
        process.start()
    answers = sorted(results.get() for _ in processes)
    for process in processes:
        process.join(PATIENCE)
    results.close()
    failures = [failure for _, _, failure in answers if failure]
    assert not failures, failures
    return [answer for _, answer, _ in answers]

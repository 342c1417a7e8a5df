"""What a person sees of the demo: steps with their times, in a terminal and without one."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.markup import escape
from rich.status import Status


class Screen:
    """Steps with their times: a spinner at a terminal, plain lines everywhere else."""

    def __init__(self) -> None:
        terminal = sys.stdout.isatty()
        self.console = Console(width=None if terminal else 1000, highlight=False)  # a file or a pipe has no width to be cut at
        self.step_name = "Preparation"
        self._status: Status | None = None

    @contextlib.contextmanager
    def step(self, name: str, doing: str) -> Iterator[Callable[[str], None]]:
        """One step; what the body says last is its outcome."""
        self.step_name, started, outcome = name, time.monotonic(), [""]
        if not self.console.is_terminal:
            self.line(f"· {name}: {doing} …")
        with self.console.status(f"[bold]{escape(name)}[/]: {escape(doing)} …") as self._status:
            yield lambda text: outcome.append(text)
        self._status = None
        self.console.print(f"[green]✓[/] [bold]{escape(name)}[/]: {outcome[-1]} [dim]({time.monotonic() - started:.1f} s)[/]")

    def now(self, doing: str) -> None:
        """What the step is at, beside the spinner."""
        if self._status is not None:
            self._status.update(f"[bold]{escape(self.step_name)}[/]: {escape(doing)} …")

    def line(self, text: str, indent: int = 0) -> None:
        self.console.print(" " * indent + escape(text), soft_wrap=True)

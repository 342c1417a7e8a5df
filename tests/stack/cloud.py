"""A double of a cloud service in a process of its own, as tests speak to it: its settings, its faults, its calls, its clock."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Self
from urllib.request import Request, urlopen

from tests.stack.processes import Port, Process, Processes, poll


class CloudDouble:
    """One server, empty at first; what is in it is gone with the server."""

    #: whose ``main`` serves on the port that is its first argument
    MODULE: str

    def __init__(self, processes: Processes, name: str, **settings: Any) -> None:
        self.name, self._processes, self._reserved = name, processes, Port()
        self._settings = settings
        self._process: Process | None = None

    @property
    def port(self) -> int:
        return self._reserved.number

    def arguments(self) -> list[str]:
        """Of the server, after its port."""
        return []

    def start(self) -> Self:
        command = [sys.executable, "-m", self.MODULE, str(self.port), *self.arguments()]
        self._process = self._processes.start(self.name, command, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        self._process.wait_ready(lambda: self.now() > 0, timeout=60)
        self.settings(**self._settings)
        return self

    def reset(self) -> None:
        """As after the start: empty, with the settings of the beginning."""
        self._admin("reset", True)
        self.settings(**self._settings)

    def stop(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process = None

    def close(self) -> None:
        self.stop()
        self._reserved.release()

    # what the server goes by

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Change some of the world's settings, and answer all."""
        return dict(self._admin("settings", changes))

    def faults(self, *faults: Mapping[str, Any]) -> None:
        """From now on these (``cloud_world.Fault``) and no others; none at all without an argument."""
        self._admin("faults", list(faults))

    def hits(self) -> int:
        """How many calls the faults have hit; one that hangs counts as soon as it does."""
        return sum(fault["done"] for fault in self._admin("faults"))

    def wait_hit(self, timeout: float = 60) -> None:
        """Until a client has come to the first fault: with ``hang`` it stays there, and can be killed."""
        poll("a call that a fault hits", lambda: self.hits() or None, timeout, every=0.02)

    def calls(self) -> dict[str, Any]:
        """``counts`` by operation, the ``control`` plane's one by one, and ``most_restoring`` at once."""
        return dict(self._admin("calls"))

    def forget_calls(self) -> None:
        self._admin("calls", True)

    def now(self) -> float:
        """The server's clock."""
        return float(self._admin("time"))

    def wait_restorable(self, second: float, timeout: float = 60) -> None:
        """Until its histories reach beyond it, those that do not stand still."""
        poll("the lag to be over", lambda: self.now() - self.settings()["lag"] > second + 1 or None, timeout)

    def _admin(self, what: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"http://127.0.0.1:{self.port}/midtime/{what}", data), timeout=10) as answer:
            return json.load(answer)

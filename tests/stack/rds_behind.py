"""What is behind the instances and clusters of the tests' RDS, which holds no data: it says which restore is wanted, of what, and of which second.

Here it is made, and the RDS server told where it is reached; a restore is ``creating`` until then.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.stack.rds import RDS

At = tuple[str, int]
"""Address and port."""


class Behind:
    """A live one, and those restored of it.

    :param name: of the instance or the cluster
    """

    def __init__(self, rds: RDS, name: str) -> None:
        self.rds, self.name = rds, name

    def restore(self, name: str, second: float, *, includes_second: bool) -> At:
        """Make one."""
        raise NotImplementedError

    def fulfil(self) -> None:
        """Make what was asked for and is not there yet."""
        said = self.rds.settings()
        for name, (source, second) in said["restores"].items():
            if source == self.name and name not in said["endpoints"]:
                self.tell(name, self.restore(name, second, includes_second=said["includes_second"]))

    def tell(self, name: str, at: At) -> None:
        """Let the RDS server know where something is."""
        self.rds.settings(endpoints={**self.rds.settings()["endpoints"], name: at}, awaited=True)


class Resting(Behind):
    """Something that nobody writes to any more: as it is, so it was at any second, and a restore of it may be the same server.

    :param at: where that is
    """

    def __init__(self, rds: RDS, name: str, at: At) -> None:
        super().__init__(rds, name)
        self.at = at
        self.tell(name, at)

    def restore(self, name: str, second: float, *, includes_second: bool) -> At:
        return self.at


class Fulfilling:
    """A thread that makes whatever restores ask for, as the service would."""

    def __init__(self, *behind: Behind) -> None:
        self._behind, self._over, self._turn = behind, threading.Event(), threading.Lock()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Fulfilling:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._failed:
            raise self._failed

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Inside, nothing is made."""
        with self._turn:
            yield

    def _work(self) -> None:
        try:
            while not self._over.wait(0.3):
                with self._turn:
                    for each in self._behind:
                        each.fulfil()
        except BaseException as error:  # noqa: BLE001 - it is raised at the end
            self._failed = error

"""WAL segments on their way from the archive to a recovering server.

The server runs as another user, perhaps, and knows nothing of Airflow's connections: so the task fetches, and the server's restore command
only waits for a file. They meet in a folder: ``asked.<name>`` is a wish, ``<name>`` what was fetched, ``<name>.none`` means that there is no
such segment, ``failed`` that there will be no more. The command never hangs: it looks whether its server lives.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from midtime.errors import MidtimeError
from midtime.stores.postgresql_pitr.archive import Archive
from midtime.stores.postgresql_pitr.cluster import Owner

AHEAD = 8
"""Segments that are fetched before they are asked for."""
BEHIND = 2
"""Segments that stay when the server is past them."""
_PAUSE = 0.02
# Its working directory is the server's data directory. Above 125 PostgreSQL ends the recovery; 1 is "no such segment".
_COMMAND = """#!/bin/sh
name=$1 target=$2 spool=$3 failures=0
while :; do
    : > "$spool/asked.$name" || exit 255
    if [ -f "$spool/$name" ]; then
        cp "$spool/$name" "$target" && exit 0
        failures=$((failures + 1))  # it may be gone again, which the wish mends; a full disk nothing does
        [ "$failures" -lt 20 ] || exit 255
    fi
    if [ -f "$spool/$name.none" ]; then exit 1; fi
    if [ -f "$spool/failed" ]; then exit 255; fi
    kill -0 "$(head -n 1 postmaster.pid)" 2>/dev/null || exit 255
    sleep 0.05
done
"""


class Spool:
    """Segments between archive and server; :meth:`serve` is a thread's work.

    :param folder: made here, of the server's user
    :param names: all that the recovery needs, in order
    :param size: bytes of each
    """

    def __init__(self, archive: Archive, folder: Path, names: Sequence[str], size: int, owner: Owner) -> None:
        self._archive, self._folder, self._size, self._owner = archive, folder, size, owner
        self._names, self._places = names, {name: place for place, name in enumerate(names)}
        self.error: MidtimeError | None = None
        self.reached = -1
        """The place of the segment that the server asked for last."""

    def prepare(self) -> str:
        """Make the folder; return the server's ``restore_command``."""
        self._folder.mkdir(mode=0o700)
        script = self._folder / "fetch.sh"
        script.write_text(_COMMAND)
        self._owner.give(self._folder)
        return f'/bin/sh "{script}" "%f" "%p" "{self._folder}"'

    def serve(self, stop: threading.Event) -> None:
        """Fetch what is asked for, and what will be; until told to stop, or something cannot be fetched."""
        try:
            while not stop.is_set():
                if not self._answer() and not self._fetch_ahead():
                    stop.wait(_PAUSE)
        except MidtimeError as error:
            self.error = error
        except OSError as error:
            self.error = MidtimeError(f"WAL cannot be put into {self._folder}: {error}", fix="make room there")
        finally:
            with suppress(OSError):  # the folder is removed, and the server with it
                self._put(self._folder / "failed")

    def _answer(self) -> bool:
        """Answer all wishes, whatever is fetched ahead: a recovery reads the last checkpoint first, and goes back then."""
        wishes = {wish.name.removeprefix("asked."): wish.stat().st_mtime_ns for wish in self._folder.glob("asked.*")}
        wanted = [name for name in wishes if name in self._places]
        for name in wishes.keys() - wanted:  # histories of timelines, and what comes behind the point
            self._put(self._folder / f"{name}.none")
        if wanted:
            self.reached = self._places[max(wanted, key=lambda name: (wishes[name], self._places[name]))]
            self._fetch(self._names[self.reached])
            self._forget()
        for name in wishes:
            (self._folder / f"asked.{name}").unlink(missing_ok=True)
        return bool(wishes)

    def _fetch_ahead(self) -> bool:
        for name in self._names[max(self.reached, 0) : max(self.reached, 0) + AHEAD + 1]:
            if not (self._folder / name).exists():
                self._fetch(name)
                return True
        return False

    def _fetch(self, name: str) -> None:
        path = self._folder / name
        if not path.exists():
            self._archive.fetch(name, path, self._size)
            self._owner.give(path)

    def _forget(self) -> None:
        ahead = {*self._names[max(self.reached - BEHIND, 0) : self.reached + AHEAD + 1]}
        for path in self._folder.iterdir():
            if path.name in self._places and path.name not in ahead:
                path.unlink(missing_ok=True)

    def _put(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._owner.give(path)

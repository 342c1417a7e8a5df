"""Work that a service does in its own time: it is looked at again and again, by whoever comes, until it is done or has taken too long."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from midtime.errors import RestoreFailedError
from midtime.model.durations import format_duration
from midtime.model.instants import utc_now
from midtime.stores.base import Waiting

sleep = time.sleep
"""From one look to the next, where the caller does not wait by itself."""
QUICK, SLOW = timedelta(seconds=5), timedelta(seconds=30)
"""From one look to the next: at the beginning, and when it has taken long already."""


def waiting(store: str, detail: str, began: datetime, limit: timedelta) -> Waiting:
    """Look again later.

    :raises RestoreFailedError: it has taken too long
    """
    passed = utc_now() - began
    if passed > limit:
        raise RestoreFailedError(
            f"store {store}: {detail}, after {format_duration(timedelta(seconds=int(passed.total_seconds())))}",
            fix="see the service's status; raise the store's `restore_timeout` if it holds that much",
        )
    return Waiting(detail, min(SLOW, max(QUICK, passed / 20)))


def to_the_end(look: Callable[[], Waiting | None], say: Callable[[str], object]) -> None:
    """Look until nothing is waited for any more."""
    while (found := look()) is not None:
        say(found.detail)
        sleep(found.look_again.total_seconds())

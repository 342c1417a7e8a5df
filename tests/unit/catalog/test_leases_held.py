"""A lease held by a working task: renewed all the while, and its loss is noticed."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NoReturn

import pytest

from midtime.catalog import Lease, Leases, leases, objects
from midtime.catalog.leases import BETWEEN_TASKS
from midtime.errors import DestinationError, LeaseHeldError
from tests.unit.catalog.lease_examples import NAME, PAST
from tests.unit.processes import kill_when_it_says_so, until


class TestHeld:
    @pytest.fixture(autouse=True)
    def short(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(leases, "WORKING", timedelta(seconds=0.2))
        running = threading.active_count()
        yield
        assert threading.active_count() == running, "no renewer is left"

    def expiry(self, folder: Leases) -> datetime:
        current = folder.current(NAME)
        assert current
        return current.expires_at

    def test_renews_all_the_while(self, folder: Leases) -> None:
        folder.acquire(NAME, "a", details={"x": 1})
        with folder.held(NAME, "a") as lease:
            seen = {lease.expires_at}
            until(lambda: seen.add(self.expiry(folder)) or len(seen) > 4, "renewed four times")
            assert min(seen) + timedelta(seconds=0.1) < max(seen)
        left = self.expiry(folder) - leases.utc_now()
        assert BETWEEN_TASKS - timedelta(minutes=1) < left <= BETWEEN_TASKS, "the next task has its time to start"
        assert (current := folder.current(NAME))
        assert (current.holder, current.generation, current.details) == ("a", 1, {"x": 1})

    @pytest.mark.parametrize("there", ["nothing", "another's", "released", "taken over"])
    def test_needs_the_lease(self, folder: Leases, there: str) -> None:
        if there == "another's":
            folder.acquire(NAME, "b")
        if there in ("released", "taken over"):
            folder.acquire(NAME, "a", ttl=PAST)
        if there == "released":
            folder.release(NAME, "a")
        if there == "taken over":
            folder.acquire(NAME, "b")
        with pytest.raises(LeaseHeldError), folder.held(NAME, "a"):
            pytest.fail("may not get in here")

    @pytest.mark.parametrize("rival", ["b", "a"])
    def test_notices_at_its_end_that_it_was_lost(self, folder: Leases, rival: str) -> None:
        folder.acquire(NAME, "a")
        with pytest.raises(LeaseHeldError, match=f"of a was lost to {rival}"), folder.held(NAME, "a") as lease:
            objects.create(folder._path(NAME, 2), Lease(NAME, 2, rival, lease.expires_at + BETWEEN_TASKS).encode())
        assert (current := folder.current(NAME))
        assert (current.generation, current.holder) == (2, rival)

    def test_stops_renewing_what_is_lost(self, folder: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        logged: list[str] = []
        monkeypatch.setattr(leases.log, "error", lambda *args: logged.append(args[0] % args[1:]))
        folder.acquire(NAME, "a")
        with pytest.raises(LeaseHeldError), folder.held(NAME, "a") as lease:
            taken = Lease(NAME, 2, "b", lease.expires_at)
            objects.create(folder._path(NAME, 2), taken.encode())
            until(lambda: logged, "the renewer says that it is lost")
        assert len(logged) == 1
        assert "lost to b" in logged[0]
        assert folder.current(NAME) == taken

    def test_goes_on_when_the_destination_hiccups(self, folder: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.acquire(NAME, "a")
        failures: list[str] = []
        real = objects.replace

        def hiccup(path: Any, content: bytes) -> None:
            if len(failures) < 2:
                failures.append("x")
                raise DestinationError("does not answer")
            real(path, content)

        with folder.held(NAME, "a") as lease:
            monkeypatch.setattr(objects, "replace", hiccup)
            until(lambda: len(failures) == 2 and self.expiry(folder) > lease.expires_at, "renewed after two failures")

    def test_an_error_inside_is_not_covered_by_the_loss(self, folder: Leases) -> None:
        folder.acquire(NAME, "a")
        with pytest.raises(OSError, match="the cause") as caught, folder.held(NAME, "a") as lease:
            objects.create(folder._path(NAME, 2), Lease(NAME, 2, "b", lease.expires_at).encode())
            raise OSError(errno.EIO, "the cause")
        assert caught.value.errno == errno.EIO

    def test_renewing_keeps_what_was_written_into_it_meanwhile(self, folder: Leases) -> None:
        """The background renewal began with older details: it must not put them back."""
        folder.acquire(NAME, "a", details={"targets": []})
        with folder.held(NAME, "a") as lease:
            folder.acquire(NAME, "a", details={"targets": [], "products_stopped": True})
            folder.renew(lease)
        current = folder.current(NAME)
        assert current
        assert current.details == {"targets": [], "products_stopped": True}

    def test_after_an_error_it_expires_soon(self, folder: Leases) -> None:
        folder.acquire(NAME, "a")
        with pytest.raises(ZeroDivisionError), folder.held(NAME, "a"):
            raise ZeroDivisionError
        assert self.expiry(folder) < leases.utc_now() + timedelta(seconds=1)

    def test_a_process_that_dies_keeps_nobody_out_for_long(self, on_disk: Leases) -> None:
        on_disk.acquire(NAME, "dead")

        def work(here: Callable[[], NoReturn]) -> None:
            with on_disk.held(NAME, "dead"):
                here()

        kill_when_it_says_so(work)

        def taken() -> bool:
            try:
                return on_disk.acquire(NAME, "b").holder == "b"
            except LeaseHeldError:
                return False

        until(taken, "taken over")
        assert (current := on_disk.current(NAME))
        assert current.generation == 2

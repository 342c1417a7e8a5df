"""Leases: one holder at a time, whatever clocks do, and a holder that lost it finds out; what is no lease is none."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from midtime.catalog import Lease, Leases, leases, objects
from midtime.catalog.leases import BETWEEN_TASKS
from midtime.errors import CatalogError, DestinationError, LeaseHeldError
from tests.unit.catalog.lease_examples import NAME, NOW, PAST, Clock


class TestAcquire:
    def test_a_free_one(self, folder: Leases, clock: Clock) -> None:
        lease = folder.acquire(NAME, "a", details={"targets": [1]})
        assert lease == Lease(NAME, 1, "a", NOW + BETWEEN_TASKS, {"targets": [1]})
        assert folder.current(NAME) == lease
        assert lease.live(NOW)

    def test_a_held_one(self, folder: Leases, clock: Clock) -> None:
        lease = folder.acquire(NAME, "a")
        clock.pass_by(BETWEEN_TASKS - timedelta(microseconds=1))
        with pytest.raises(LeaseHeldError, match="a works on 'backup' until 2026-11-21T02:15:00Z") as caught:
            folder.acquire(NAME, "b")
        assert caught.value.retryable
        assert folder.current(NAME) == lease

    def test_an_expired_one(self, folder: Leases, clock: Clock) -> None:
        folder.acquire(NAME, "a")
        clock.pass_by(BETWEEN_TASKS)
        assert folder.acquire(NAME, "b").generation == 2
        assert folder.current(NAME) == Lease(NAME, 2, "b", clock.now + BETWEEN_TASKS)

    def test_a_released_one(self, folder: Leases) -> None:
        folder.acquire(NAME, "a")
        folder.release(NAME, "a")
        assert folder.acquire(NAME, "b").generation == 2

    def test_again_by_its_holder(self, folder: Leases, clock: Clock) -> None:
        folder.acquire(NAME, "a", details={"x": 1})
        clock.pass_by(timedelta(minutes=5))
        assert folder.acquire(NAME, "a") == Lease(NAME, 1, "a", clock.now + BETWEEN_TASKS, {"x": 1})
        assert folder.acquire(NAME, "a", details={"x": 2}).details == {"x": 2}

    def test_again_by_its_holder_after_it_expired(self, folder: Leases) -> None:
        folder.acquire(NAME, "a", ttl=PAST)
        assert folder.acquire(NAME, "a").generation == 2

    def test_names_do_not_mix(self, folder: Leases) -> None:
        for name in ("backup", "backup.1", "drill-abcdef", "backup.x"):
            folder.acquire(name, name)
        assert folder.names() == ["backup", "backup.1", "backup.x", "drill-abcdef"]
        assert {name: lease.holder for name in folder.names() if (lease := folder.current(name))} == {name: name for name in folder.names()}

    def test_old_generations_are_forgotten(self, folder: Leases) -> None:
        for turn in range(12):
            folder.acquire(NAME, f"{turn}", ttl=PAST)
        assert objects.names(folder.folder) == ["backup.12.json"]


class TestRenewAndRelease:
    def test_renew(self, folder: Leases, clock: Clock) -> None:
        lease = folder.acquire(NAME, "a")
        clock.pass_by(timedelta(minutes=10))
        renewed = folder.renew(lease)
        assert renewed.expires_at == clock.now + BETWEEN_TASKS
        assert folder.current(NAME) == renewed

    def test_renew_late_but_still_ours(self, folder: Leases) -> None:
        lease = folder.acquire(NAME, "a", ttl=PAST)
        assert folder.renew(lease).live(leases.utc_now())
        with pytest.raises(LeaseHeldError):
            folder.acquire(NAME, "b")

    @pytest.mark.parametrize("rival", ["b", "a"])
    def test_renew_after_a_takeover(self, folder: Leases, rival: str) -> None:
        lease = folder.acquire(NAME, "a", ttl=PAST)
        theirs = folder.acquire(NAME, rival)
        with pytest.raises(LeaseHeldError, match="was lost"):
            folder.renew(lease)
        assert folder.current(NAME) == theirs

    def test_renew_after_release(self, folder: Leases) -> None:
        lease = folder.acquire(NAME, "a")
        folder.release(NAME, "a")
        with pytest.raises(LeaseHeldError):
            folder.renew(lease)
        assert folder.acquire(NAME, "b")

    def test_renew_what_was_never_there(self, folder: Leases) -> None:
        with pytest.raises(LeaseHeldError):
            folder.renew(Lease(NAME, 1, "a", NOW))
        assert folder.names() == []

    def test_release_by_somebody_else(self, folder: Leases) -> None:
        lease = folder.acquire(NAME, "a")
        folder.release(NAME, "b")
        folder.release("nothing", "b")
        assert folder.current(NAME) == lease

    def test_release_twice(self, folder: Leases) -> None:
        folder.acquire(NAME, "a")
        folder.release(NAME, "a")
        folder.release(NAME, "a")
        mine = folder.acquire(NAME, "b")
        folder.release(NAME, "a")
        assert folder.current(NAME) == mine


class TestFiles:
    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"{",
            b"{}",
            b"[]",
            b"null",
            b"3",
            b'"x"',
            b"\xff",
            b'{"holder": "a", "expires_at": "soon", "details": {}, "released": false}',
        ],
    )
    def test_unreadable(self, folder: Leases, raw: bytes) -> None:
        objects.create(folder.folder / f"{NAME}.1.json", raw)
        for ask in (
            lambda: folder.current(NAME),
            lambda: folder.acquire(NAME, "a"),
            lambda: folder.release(NAME, "a"),
            lambda: folder.renew(Lease(NAME, 1, "a", NOW)),
        ):
            with pytest.raises(CatalogError, match=r"backup\.1\.json is unreadable") as caught:
                ask()
            assert not isinstance(caught.value, LeaseHeldError)
            assert "remove that file when nothing runs" in caught.value.fix
        assert objects.read(folder.folder / f"{NAME}.1.json") == raw, "and nobody is let in over it"

    @pytest.mark.parametrize("clockless", ["2026-11-21T02:00:00", "2026-11-21", 5, None])
    def test_an_expiry_without_offset_is_unreadable(self, folder: Leases, clockless: object) -> None:
        body = {"holder": "a", "expires_at": clockless, "details": {}, "released": False}
        objects.create(folder.folder / f"{NAME}.1.json", json.dumps(body).encode())
        with pytest.raises(CatalogError, match="unreadable"):
            folder.current(NAME)

    @pytest.mark.parametrize(
        "stray",
        [
            "notes.txt",
            ".probe",
            "backup.json",
            "backup.x.json",
            "backup.².json",
            "backup.٣.json",
            "backup.-1.json",
            "backup.9.json.bak",
            "backup.09.json",
            ".backup.9.json",
            f".backup.9.json.{'0' * 32}",
            ".9.json",
            "backup.99999999999999999999999.json",
        ],
    )
    def test_strays_are_ignored(self, folder: Leases, stray: str) -> None:
        folder.acquire(NAME, "a")
        objects.create(folder.folder / stray, b"?")
        assert folder.names() == [NAME]
        assert (current := folder.current(NAME))
        assert current.generation == 1
        folder.release(NAME, "a")
        assert folder.acquire(NAME, "b").generation == 2

    def test_a_lease_there_and_back(self) -> None:
        lease = Lease("n", 7, "holder / ü", NOW, {"targets": [{"store": "a"}]}, True)
        assert Lease.decode("n", 7, lease.encode()) == lease
        assert not lease.live(NOW - timedelta(days=1)), "released"

    def test_the_destination_s_trouble_is_not_a_free_lease(self, folder: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.acquire(NAME, "a")

        def fails(_: object) -> None:
            raise DestinationError("does not answer")

        for function in ("names", "read"):
            with monkeypatch.context() as patch:
                patch.setattr(objects, function, fails)
                with pytest.raises(DestinationError):
                    folder.acquire(NAME, "b")

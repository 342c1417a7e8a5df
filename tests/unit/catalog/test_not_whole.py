"""Restore points of snapshots without a pause: there, listed as what they are, and never taken for a set that could be restored."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from midtime.catalog import Catalog
from midtime.catalog.history import newest_at
from midtime.cli import screen
from midtime.errors import ManifestError, RestorePointNotFoundError
from midtime.model.restore_point import RestorePoint, State, digest_of
from midtime.retention import Retention
from tests.unit.builders import MIDTIME, days_later, point, topology
from tests.unit.retention_examples import planned

WHOLE = days_later(0)
TORN = days_later(1, whole=False)


@pytest.fixture
def two(any_catalog: Catalog) -> Catalog:
    """A whole one, and after it one that is not."""
    any_catalog.publish(WHOLE)
    any_catalog.publish(TORN)
    return any_catalog


def test_the_newest_is_the_newest_whole_one(two: Catalog) -> None:
    assert two.resolve("latest") == WHOLE
    assert newest_at(two, MIDTIME + timedelta(days=3)) == WHOLE
    assert two.resolve("latest", whole=False) == TORN


def test_by_its_id_it_is_refused_with_what_it_is_for(two: Catalog) -> None:
    with pytest.raises(ManifestError, match="only good to bring back one lost node") as caught:
        two.resolve(TORN.id)
    assert "bank__restore_node" in caught.value.fix
    assert two.resolve(TORN.id, whole=False) == TORN


def test_no_restore_gets_a_lease_on_it(catalog: Catalog) -> None:
    """Whoever comes past the plan."""
    from midtime.restoring import reserve

    catalog.publish(TORN)
    with pytest.raises(ManifestError, match="not whole"):
        reserve(catalog, planned(catalog, TORN.id), "restore/1")
    assert not [name for name in catalog.leases.names() if (lease := catalog.leases.current(name)) and not lease.released]


def test_alone_it_is_nothing_to_restore(any_catalog: Catalog) -> None:
    any_catalog.publish(TORN)
    with pytest.raises(RestorePointNotFoundError):
        any_catalog.resolve("latest")
    with pytest.raises(RestorePointNotFoundError):
        newest_at(any_catalog, MIDTIME + timedelta(days=3))


def test_people_see_what_it_is(two: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    torn, whole = two.newest(2)
    assert [entry.to_dict()["whole"] for entry in (torn, whole)] == [False, True]
    assert (torn.state, torn.reason) == (State.RESTORABLE, "not whole: snapshots without a pause, only good to bring back one lost node")
    screen.restore_point(torn, [])
    assert capsys.readouterr().out.count("not whole") == 2


def test_retention_removes_no_whole_one_because_of_it(two: Catalog) -> None:
    two.publish(days_later(2, whole=False))
    rules = topology(destination=two.destination, retention={"keep_last": 1, "keep_days": 0})
    assert list(Retention(rules, "retention/1").run().removed) == [TORN.id]
    assert two.resolve("latest") == WHOLE


def test_a_removed_one_is_no_loss_of_a_backfilled_drill(any_catalog: Catalog) -> None:
    any_catalog.publish(WHOLE)
    any_catalog.publish(TORN)
    any_catalog.publish(days_later(2))
    rules = topology(destination=any_catalog.destination, retention={"keep_last": 1, "keep_days": 0})
    any_catalog.mark(TORN.id, "expired.json", "test")
    assert newest_at(any_catalog, TORN.finished_at) == WHOLE
    Retention(rules, "retention/1").run()
    assert any_catalog.folders() == [days_later(2).id]
    with pytest.raises(RestorePointNotFoundError, match=f"{WHOLE.id}, the newest restore point"):
        newest_at(any_catalog, TORN.finished_at)


def test_a_manifest_of_an_older_midtime_is_whole() -> None:
    body = json.loads(point().seal())
    del body["whole"], body["digest"]
    assert RestorePoint.unseal(json.dumps({**body, "digest": digest_of(body)}).encode(), where="here").whole

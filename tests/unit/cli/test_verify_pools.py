"""``midtime verify`` of a restore point whose content lies in a pool: every object is read again, and what is wrong is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midtime.catalog import Catalog, objects
from midtime.catalog.pool import Pool, leaf
from tests.unit.builders import sha256
from tests.unit.cli.conftest import Files, Midtime
from tests.unit.pool_examples import LISTING, STORE, add, names

CONTENT = b"an SSTable"


def test_whole(midtime: Midtime, files: Files) -> None:
    _, catalog = files.add("bank")
    point = add(catalog, 1, CONTENT, b"other")
    answer = midtime("verify", point.id, "--json")
    assert answer.good
    assert (answer.json["artifacts"], answer.json["bytes"]) == (3, point.size)


def flip(catalog: Catalog, name: str) -> None:
    objects.replace(Pool(catalog, STORE).root / name, b"an SSTablE")


def truncate(catalog: Catalog, name: str) -> None:
    objects.replace(Pool(catalog, STORE).root / name, b"an")


def remove(catalog: Catalog, name: str) -> None:
    objects.remove_tree(Pool(catalog, STORE).root / name)


@pytest.mark.parametrize(("damage", "said"), [(flip, "was altered"), (truncate, "has 2 bytes"), (remove, "is missing")])
def test_damaged_content(midtime: Midtime, files: Files, damage: Callable[[Catalog, str], None], said: str) -> None:
    _, catalog = files.add("bank")
    point = add(catalog, 1, CONTENT)
    (name,) = names(catalog)
    damage(catalog, name)
    answer = midtime("verify", point.id, "--json")
    assert not answer.good
    (error,) = answer.json["errors"]
    assert said in error
    assert name in error
    assert "(file bank/t-1/0-Data.db of node n1)" in error


@pytest.mark.parametrize("damage", [flip, truncate])
def test_damaged_content_is_used_by_no_new_backup(midtime: Midtime, files: Files, damage: Callable[[Catalog, str], None]) -> None:
    _, catalog = files.add("bank")
    point = add(catalog, 1, CONTENT, b"other")
    pool = Pool(catalog, STORE)
    name = pool.known()[sha256(CONTENT), len(CONTENT)]
    damage(catalog, name)
    assert not midtime("verify", point.id).good
    assert pool.condemned() == {leaf(name)}
    assert list(pool.known()) == [(sha256(b"other"), 5)]
    assert not midtime("verify", point.id).good
    assert len(list(pool.batches())) == 1, "once is enough"


def test_a_listing_that_is_gone_or_edited(midtime: Midtime, files: Files) -> None:
    _, catalog = files.add("bank")
    point = add(catalog, 1, CONTENT)
    path = catalog.folder(point.id) / LISTING
    text = objects.read(path)
    objects.replace(path, text.replace(b"0-Data", b"1-Data"))
    assert "was altered" in midtime("verify", point.id, "--json").json["errors"][0]
    objects.remove_tree(path)
    assert f"{LISTING} is missing" in midtime("verify", point.id, "--json").json["errors"][0]


def test_shown_with_what_it_shares(midtime: Midtime, files: Files) -> None:
    _, catalog = files.add("bank")
    point = add(catalog, 1, CONTENT)
    assert midtime("show", point.id, "--json").json["bytes"] == point.size > len(CONTENT)

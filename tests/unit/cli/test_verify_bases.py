"""``midtime verify`` of a restore point that needs a base: its artifacts are read again as well."""

from __future__ import annotations

from midtime.catalog import objects
from midtime.catalog.bases import Bases
from tests.unit.base_examples import add, point_on
from tests.unit.cli.conftest import Files, Midtime, publish


def test_whole(midtime: Midtime, files: Files) -> None:
    _, catalog = files.add("bank")
    point = point_on(add(catalog))
    publish(catalog, point)
    answer = midtime("verify", point.id, "--json")
    assert answer.good
    assert (answer.json["artifacts"], answer.json["bytes"]) == (1, 4)


def test_altered(midtime: Midtime, files: Files) -> None:
    _, catalog = files.add("bank")
    made = add(catalog)
    publish(catalog, point_on(made))
    objects.replace(Bases(catalog, "accounts").folder(made.id) / "base.tar.gz", b"dats")
    answer = midtime("verify", point_on(made).id, "--json")
    assert not answer.good
    assert "was altered" in answer.json["errors"][0]


def test_gone(midtime: Midtime, files: Files) -> None:
    _, catalog = files.add("bank")
    made = add(catalog)
    publish(catalog, point_on(made))
    objects.remove_tree(Bases(catalog, "accounts").folder(made.id))
    answer = midtime("verify", point_on(made).id, "--json")
    assert not answer.good
    assert "is missing" in answer.json["errors"][0]

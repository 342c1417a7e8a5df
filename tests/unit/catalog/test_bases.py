"""Bases: written last to be seen, invisible to everybody who looks for restore points, and never believed when they were changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from midtime.catalog import Catalog, objects
from midtime.catalog.bases import BESIDE, REFERENCE, Base, Bases, artifacts_of, bases_of, look_at_artifacts
from midtime.catalog.folders import EXPIRED, INVALID
from midtime.catalog.recovery import catalogs_at, published
from midtime.errors import ArtifactError, CatalogError, ForeignManifestError, ManifestError
from midtime.model.restore_point import Artifact
from tests.unit import base_examples as examples
from tests.unit.base_examples import add, base, begin, point_on
from tests.unit.builders import MIDTIME, part, point, resealed, sha256


@pytest.fixture
def bases(any_catalog: Catalog) -> Bases:
    return Bases(any_catalog, "accounts")


class TestTheNewest:
    def test_of_none(self, bases: Bases) -> None:
        assert bases.newest() is None

    def test_of_several(self, any_catalog: Catalog, bases: Bases) -> None:
        made = [add(any_catalog, days=day) for day in (3, 1, 2)]
        assert bases.newest() == made[0]
        assert [each.id for each in bases.usable()] == sorted((each.id for each in made), reverse=True)

    def test_of_another_store_is_another(self, any_catalog: Catalog) -> None:
        add(any_catalog, store="points", days=9)
        made = add(any_catalog)
        assert Bases(any_catalog, "accounts").newest() == made

    def test_passes_over_what_is_half_written(self, any_catalog: Catalog, bases: Bases) -> None:
        whole = add(any_catalog)
        begin(any_catalog, base(days=1))
        assert bases.newest() == whole

    @pytest.mark.parametrize("mark", [EXPIRED, INVALID])
    def test_passes_over_what_is_marked(self, any_catalog: Catalog, bases: Bases, mark: str) -> None:
        whole, gone = add(any_catalog), add(any_catalog, days=1)
        bases.mark(gone.id, mark, "why")
        assert bases.newest() == whole
        assert bases.load(gone.id) == gone, "a restore point that names it may go on to do so"

    def test_passes_over_what_was_edited(self, any_catalog: Catalog, bases: Bases) -> None:
        whole, edited = add(any_catalog), add(any_catalog, days=1)
        objects.replace(bases.folder(edited.id) / "base.json", edited.seal().replace(b'"18.6"', b'"18.7"'))
        assert bases.newest() == whole


class TestBelieved:
    def test_what_was_written(self, any_catalog: Catalog, bases: Bases) -> None:
        made = add(any_catalog)
        assert bases.load(made.id) == made
        assert bases.of(point_on(made).stores[0]) == made

    @pytest.mark.parametrize("wanted", ["../../x", "", "20261121T020007Z-ffffff"])
    def test_not_one_that_is_not_there(self, bases: Bases, wanted: str) -> None:
        with pytest.raises(ManifestError):
            bases.load(wanted)

    def test_not_one_of_another_name(self, any_catalog: Catalog, bases: Bases) -> None:
        made = add(any_catalog)
        for changes in ({"store": "points"}, {"topology": "shop"}):
            objects.replace(bases.folder(made.id) / "base.json", base(**changes).seal())  # type: ignore[arg-type]
            with pytest.raises(ManifestError, match="belongs to"):
                bases.load(made.id)

    def test_not_one_that_was_replaced_by_a_good_looking_one(self, any_catalog: Catalog, bases: Bases) -> None:
        named = point_on(add(any_catalog)).stores[0]
        objects.replace(bases.folder(named.details["base"]["id"]) / "base.json", base(seconds=2.0).seal())
        with pytest.raises(ManifestError, match="not what its restore point was made with"):
            bases.of(named)

    @pytest.mark.parametrize("said", [None, {}, {"id": 1, "digest": "x"}, "20261121T020007Z-ffffff"])
    def test_not_a_part_that_names_none(self, bases: Bases, said: object) -> None:
        with pytest.raises(ManifestError, match="names no base"):
            bases.of(part(details={"base": said}))

    def test_of_a_newer_midtime_it_says_so(self, any_catalog: Catalog, bases: Bases) -> None:
        made = add(any_catalog)
        objects.replace(bases.folder(made.id) / "base.json", resealed(made, new_key=1))  # type: ignore[arg-type]
        with pytest.raises(ForeignManifestError):
            bases.load(made.id)


class TestWritten:
    def test_begun_it_is_announced_and_nobody_elses(self, bases: Bases) -> None:
        ids = {bases.begin("run")[0] for _ in range(5)}
        assert len(ids) == 5
        assert bases.folders() == sorted(ids, reverse=True)
        assert bases.newest() is None

    def test_when_it_fails_nothing_is_left(self, bases: Bases) -> None:
        with pytest.raises(KeyboardInterrupt), bases.taking("run") as (_, folder):
            objects.create(folder / "base.tar.gz", b"data")
            raise KeyboardInterrupt
        assert bases.folders() == []

    def test_twice_is_refused(self, any_catalog: Catalog, bases: Bases) -> None:
        made = add(any_catalog)
        with pytest.raises(CatalogError, match="published already"):
            bases.publish(base(seconds=2.0))
        assert bases.newest() == made

    def test_with_an_artifact_missing_or_short_it_is_never_used(self, any_catalog: Catalog, bases: Bases) -> None:
        made = base()
        begin(any_catalog, made)
        objects.replace(bases.folder(made.id) / "base.tar.gz", b"dat")
        with pytest.raises(ArtifactError, match="3 bytes"):
            bases.publish(made)
        assert bases.newest() is None

    def test_swept_meanwhile_it_is_never_used(self, any_catalog: Catalog, bases: Bases) -> None:
        made = base()
        begin(any_catalog, made)
        bases.discard(made.id)
        objects.create(bases.folder(made.id) / "base.tar.gz", b"data")  # its writer goes on
        with pytest.raises(CatalogError, match="swept"):
            bases.publish(made)
        assert bases.newest() is None

    def test_published_it_is_not_discarded(self, any_catalog: Catalog, bases: Bases) -> None:
        made = add(any_catalog)
        with pytest.raises(CatalogError, match="is published"):
            bases.discard(made.id)
        assert bases.newest() == made

    def test_discarding_what_is_not_there(self, bases: Bases) -> None:
        bases.discard(base().id)
        with pytest.raises(CatalogError, match="no base's id"):
            bases.discard("..")


class TestInvisible:
    def test_to_all_who_look_for_restore_points(self, any_catalog: Catalog) -> None:
        made = add(any_catalog)
        begin(any_catalog, base(days=1))
        assert any_catalog.folders() == []
        assert list(any_catalog.entries()) == []
        assert any_catalog.half_written(thorough=True) == []
        assert any_catalog.left_behind() == []
        assert any_catalog.sweep_half_written() == []
        assert any_catalog.remove_litter() == []
        assert any_catalog.half_removed() == []
        any_catalog.publish(point())
        assert published(any_catalog) == 1
        assert Bases(any_catalog, "accounts").newest() == made

    def test_to_whoever_lost_airflow(self, catalog: Catalog, destination: str) -> None:
        add(catalog)
        with pytest.raises(CatalogError, match="no restore points"):
            catalogs_at(destination)
        with pytest.raises(CatalogError, match="no restore points"):
            catalogs_at(f"{destination}/bank")


class TestNeededByARestorePoint:
    def test_its_artifacts_are_looked_at(self, any_catalog: Catalog) -> None:
        made = add(any_catalog)
        wanted = point_on(made)
        assert [each for each, _ in bases_of(any_catalog, wanted)] == [made]
        look_at_artifacts(any_catalog, wanted)
        objects.remove_tree(Bases(any_catalog, "accounts").folder(made.id) / "base.tar.gz")
        with pytest.raises(ArtifactError, match="missing"):
            look_at_artifacts(any_catalog, wanted)

    def test_so_is_what_lies_beside_it(self, any_catalog: Catalog) -> None:
        made = add(any_catalog)
        folder = Bases(any_catalog, "accounts").folder(made.id)
        objects.create(folder / "binlog" / "one", b"events")
        beside = Artifact(path="binlog/one", size=6, sha256=sha256(b"events"))
        backup = part(details={REFERENCE: made.reference, BESIDE: [beside.model_dump(mode="json")]})
        wanted = point(stores=(backup,))
        look_at_artifacts(any_catalog, wanted)
        assert [(files, str(where)) for files, where in artifacts_of(any_catalog, wanted)][1] == ((*made.artifacts, beside), str(folder))
        objects.replace(folder / "binlog" / "one", b"event")
        with pytest.raises(ArtifactError):
            look_at_artifacts(any_catalog, wanted)

    def test_a_base_that_is_gone(self, any_catalog: Catalog) -> None:
        with pytest.raises(ManifestError, match="missing"):
            look_at_artifacts(any_catalog, point_on(base()))

    def test_one_without_a_base_needs_none(self, any_catalog: Catalog) -> None:
        assert bases_of(any_catalog, point()) == []

    def test_every_file_lies_below_the_room(self, catalog: Catalog) -> None:
        add(catalog)
        root = Path(catalog.root.path)
        assert {path.relative_to(root).parts[:2] for path in root.rglob("*") if path.is_file()} == {("bases", "accounts")}


def test_a_base_is_a_record(any_catalog: Catalog) -> None:
    made = examples.base()
    assert Base.unseal(made.seal(), where="x") == made
    assert made.reference == {"id": made.id, "digest": made.digest}
    assert made.size == 4


def test_of_two_that_were_begun_in_one_second_the_later_one_is_the_newest(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midtime.catalog.bases.utc_now", lambda: MIDTIME)
    begun = [Bases(catalog, "accounts").begin("run")[0] for _ in range(8)]
    assert begun == sorted(begun)

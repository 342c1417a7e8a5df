"""Shared content: whole or not there, found again by its hash, and looked at by whoever asks whether a restore point is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog, backends, objects
from midtime.catalog.bases import artifacts_of, look_at_artifacts
from midtime.catalog.pool import Pool, named_in, users_of
from midtime.errors import ArtifactError, CopyError, ManifestError
from tests.unit.builders import days_later, part, sha256
from tests.unit.pool_examples import LISTING, STORE, add, backup_of, listing, names, put, write

CONTENT = b"an SSTable"


def known(catalog: Catalog) -> dict[tuple[str, int], str]:
    return Pool(catalog, STORE).known()


class TestPut:
    def test_and_found_again(self, any_catalog: Catalog) -> None:
        (name,) = put(any_catalog, CONTENT)
        assert name.startswith(f"{sha256(CONTENT)[:2]}/{sha256(CONTENT)}-")
        assert known(any_catalog) == {(sha256(CONTENT), len(CONTENT)): name}
        assert objects.read(Pool(any_catalog, STORE).root / name) == CONTENT

    def test_nothing_at_all(self, any_catalog: Catalog) -> None:
        assert known(any_catalog) == {}
        put(any_catalog, b"")
        assert list(known(any_catalog)) == [(sha256(b""), 0)]

    def test_by_two_at_once(self, any_catalog: Catalog) -> None:
        both = put(any_catalog, CONTENT, CONTENT)
        assert len(set(both)) == 2
        assert names(any_catalog) == set(both)
        assert list(known(any_catalog)) == [(sha256(CONTENT), len(CONTENT))]

    @pytest.mark.parametrize("came", [CONTENT[:-1], CONTENT + b"x", b"an SSTablf", b""])
    def test_what_is_not_what_was_announced(self, any_catalog: Catalog, came: bytes) -> None:
        with pytest.raises(CopyError, match="not what was hashed"):
            Pool(any_catalog, STORE).put(sha256(CONTENT), len(CONTENT), [came])
        assert names(any_catalog) == set()

    def test_a_source_that_fails_half_way(self, any_catalog: Catalog) -> None:
        def breaks() -> Iterator[bytes]:
            yield CONTENT[:4]
            raise CopyError("gone")

        with pytest.raises(CopyError, match="gone"):
            Pool(any_catalog, STORE).put(sha256(CONTENT), len(CONTENT), breaks())
        assert names(any_catalog) == set()

    def test_killed_half_way(self, catalog: Catalog) -> None:
        """On a disk there is a file while it is written; it has not the content's name."""
        seen = []

        def looks() -> Iterator[bytes]:
            yield CONTENT[:4]
            seen.append((known(catalog), names(catalog), [path for path, _ in objects.tree(Pool(catalog, STORE).root)]))
            yield CONTENT[4:]

        Pool(catalog, STORE).put(sha256(CONTENT), len(CONTENT), looks())
        ((usable, whole, there),) = seen
        assert not usable
        assert not whole
        assert [name.split("/")[1].startswith(".upload.") for name in there] == [True]


class TestKnown:
    def test_not_what_is_condemned(self, any_catalog: Catalog) -> None:
        bad, good = put(any_catalog, CONTENT, CONTENT)
        batch = Pool(any_catalog, STORE).condemn([bad])
        assert known(any_catalog) == {(sha256(CONTENT), len(CONTENT)): good}
        Pool(any_catalog, STORE).condemn([good])
        assert known(any_catalog) == {}
        Pool(any_catalog, STORE).pardon(batch)
        assert set(known(any_catalog).values()) == {bad}

    def test_truncated_content_does_not_hide_a_whole_one(self, any_catalog: Catalog) -> None:
        names = put(any_catalog, CONTENT, CONTENT, CONTENT)
        for each in (names[0], names[2]):
            objects.replace(Pool(any_catalog, STORE).root / each, CONTENT[:3])
        assert known(any_catalog)[sha256(CONTENT), len(CONTENT)] == names[1]

    def test_not_what_lies_there_by_accident(self, any_catalog: Catalog) -> None:
        root = Pool(any_catalog, STORE).root
        for stray in ("notes.txt", "ab/notes", f"00/{'a' * 64}-abcdef", f"{'a' * 64}-abcdef", f"aa/x/{'a' * 64}-abcdef", f"aa/{'a' * 64}"):
            objects.create(root / stray, b"x")
        assert known(any_catalog) == {}

    def test_what_is_removed_between_its_two_looks(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        """Content that is condemned goes, and its list after it."""
        (name,) = put(any_catalog, CONTENT)
        pool = Pool(any_catalog, STORE)
        batch = pool.condemn([name])
        real = objects.tree

        def meanwhile(folder: object) -> Iterator[tuple[str, backends.Look]]:
            objects.remove_tree(pool.root / name)
            pool.pardon(batch)
            yield from real(folder)  # type: ignore[arg-type]

        monkeypatch.setattr(objects, "tree", meanwhile)
        assert known(any_catalog) == {}


class TestLook:
    def test_whole(self, any_catalog: Catalog) -> None:
        point = add(any_catalog, 1, CONTENT, b"other")
        look_at_artifacts(any_catalog, point)
        files, folder = artifacts_of(any_catalog, point)[1]
        assert {file.path for file in files} == names(any_catalog)
        assert str(folder) == str(Pool(any_catalog, STORE).root)

    def test_its_size_counts_what_is_shared(self, any_catalog: Catalog) -> None:
        point = add(any_catalog, 1, CONTENT, b"other")
        listed = sum(artifact.size for artifact in point.artifacts())
        assert (point.size, point.stores[0].files) == (listed + len(CONTENT) + 5, 3)
        assert part(details={"bytes": 7, "files": 7}).size == 0, "those of other engines say something else"

    def test_a_missing_object(self, any_catalog: Catalog) -> None:
        point = add(any_catalog, 1, CONTENT)
        objects.remove_tree(Pool(any_catalog, STORE).root / names(any_catalog).pop())
        with pytest.raises(ArtifactError, match="is missing"):
            look_at_artifacts(any_catalog, point)

    def test_a_truncated_object(self, any_catalog: Catalog) -> None:
        point = add(any_catalog, 1, CONTENT)
        objects.replace(Pool(any_catalog, STORE).root / names(any_catalog).pop(), CONTENT[:-1])
        with pytest.raises(ArtifactError, match="has 9 bytes"):
            look_at_artifacts(any_catalog, point)

    def test_a_missing_listing(self, any_catalog: Catalog) -> None:
        point = add(any_catalog, 1, CONTENT)
        objects.remove_tree(any_catalog.folder(point.id) / LISTING)
        with pytest.raises(ArtifactError, match=r"files\.json is missing"):
            artifacts_of(any_catalog, point)

    def test_another_listing_that_is_whole_in_itself(self, any_catalog: Catalog) -> None:
        point = add(any_catalog, 1, CONTENT)
        objects.replace(any_catalog.folder(point.id) / LISTING, listing([], []))
        with pytest.raises(ArtifactError, match="its manifest"):
            artifacts_of(any_catalog, point)

    def test_an_edited_listing_of_which_the_manifest_was_edited_too(self, any_catalog: Catalog) -> None:
        text = listing(put(any_catalog, CONTENT), [CONTENT]).replace(b'"tag": "t"', b'"tag": "u"')
        point = write(any_catalog, 1, text)
        with pytest.raises(ManifestError, match="was edited"):
            artifacts_of(any_catalog, point)

    def test_a_listing_that_names_what_is_no_content(self, any_catalog: Catalog) -> None:
        point = write(any_catalog, 1, listing(["../../elsewhere"], [CONTENT]))
        with pytest.raises(ManifestError, match="breaks the manifest's rules"):
            artifacts_of(any_catalog, point)

    def test_a_listing_that_is_no_artifact(self, any_catalog: Catalog) -> None:
        text = listing(put(any_catalog, CONTENT), [CONTENT])
        point = days_later(1, stores=(backup_of(text).model_copy(update={"artifacts": ()}),))
        with pytest.raises(ManifestError, match="none of its artifacts"):
            artifacts_of(any_catalog, point)

    def test_one_listing_whatever_the_number_of_files(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        point = add(any_catalog, 1, *(bytes([number]) for number in range(50)))
        looks = []

        def look(path: Any) -> backends.Look:
            looks.append(path)
            return objects.look(path)

        monkeypatch.setattr("midtime.catalog.artifacts.look", look)
        look_at_artifacts(any_catalog, point)
        assert len(looks) == 1, "the listing's own"

    def test_whose_it_is(self, any_catalog: Catalog) -> None:
        (name,) = put(any_catalog, CONTENT)
        point = write(any_catalog, 1, listing([name, name], [CONTENT, CONTENT]))
        assert users_of(any_catalog, point, [name, "x"]) == {name: "file bank/t-1/0-Data.db of node n1"}


def test_names_are_found_in_any_text(any_catalog: Catalog) -> None:
    first, second = put(any_catalog, CONTENT, b"")
    text = listing([first, second], [CONTENT, b""])
    assert named_in(text) == {first[3:], second[3:]}
    assert named_in(text[: text.index(second.encode())]) == {first[3:]}
    assert named_in(b"\xff{" + first.encode() + b"}") == {first[3:]}
    assert named_in(b"") == set()


def test_an_upload_leaves_no_draft(catalog: Catalog) -> None:
    put(catalog, CONTENT)
    with pytest.raises(CopyError):
        Pool(catalog, STORE).put(sha256(CONTENT), 1, [b"x", b"y"])
    below = [name for _, _, found in os.walk(Path(Pool(catalog, STORE).root.path)) for name in found]
    assert len(below) == 1

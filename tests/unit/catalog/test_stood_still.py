"""A publisher and a sweeper of which one stands still: what looks good has its artifacts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, product
from typing import Any

import pytest

from midtime.catalog import Catalog, artifacts, objects
from midtime.catalog.restore_points import INVALID
from midtime.errors import CatalogError, DestinationError
from midtime.model.restore_point import Artifact, State
from tests.unit.builders import part, point, sha256
from tests.unit.catalog.examples import half_write
from tests.unit.steps import Killed, Stepper, at_operation, kill, stepped


class TestStoodStill:
    """A publisher or a sweeper that stands still between two steps for longer than any lease lasts, while the other one goes its way."""

    WHOLE = point(stores=(part(artifacts=(Artifact(path="accounts/toc.dat", size=4, sha256=sha256(b"half")),)),))

    def good(self, catalog: Catalog) -> bool:
        """Whether it looks good; if so its artifacts must be there."""
        entry = catalog.entry(self.WHOLE.id)
        if entry is None or entry.state is State.INVALID:
            return False
        artifacts.check_sizes(self.WHOLE.artifacts(), catalog.folder(self.WHOLE.id))
        return True

    def test_a_publisher_at_every_step_of_a_removal(self, any_catalog: Catalog) -> None:
        seen = set()
        for number in count(1):
            half_write(any_catalog, self.WHOLE.id)
            published: list[bool] = []
            with at_operation(number, lambda: published.append(done_by(lambda: any_catalog.publish(self.WHOLE)))) as done:  # noqa: B023
                done_by(lambda: any_catalog.discard_half_written(self.WHOLE.id))
            seen.add(good := self.good(any_catalog))
            assert good or published != [True] or len(done) > number, "what was published before the last look is there"
            objects.remove_tree(any_catalog.root)
            if len(done) < number:
                break
        assert seen == {True, False}

    def test_a_removal_at_every_step_of_a_publisher(self, any_catalog: Catalog) -> None:
        seen = set()
        for number in count(1):
            half_write(any_catalog, self.WHOLE.id)
            with at_operation(number, lambda: done_by(lambda: any_catalog.discard_half_written(self.WHOLE.id))) as done:
                published = done_by(lambda: any_catalog.publish(self.WHOLE))
            assert self.good(any_catalog) == published
            seen.add(published)
            objects.remove_tree(any_catalog.root)
            if len(done) < number:
                break
        assert seen == {True, False}

    @pytest.mark.parametrize("first", ["publisher", "sweeper"])
    def test_in_turns(self, memory_catalogs: Iterator[Catalog], first: str) -> None:
        """The object store lists what it removes first, and removes it then: a manifest that is written in between stays."""
        seen = set()
        for number, other in product(range(1, 16), range(1, 16)):
            catalog = next(memory_catalogs)
            half_write(catalog, self.WHOLE.id)
            works: list[Callable[[], Any]] = [
                lambda: done_by(lambda: catalog.publish(self.WHOLE)),  # noqa: B023
                lambda: done_by(lambda: catalog.discard_half_written(self.WHOLE.id)),  # noqa: B023
            ]
            stepper = Stepper(number, other)
            with stepped(stepper):
                results = stepper.run(*(works if first == "publisher" else reversed(works)))
            seen.add((self.good(catalog), results[0 if first == "publisher" else 1]))
        assert seen <= {(True, True), (False, False), (True, False)}, "what a publisher says it published is good"
        assert len(seen) > 1

    def test_a_mark_that_a_killed_sweeper_left_stays(self, any_catalog: Catalog) -> None:
        """It may have removed half of the artifacts."""
        half_write(any_catalog, self.WHOLE.id)
        any_catalog.invalidate(self.WHOLE.id, "its run was taken for dead")
        with pytest.raises(CatalogError, match="taken for dead"):
            any_catalog.publish(self.WHOLE)
        with pytest.raises(CatalogError, match="published"):
            any_catalog.discard_half_written(self.WHOLE.id)
        assert not self.good(any_catalog)

    def test_a_publisher_at_every_step_of_ending_what_a_killed_sweeper_began(self, any_catalog: Catalog) -> None:
        for number in count(1):
            half_write(any_catalog, self.WHOLE.id)
            any_catalog.invalidate(self.WHOLE.id, "its run was taken for dead")
            objects.remove_tree(any_catalog.folder(self.WHOLE.id) / "accounts")
            with at_operation(number, lambda: done_by(lambda: any_catalog.publish(self.WHOLE))) as done:
                done_by(lambda: any_catalog.discard_half_written(self.WHOLE.id))
            assert not self.good(any_catalog)
            objects.remove_tree(any_catalog.root)
            if len(done) < number:
                break

    def test_the_mark_goes_last(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        """A store removes a folder's objects in any order; a publisher that finds no mark has to find artifacts missing."""
        half_write(any_catalog, self.WHOLE.id)
        real, beside = objects.remove_tree, list[list[str]]()

        def look(path: Any) -> None:
            if path == any_catalog.folder(self.WHOLE.id):
                beside.append(objects.names(path))
            real(path)

        monkeypatch.setattr(objects, "remove_tree", look)
        any_catalog.discard_half_written(self.WHOLE.id)
        assert beside == [[INVALID]]

    def test_a_full_disk_can_be_emptied(self, any_catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
        """The run whose dump filled it removes that, without room for a mark."""
        half_write(any_catalog, self.WHOLE.id)

        def full(*_: object) -> None:
            raise DestinationError("No space left on device")

        monkeypatch.setattr(objects, "create", full)
        any_catalog.discard_half_written(self.WHOLE.id)
        assert any_catalog.folders() == []

    def test_a_removal_that_was_killed_anywhere(self, any_catalog: Catalog) -> None:
        for number in count(1):
            half_write(any_catalog, self.WHOLE.id)
            with at_operation(number, kill) as done, suppress(Killed):
                any_catalog.discard_half_written(self.WHOLE.id)
            assert not done_by(lambda: any_catalog.publish(self.WHOLE)) or self.good(any_catalog)
            objects.remove_tree(any_catalog.root)
            if len(done) < number:
                break


def done_by(work: Callable[[], object]) -> bool:
    try:
        work()
    except CatalogError:
        return False
    return True

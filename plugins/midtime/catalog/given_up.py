"""What restores in place have given up of a topology's history: all that was written between their restore point's midtime and them.

A restore of the whole set may well go there. One lost node must not come back from there: with it would come rows that the others have given
up, and they would take them over, for they are newer than theirs. ``<destination>/<topology>/.given_up/<lease>.json`` is written before the
products start on the restored set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from midtime.catalog import objects
from midtime.errors import CatalogError, ManifestError
from midtime.model.instants import from_rfc3339, to_rfc3339, utc_now
from midtime.model.restore_point import RestorePoint

if TYPE_CHECKING:
    from midtime.catalog.folders import Folders


@dataclass(frozen=True, slots=True)
class GivenUp:
    """What one restore in place gave up: everything after one instant, before another."""

    stores: tuple[str, ...]
    after: datetime
    before: datetime

    def holds(self, store: str, point: RestorePoint) -> bool:
        """Whether the store's part of a restore point is of that time."""
        return store in self.stores and self.after < point.midtime < self.before


def note(catalog: Folders, lease: str, stores: Iterable[str], point: RestorePoint) -> None:
    """Say that these stores are at this restore point now. Said twice, the first time counts."""
    body = {"stores": sorted(stores), "after": to_rfc3339(point.midtime), "before": to_rfc3339(utc_now())}
    with suppress(FileExistsError):
        objects.create(catalog.root / ".given_up" / f"{lease}.json", json.dumps(body, indent=2).encode() + b"\n")


def all_of(catalog: Folders) -> Iterator[GivenUp]:
    """What every restore in place gave up.

    :raises CatalogError: one note is unreadable
    """
    folder = catalog.root / ".given_up"
    for name in objects.names(folder):
        if name.startswith("."):
            continue
        try:
            body = json.loads(objects.read(folder / name))
            yield GivenUp(tuple(body["stores"]), from_rfc3339(body["after"]), from_rfc3339(body["before"]))
        except (ValueError, KeyError, TypeError) as error:
            raise CatalogError(f"{folder / name} is unreadable ({error})", fix="put it back as it was, or restore the whole set") from error


def refuse(found: GivenUp, store: str, point: RestorePoint) -> ManifestError:
    """What to tell who wants to bring a node back from there."""
    return ManifestError(
        f"restore point {point.id} is of a time that store {store} has given up: on {to_rfc3339(found.before)} it was restored in place "
        f"to {to_rfc3339(found.after)}",
        fix="use one of that midtime or before, or one that was taken since",
    )

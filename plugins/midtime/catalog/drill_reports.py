"""Reports of drills: ``<id>/drills/<started>.json`` beside the manifest, and ``.drills/<id>/`` once retention has removed the restore point.

What a drill proved outlives the restore point that it proved it of: an auditor asks for last year's drills, not for last year's dumps.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pydantic import ValidationError

from midtime.catalog import history, objects
from midtime.catalog.folders import EXPIRED, MANIFEST
from midtime.errors import CatalogError
from midtime.model.instants import RESTORE_POINT_ID, from_rfc3339, to_rfc3339
from midtime.model.restore_point import DrillReport

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from midtime.catalog.restore_points import Catalog

FOLDER = "drills"
PARALLEL = 16
"""An object store answers slowly, but many at once."""


@dataclass(frozen=True, slots=True)
class Found:
    """One report file, readable or not."""

    restore_point: str
    name: str
    started_at: datetime
    """As its name says it: also known of a file that cannot be read."""
    path: str
    report: DrillReport | None = None
    error: str = ""

    @property
    def stands_for(self) -> datetime:
        """The moment that the drill tells of, as :attr:`DrillReport.stands_for`."""
        return self.report.stands_for if self.report else self.started_at


def add(catalog: Catalog, report: DrillReport) -> str:
    """Keep what a drill measured beside the manifest; a second try of the same drill replaces its report.

    Where the restore point is gone, or is being removed, it is kept where retention keeps the others. Written first and looked then:
    retention marks first and copies the reports then, so that one of the two sees the other.

    :return: the file's address
    """
    name = f"{to_rfc3339(report.started_at).replace(':', '')}.json"
    content = report.model_dump_json(indent=2).encode() + b"\n"
    folder = catalog.folder(report.restore_point)
    if MANIFEST in objects.names(folder):
        path = _beside(catalog, report.restore_point) / name
        objects.replace(path, content)
        there = objects.names(folder)
        if MANIFEST in there and EXPIRED not in there:
            return str(path)
    path = _archived(catalog, report.restore_point) / name
    objects.replace(path, content)
    return str(path)


def of(catalog: Catalog, restore_point: str) -> list[DrillReport]:
    """All readable drills of a restore point that is there, oldest first."""
    folder = _beside(catalog, restore_point)
    found = (_read(restore_point, name, folder / name) for name in _reports(folder))
    return sorted((each.report for each in found if each and each.report), key=lambda report: report.started_at)


def every(catalog: Catalog, *, since: datetime | None = None) -> list[Found]:
    """The drills of all restore points of a topology, those of removed ones included; newest first, by the moment that they stand for.

    Files are listed and read in parallel: a catalog may hold thousands.

    :param since: leave out, unread, what began before
    """
    with ThreadPoolExecutor(PARALLEL) as pool:

        def listed(points: list[str], where: Callable[[Catalog, str], ObjectStoragePath]) -> set[tuple[str, str]]:
            found = pool.map(lambda point: (point, _reports(where(catalog, point))), points)
            return {(point, name) for point, names in found for name in names if since is None or _started(point, name) >= since}

        # In this order, and each once: retention copies a report before it removes it.
        names = listed(catalog.folders(), _beside) | listed(archived(catalog), _archived)
        reports = pool.map(lambda key: _find(catalog, *key), names)
        return sorted((each for each in reports if each), key=lambda each: (each.stands_for, each.started_at, each.name), reverse=True)


def archive(catalog: Catalog, restore_point: str) -> list[str]:
    """Copy a restore point's reports to where they stay when it is removed, the unreadable ones too; harmless when done already.

    Each copy is read back before this returns: afterwards the folder may be removed. That there was such a restore point is kept as well,
    for whoever asks what was newest at a date (:mod:`midtime.catalog.history`).

    :return: the names of the reports
    :raises CatalogError: a copy differs from what was copied
    """
    source, target = _beside(catalog, restore_point), _archived(catalog, restore_point)
    history.remember(catalog, restore_point, target)
    names = _reports(source)
    with ThreadPoolExecutor(PARALLEL) as pool:
        list(pool.map(lambda name: _copy(source / name, target / name), names))
    return names


def archived(catalog: Catalog) -> list[str]:
    """Ids of the restore points that are, or are being, removed, newest first."""
    return sorted((name for name in objects.names(catalog.root / history.ARCHIVE) if RESTORE_POINT_ID.fullmatch(name)), reverse=True)


def _copy(source: ObjectStoragePath, target: ObjectStoragePath) -> None:
    content = objects.read(source)
    with suppress(FileNotFoundError):
        if objects.read(target) == content:
            return
    objects.replace(target, content)
    if objects.read(target) != content:
        raise CatalogError(f"{target} differs from {source}, of which it is a copy", fix="look at the destination's disk or bucket")


def _beside(catalog: Catalog, restore_point: str) -> ObjectStoragePath:
    return catalog.folder(restore_point) / FOLDER


def _archived(catalog: Catalog, restore_point: str) -> ObjectStoragePath:
    return catalog.root / history.ARCHIVE / restore_point


def _reports(folder: ObjectStoragePath) -> list[str]:
    """Names of reports; not what a killed writer left of one."""
    return sorted(name for name in objects.names(folder) if name.endswith(".json") and not name.startswith("."))


def _started(restore_point: str, name: str) -> datetime:
    """When a drill began, as its file's name says it; a file of an odd name is as old as its restore point."""
    try:
        return from_rfc3339(name.removesuffix(".json"))
    except ValueError:
        return history.instant(restore_point)


def _find(catalog: Catalog, restore_point: str, name: str) -> Found | None:
    return _read(restore_point, name, _beside(catalog, restore_point) / name) or _read(
        restore_point, name, _archived(catalog, restore_point) / name
    )


def _read(restore_point: str, name: str, path: ObjectStoragePath) -> Found | None:
    try:
        report = DrillReport.model_validate_json(objects.read(path))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        said = f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
        return Found(restore_point, name, _started(restore_point, name), str(path), error=said)
    return Found(restore_point, name, report.started_at, str(path), report)

"""What the marks of all managed stores have in common: that they can be kept at all, and that they are written once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from midtime.catalog import objects
from midtime.errors import ManifestError, NotRestorableError
from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import RESTORABLE_UNTIL, Artifact, Instant, Sealed, StoreBackup
from midtime.model.topology.cloud import AnyCloudDatabase, Cosmosdb, Dynamodb
from midtime.model.words import SHOWN
from midtime.stores.base import Shelf

FILE = "settings.json"
"""The artifact's name in the store's folder."""
TAGS = 50
"""That a resource may have, in Amazon's cloud and in Azure."""


class Mark(Sealed):
    """What was marked, with what a restore of it loses."""

    store: str
    instant: Instant
    """On the service's clock."""


AnyMark = TypeVar("AnyMark", bound=Mark)
Spoken = Iterator[tuple[str, str]]
"""A setting, and its value in words; what is off is left out."""


def keep(shelf: Shelf, mark: AnyMark) -> tuple[AnyMark, Artifact]:
    """Put it down. Of two tries that live at once the first one's stays: a manifest may name it already when the other one wakes up."""
    path, name = shelf.folder / shelf.prefix / FILE, f"{shelf.prefix}/{FILE}"
    content = mark.seal()
    try:
        objects.create(path, content)
    except FileExistsError:
        there = objects.read(path)
        if (known := _known(type(mark), there, str(path))) and known.instant == mark.instant:
            mark, content = known, there
        else:
            objects.replace(path, content)
    return mark, Artifact(path=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def claim(
    spec: Dynamodb | Cosmosdb | AnyCloudDatabase,
    mark: Mark,
    artifact: Artifact,
    *,
    began: float,
    days: int,
    server: str,
    client: str,
    details: Mapping[str, Any],
) -> StoreBackup:
    """What the manifest says of a mark that was put down.

    :param began: by the monotonic clock
    :param days: for which the service keeps its history
    :param details: what tells whether all is still what was marked; the artifact has the rest
    """
    until = mark.instant + timedelta(days=days)
    return StoreBackup(
        store=mark.store,
        engine=spec.engine,
        method=spec.method,
        midtime=mark.instant,
        server=server,
        client=client,
        seconds=round(time.monotonic() - began, 3),
        artifacts=(artifact,),
        tables=(),
        details={**details, "settings": artifact.path, RESTORABLE_UNTIL: to_rfc3339(until)},
    )


def require_fit(store: str, instant: datetime, reasons: Iterable[tuple[str, str]], *, fix: str) -> None:
    """Everything can be restored to the instant, by now or later.

    :param reasons: names, and why each cannot
    :raises NotRestorableError: some cannot
    """
    bad = [f"{name} {why}" for name, why in reasons if why]
    if bad:
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise NotRestorableError(f"store {store} cannot be restored to {to_rfc3339(instant)}: {'; '.join(bad[:SHOWN])}{more}", fix=fix)


def with_room(own: Mapping[str, str], theirs: Mapping[str, str]) -> dict[str, str]:
    """The tags of a copy: ours, and as many of the marked ones as may stand beside them. What has no room is told as a difference."""
    kept = sorted(theirs.keys() - own.keys())[: TAGS - len(own)]
    return {**{key: theirs[key] for key in kept}, **own}


def unmarked(names: Iterable[str]) -> list[str]:
    """What a restore lacks of that which ScalarDB had at the instant, one sentence each.

    :param names: that ScalarDB's restored metadata have, and the mark has not
    """
    return [f"{name}: missing, though ScalarDB's metadata of that instant name it: dropped before the mark" for name in names]


def differences(what: str, marked: Spoken, now: Spoken) -> list[str]:
    """What is different now, one sentence each. Empty where all was put back.

    :param what: has these settings
    """
    was, is_ = dict(marked), dict(now)
    return [
        f"{what}: {each} was {was.get(each, 'not there')}, is {is_.get(each, 'not there')}"
        for each in dict.fromkeys([*was, *is_])
        if was.get(each) != is_.get(each)
    ]


def _known(kind: type[AnyMark], content: bytes, where: str) -> AnyMark | None:
    try:
        return kind.unseal(content, where=where)
    except ManifestError:
        return None

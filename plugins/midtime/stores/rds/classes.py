"""The smallest class of instances that a copy may have: what a drill gets unless its target names one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from midtime.errors import StoreAccessError
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.settings import MarkedServer

_SIZES = {"micro": 0, "small": 1, "medium": 2, "large": 3, "xlarge": 4}
_BIGGER = re.compile(r"(\d+)xlarge")
_FAMILIES = ("t4g", "t3", "t2")
"""The cheap ones, newest first."""
_NEEDS = {"encrypted": "SupportsStorageEncryption", "iam": "SupportsIAMDatabaseAuthentication"}


def smallest_class(aws: RdsClients, marked: MarkedServer) -> str:
    """By what Amazon offers for its engine, version, storage and encryption.

    :raises StoreAccessError: nothing fits
    """
    asked = {"Engine": marked.engine, "EngineVersion": marked.engine_version}
    if licence := marked.settings.get("LicenseModel"):
        asked["LicenseModel"] = licence
    with aws.errors(aws.store):
        pages = aws.control.get_paginator("describe_orderable_db_instance_options").paginate(**asked)
        offered: list[dict[str, Any]] = [each for page in pages for each in page["OrderableDBInstanceOptions"]]
    found: list[str] = sorted({each["DBInstanceClass"] for each in fitting(offered, marked)}, key=_rank)
    if not found:
        raise StoreAccessError(
            f"store {aws.store}: Amazon offers no class of instances for {marked.engine} {marked.engine_version} in {marked.region}",
            fix="name an `instance_class` in the drill's target",
        )
    return found[0]


def fitting(offered: Iterable[Mapping[str, Any]], marked: MarkedServer) -> Iterable[Mapping[str, Any]]:
    """What can hold a copy. An instance keeps its storage; a cluster's is its own affair."""
    needed = [_NEEDS["encrypted"]] if marked.encrypted else []
    needed += [_NEEDS["iam"]] if marked.settings.get("EnableIAMDatabaseAuthentication") else []
    storage = marked.settings.get("StorageType") if not marked.members else None
    for each in offered:
        sizes = range(each.get("MinStorageSize") or 0, (each.get("MaxStorageSize") or 1 << 31) + 1)
        if (
            _size(each["DBInstanceClass"]) is not None
            and (storage is None or each.get("StorageType", storage) == storage)
            and (bool(marked.members) or marked.allocated in sizes)
            and all(each.get(key, True) for key in needed)
        ):
            yield each


def _rank(name: str) -> tuple[int, int, str]:
    family = name.split(".")[1]
    return _size(name) or 0, _FAMILIES.index(family) if family in _FAMILIES else len(_FAMILIES), name


def _size(name: str) -> int | None:
    """None of what has no size: ``db.serverless``."""
    size = name.split(".")[-1]
    more = _BIGGER.fullmatch(size)
    return 4 + int(more[1]) if more else _SIZES.get(size)

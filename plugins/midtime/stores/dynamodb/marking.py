"""The mark: which tables, with which identities and settings, are claimed to be restorable to an instant."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime

import boto3

from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.model.words import counted
from midtime.stores import marks
from midtime.stores.base import Say, Shelf
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.history import LONGEST, histories
from midtime.stores.dynamodb.reading import read_settings
from midtime.stores.dynamodb.settings import MarkedTables
from midtime.stores.dynamodb.tables import find_tables

LOST = "see who deleted or restored these tables, or switched their point-in-time recovery off; then run the backup again"


def mark(topology: Topology, aws: Aws, instant: datetime, shelf: Shelf, say: Say) -> StoreBackup:
    """Read everything, put it down, and say what was marked.

    :raises NotRestorableError: a table can never be restored to the instant: its history is off, or begins later
    :raises StoreAccessError: a table is missing
    """
    began = time.monotonic()
    found = _read(topology, aws, instant)
    marked, artifact = marks.keep(shelf, found)
    say(f"marked {counted(len(marked.tables), 'table')} at {to_rfc3339(instant)}")
    return marks.claim(
        aws.spec,
        marked,
        artifact,
        began=began,
        days=min(table.period or LONGEST for table in marked.tables),
        server=f"Amazon DynamoDB in {marked.region}",
        client=f"boto3 {boto3.__version__}",
        details={
            "region": marked.region,
            "account": marked.account,
            "prefix": marked.prefix,
            "tables": {table.name: table.table_id for table in marked.tables},
        },
    )


def _read(topology: Topology, aws: Aws, instant: datetime) -> MarkedTables:
    fenced = topology.needs_pause and aws.spec.fence
    found = histories(aws, find_tables(topology, aws, fence=fenced))
    require_fit(aws.store, instant, ((each.name, each.unfit(instant)) for each in found))
    tables = tuple(read_settings(aws, found))
    return MarkedTables(
        store=aws.store,
        instant=instant,
        region=aws.spec.region,
        account=tables[0].arn.split(":")[4],
        prefix=aws.spec.prefix or "",
        tables=tables,
    )


def require_fit(store: str, instant: datetime, reasons: Iterable[tuple[str, str]]) -> None:
    """Every table can be restored to the instant, by now or later.

    :param reasons: the tables' names, and why each cannot
    :raises NotRestorableError: some cannot
    """
    marks.require_fit(store, instant, reasons, fix=LOST)

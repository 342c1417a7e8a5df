"""A server that speaks DynamoDB's protocol and restores tables to a second, and what an Airflow connection to it looks like."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from tests.stack.aws import AwsDouble
from tests.stack.processes import Processes, poll

_SELECT, _SUM = re.compile(r"SELECT (.+) FROM (\S+)"), re.compile(r"sum\((\w+)\)")


class DynamoDB(AwsDouble):
    """One account."""

    MODULE = "tests.stack.dynamodb_server"
    CONN_ID = "midtime_dynamodb"
    SERVICE, REGION = "dynamodb", "ap-northeast-1"

    def __init__(self, processes: Processes, name: str = "dynamodb", **settings: Any) -> None:
        super().__init__(processes, name, **settings)

    # for those who use it

    def conn_uri(self, _: str = "") -> str:
        return self.conn()

    def topology_store(self, name: str, namespaces: Iterable[str], **changes: Any) -> dict[str, Any]:
        """As a store of a topology."""
        common = {"name": name, "engine": "dynamodb", "namespaces": list(namespaces), "conn_id": f"{name}_db"}
        return {**common, "region": self.REGION, **changes}

    @cached_property
    def tables(self) -> Any:
        return self.sdk()

    @cached_property
    def scaling(self) -> Any:
        return self.sdk("application-autoscaling")

    # what is in it

    def names(self, prefix: str = "") -> list[str]:
        """Of the tables, those included that are being deleted."""
        pages = self.tables.get_paginator("list_tables").paginate()
        return [name for page in pages for name in page["TableNames"] if name.startswith(prefix)]

    def items(self, table: str) -> list[dict[str, Any]]:
        """All of a table, as Python's values."""
        from boto3.dynamodb.types import TypeDeserializer

        plain = TypeDeserializer().deserialize
        pages = self.tables.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [{key: plain(value) for key, value in item.items()} for page in pages for item in page["Items"]]

    def execute(self, statement: str, prefix: str = "") -> list[tuple[Any, ...]]:
        """``SELECT a, b FROM namespace.table``, or ``count(*)`` or ``sum(a)``, over the whole table; nothing more of SQL."""
        wanted, table = _SELECT.fullmatch(statement.strip()).groups()  # type: ignore[union-attr]
        items = self.items(prefix + table)
        if wanted == "count(*)":
            return [(len(items),)]
        if summed := _SUM.fullmatch(wanted):
            return [(sum(int(item[summed[1]]) for item in items),)]
        return [tuple(_plain(item.get(column.strip())) for column in wanted.split(",")) for item in items]

    def protect(self, *tables: str) -> None:
        """Switch point-in-time recovery on."""
        for table in tables:
            wanted = {"PointInTimeRecoveryEnabled": True}
            self.tables.update_continuous_backups(TableName=table, PointInTimeRecoverySpecification=wanted)

    def restore(self, table: str, target: str, second: float, timeout: float = 30) -> None:
        """To a second of the server's clock, and wait until it is there."""
        when = datetime.fromtimestamp(int(second), UTC)
        self.tables.restore_table_to_point_in_time(SourceTableName=table, TargetTableName=target, RestoreDateTime=when)
        self.wait_active(target, timeout)

    def wait_active(self, table: str, timeout: float = 30) -> None:
        poll(f"{table} to be there", lambda: self.status(table) == "ACTIVE" or None, timeout, every=0.05)

    def wait_gone(self, table: str, timeout: float = 30) -> None:
        poll(f"{table} to be gone", lambda: self.status(table) == "" or None, timeout, every=0.05)

    def status(self, table: str) -> str:
        """Nothing if there is no such table."""
        try:
            return str(self.tables.describe_table(TableName=table)["Table"]["TableStatus"])
        except self.tables.exceptions.ResourceNotFoundException:
            return ""


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) and value == int(value) else value

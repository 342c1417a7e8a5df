"""DynamoDB's clock: the ``Date`` of its answers, asked for until it ticks over."""

from __future__ import annotations

from midtime.clocks import read_http_date
from midtime.model.clock_readings import ClockReading
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.refusals import aws_errors


def read_clock(aws: Aws) -> ClockReading:
    """The clock of the front ends, which is not the one by which items are kept (the store's ``fleet`` allows for that).

    A signed call that costs nothing and that every login of ours may make; one or two seconds of them, far from any quota.

    :raises StoreError: it does not say, or we may not ask
    """
    client = aws.clock

    def fetch() -> str | None:
        with aws_errors(aws.store):
            answer = client.list_tables(Limit=1)
        said: str | None = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return said

    return read_http_date(aws.store, fetch, fleet=True)

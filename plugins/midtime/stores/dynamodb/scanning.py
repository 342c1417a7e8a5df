"""Whole tables and single items, read at the pace that the service gives: parts beside each other, page by page, memory bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from midtime.errors import StoreError, StoreUnreachableError
from midtime.stores import looks
from midtime.stores.dynamodb.aws import Aws
from midtime.stores.dynamodb.refusals import aws_errors, code_of

PARTS = 8
"""Segments of a scan that are read beside each other."""
SMALL = 64 * 1024 * 1024
"""Bytes below which one is enough."""
ITEMS = 100
"""That one request asks for."""
TRIES, LONGEST = 12, 30.0
"""Of one page that the service puts off, on top of the SDK's own tries; seconds between two of them."""
_BUSY = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"})
Item = Mapping[str, Any]


def plain(value: Mapping[str, Any] | None) -> Any:
    """An attribute's value: text, number, bytes, truth, or None."""
    if not value:
        return None
    ((kind, said),) = value.items()
    if kind == "N":
        return int(said) if said.lstrip("-").isdigit() else float(said)
    if kind == "NULL":
        return None
    return bytes(said) if kind == "B" else said


def scan(aws: Aws, table: str, columns: Sequence[str], *, size: int = 0) -> Iterator[list[Item]]:
    """Some attributes of all items, in no order.

    :param size: of the table, in bytes, as far as known
    :raises StoreError: it cannot be read, though it was asked again and again
    """
    names = {f"#c{number}": column for number, column in enumerate(columns)}
    asked = {"TableName": table, "ConsistentRead": True, "ProjectionExpression": ", ".join(names), "ExpressionAttributeNames": names}
    parts = PARTS if size > SMALL else 1
    _ = aws.data  # made by one thread
    with ThreadPoolExecutor(parts, thread_name_prefix="scan") as pool:
        running: deque[tuple[dict[str, Any], Future[Any]]] = deque()
        for part in range(parts):
            page = {**asked, **({"Segment": part, "TotalSegments": parts} if parts > 1 else {})}
            running.append((page, pool.submit(patiently, aws, aws.data.scan, **page)))
        while running:
            page, future = running.popleft()
            answer = future.result()
            if more := answer.get("LastEvaluatedKey"):
                page = {**page, "ExclusiveStartKey": more}
                running.append((page, pool.submit(patiently, aws, aws.data.scan, **page)))
            if answer["Items"]:
                yield answer["Items"]


def get_items(aws: Aws, table: str, keys: Iterable[Item]) -> Iterator[Item]:
    """These items, as far as they are there.

    :raises StoreError: they cannot be read
    """
    wanted = deque(keys)
    tries = 0
    while wanted:
        some = [wanted.popleft() for _ in range(min(ITEMS, len(wanted)))]
        answer = patiently(aws, aws.data.batch_get_item, RequestItems={table: {"Keys": some, "ConsistentRead": True}})
        yield from answer["Responses"].get(table, ())
        left = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", ())
        wanted.extendleft(left)
        tries = tries + 1 if left else 0
        if tries == TRIES:
            raise StoreUnreachableError(f"store {aws.store}: {table} does not keep up with being read", fix="try again later")
        if left:
            looks.sleep(min(LONGEST, 0.1 * 2**tries))


def patiently(aws: Aws, call: Any, **arguments: Any) -> Any:
    """Read something; throttled, again later and later."""
    for number in range(TRIES):
        try:
            with aws_errors(aws.store):
                return call(**arguments)
        except StoreError as error:
            cause = error.__cause__
            busy = isinstance(cause, ClientError) and code_of(cause) in _BUSY
            if number == TRIES - 1 or not (busy or isinstance(error, StoreUnreachableError)):
                raise
            looks.sleep(min(LONGEST, 0.2 * 2**number))
    raise AssertionError

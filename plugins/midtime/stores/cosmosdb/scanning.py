"""Whole containers and single documents, read at the pace that the service gives: ranges beside each other, page by page, memory bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from azure.cosmos import ContainerProxy

from midtime.stores.azure.refusals import azure_errors
from midtime.stores.each import AT_ONCE

PAGE = 1_000
"""Documents that one answer has at most."""
Document = Mapping[str, Any]


def scan(store: str, container: ContainerProxy, paths: Sequence[str]) -> Iterator[list[Document]]:
    """Some values of all documents, in no order. Throttling is met by the SDK.

    :param paths: as Cosmos DB's SQL writes them, such as ``c.id`` or ``c["values"]["tx_id"]``
    :raises StoreError: it cannot be read
    """
    query = f"SELECT {', '.join(paths)} FROM c"  # noqa: S608 - names of columns, quoted by whoever asks
    with azure_errors(store):
        ranges = list(container.read_feed_ranges())
    with ThreadPoolExecutor(min(AT_ONCE, len(ranges)), thread_name_prefix="scan") as pool:
        running: deque[tuple[Iterator[Any], Future[list[Document] | None]]] = deque()
        for each in ranges:
            pages = container.query_items(query=query, feed_range=each, max_item_count=PAGE).by_page()
            running.append((pages, pool.submit(_next, store, pages)))
        while running:
            pages, future = running.popleft()
            if (found := future.result()) is None:
                continue
            running.append((pages, pool.submit(_next, store, pages)))
            if found:
                yield found


def read_documents(store: str, container: ContainerProxy, ids: Sequence[str]) -> list[Document]:
    """The documents of these ids, each its own partition key, as far as they are there.

    :raises StoreError: they cannot be read
    """
    with azure_errors(store):
        return list(container.read_items([(each, each) for each in dict.fromkeys(ids)], max_concurrency=AT_ONCE))


def quoted(*path: str) -> str:
    """``c["values"]["tx_id"]``; a column may have any name."""
    return "c" + "".join('["{}"]'.format(part.replace("\\", "\\\\").replace('"', '\\"')) for part in path)


def _next(store: str, pages: Iterator[Any]) -> list[Document] | None:
    """One page; None behind the last."""
    with azure_errors(store):
        page = next(pages, None)
        return None if page is None else list(page)

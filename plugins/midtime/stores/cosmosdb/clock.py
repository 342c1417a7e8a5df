"""Cosmos DB's clock: the ``Date`` of its answers, asked for until it ticks over."""

from __future__ import annotations

from collections.abc import Mapping

from midtime.clocks import read_http_date
from midtime.model.clock_readings import ClockReading
from midtime.stores.azure.refusals import azure_errors
from midtime.stores.cosmosdb.azure import Azure

LIMIT = 2.0
"""Seconds for one answer."""


def read_clock(azure: Azure) -> ClockReading:
    """The clock of the account's gateways, which is not the one by which items are kept (the store's ``fleet`` allows for that).

    A signed call that costs no request units; one or two seconds of them.

    :raises StoreError: it does not say, or we may not ask
    """
    client = azure.hurried
    said: list[str | None] = []

    def fetch() -> str | None:
        with azure_errors(azure.store):
            client.get_database_account(response_hook=_note, timeout=LIMIT)
        return said.pop()

    def _note(headers: Mapping[str, str]) -> None:
        said.append(headers.get("date"))

    return read_http_date(azure.store, fetch, fleet=True)

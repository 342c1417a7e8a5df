"""The mark: which instance or cluster, with which identity and settings, is claimed to be restorable to an instant."""

from __future__ import annotations

import time
from datetime import datetime
from typing import cast

import boto3

from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import StoreBackup
from midtime.stores import marks
from midtime.stores.base import Say, Shelf
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.groups import NOTED, groups_of
from midtime.stores.rds.history import History, history_at, spread_of
from midtime.stores.rds.reading import read
from midtime.stores.rds.servers import Server, flavour_of
from midtime.stores.rds.settings import MarkedServer

LOST = "see who deleted it, or switched its automated backups off; then run the backup again"


def mark(aws: RdsClients, instant: datetime, shelf: Shelf, say: Say) -> StoreBackup:
    """Read everything, put it down, and say what was marked.

    :raises NotRestorableError: it can never be restored to the instant: its backups are off, or begin later
    """
    began = time.monotonic()
    noun = flavour_of(aws.spec).noun
    marked, artifact = marks.keep(shelf, _read(aws, instant))
    say(f"marked {noun} {marked.name} at {to_rfc3339(instant)}")
    return marks.claim(
        aws.spec,
        marked,
        artifact,
        began=began,
        days=marked.days,
        server=f"{marked.engine} {marked.engine_version} on Amazon {'RDS' if noun == 'instance' else 'Aurora'} in {marked.region}",
        client=f"boto3 {boto3.__version__}",
        details={**{key: getattr(marked, key) for key in ("region", "account", "name", "resource_id")}, NOTED: groups_of(marked)},
    )


def _read(aws: RdsClients, instant: datetime) -> MarkedServer:
    name = flavour_of(aws.spec).live(aws.spec)
    history = history_at(aws, name)
    require_fit(aws, name, instant, history)
    return read(aws, cast(Server, history.server), history, instant)  # or it would be unfit


def require_fit(aws: RdsClients, name: str, instant: datetime, history: History, *, alive: bool = True) -> None:
    """It can be restored to the instant, by now or later.

    :param alive: what was deleted is none of it, though backups of it be kept
    :raises NotRestorableError: it never can
    """
    why = "was deleted, or never was" if alive and history.server is None else history.unfit(instant, spread_of(aws.spec))
    marks.require_fit(aws.store, instant, [(f"{flavour_of(aws.spec).noun} {name}", why)], fix=LOST)

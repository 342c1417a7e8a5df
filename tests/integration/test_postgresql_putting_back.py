"""A PostgreSQL store's way into place undone: however far it came, what was live is live again, byte for byte."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from midtime.errors import RestoreFailedError
from midtime.model.restore_point import RestorePoint
from midtime.stores.base import Target, ask
from tests.integration.dying import dying_at_each
from tests.integration.fixtures import Setting
from tests.integration.test_postgresql_restore import restored

pytestmark = pytest.mark.integration
SUM = "SELECT sum(balance) FROM bank.acct"

Planned = tuple[Setting, RestorePoint, Target]


@pytest.fixture(params=["in place", "in place of a lost one", "beside"])
def planned(setting: Setting, request: pytest.FixtureRequest) -> Planned:
    manifest, target = restored(setting, in_place="in place" in request.param)
    setting.database.execute("UPDATE bank.acct SET balance = 0")
    if "lost" in request.param:
        setting.database.server.execute(f"DROP DATABASE {setting.database.name}")
    return setting, manifest, target


def identities(setting: Setting) -> list[tuple[Any, ...]]:
    """Every database's name, identity, owner, settings and comment."""
    return setting.database.server.execute(
        "SELECT datname, oid, datdba, datconnlimit, datallowconn, shobj_description(oid, 'pg_database'), "
        "(SELECT array_agg(setconfig) FROM pg_db_role_setting WHERE setdatabase = d.oid) FROM pg_database d ORDER BY 1"
    )


def test_postgresql_there_and_back_and_there_again(planned: Planned) -> None:
    setting, manifest, target = planned
    before = identities(setting)
    for _ in range(2):
        setting.store.place(manifest.stores[0], target)
        assert setting.database.server.execute(SUM, target.final) == [(500_000,)]
        for _ in range(2):
            setting.store.put_back(manifest.stores[0], target)
            assert identities(setting) == before
            assert all(check.ok for check in ask("accounts", setting.store.restore_questions(target, manifest.stores[0])))
    setting.store.discard(target)
    assert target.working not in setting.database.databases()


def test_postgresql_killed_before_each_statement(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    setting, manifest, target = planned
    backup, before = manifest.stores[0], identities(setting)

    def back() -> None:
        setting.store.put_back(backup, target)

    def forth() -> None:
        setting.store.place(backup, target)

    steps = {}
    for way, step in dying_at_each(monkeypatch, psycopg.Connection, "execute", lambda query: not _reads(query), forth, back):
        assert identities(setting) == before, (way, step)
        steps[way] = step
    assert all(step > 2 for step in steps.values()), steps


def test_postgresql_ends_sessions_of_the_restored_one(setting: Setting) -> None:
    manifest, target = restored(setting, in_place=True)
    setting.store.place(manifest.stores[0], target)
    session = psycopg.connect(setting.database.server.dsn(setting.database.name))
    setting.store.put_back(manifest.stores[0], target)
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")


@pytest.mark.parametrize("aside", ["gone", "another one"])
def test_postgresql_what_was_kept_is_not_there(setting: Setting, aside: str) -> None:
    """A database of that name is not enough: it has to be the one that was live."""
    manifest, target = restored(setting, in_place=True)
    setting.store.place(manifest.stores[0], target)
    server = setting.database.server
    server.execute(f'ALTER DATABASE "{target.aside}" RENAME TO moved_by_somebody')
    if aside == "another one":
        server.create_database(target.aside or "")
    before = identities(setting)
    with pytest.raises(RestoreFailedError, match="is gone or is another one"):
        setting.store.put_back(manifest.stores[0], target)
    assert identities(setting) == before
    if aside == "another one":
        server.execute(f'DROP DATABASE "{target.aside}"')
    server.execute(f'ALTER DATABASE moved_by_somebody RENAME TO "{target.aside}"')
    setting.store.put_back(manifest.stores[0], target)
    assert target.working in setting.database.databases()


def test_postgresql_another_run_s_work_is_not_touched(setting: Setting) -> None:
    manifest, target = restored(setting, in_place=True)
    other = setting.store.target(None, run="def456", drill=False, in_place=True)
    setting.store.place(manifest.stores[0], target)
    before = identities(setting)
    setting.store.put_back(manifest.stores[0], other)
    assert identities(setting) == before


def _reads(query: Any) -> bool:
    text = query if isinstance(query, str) else query.decode() if isinstance(query, bytes) else query.as_string()
    return text.lstrip().startswith(("SELECT", "SET", "SHOW"))

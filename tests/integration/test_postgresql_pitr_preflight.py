"""What a point in the history of PostgreSQL cannot be made with, and that it is said before anything is paused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from midtime.errors import (
    RequestError,
    StoreAccessError,
)
from midtime.stores.base import ask
from tests.answers import refusal
from tests.integration.pitr_setting import COUNT, DATABASE, PitrSetting, moved
from tests.stack.postgres import Postgres
from tests.stack.processes import poll

pytestmark = pytest.mark.integration


class TestPreflight:
    def test_a_good_store_answers_every_question(self, pitr: PitrSetting) -> None:
        answers = [*ask("accounts", pitr.store.questions()), *ask("accounts", pitr.store.drill_questions())]
        assert [answer.detail for answer in answers if not answer.ok] == []
        assert len(answers) == 12
        assert pitr.store.catalog.leases.names() == []

    def test_a_server_that_archives_nothing(self, pitr: PitrSetting, postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
        postgres_server.execute(
            "CREATE SCHEMA IF NOT EXISTS bank; CREATE SCHEMA IF NOT EXISTS scalardb; CREATE SCHEMA IF NOT EXISTS coordinator"
        )
        postgres_server.execute("CREATE TABLE IF NOT EXISTS coordinator.state (tx_id text)")
        monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", postgres_server.conn_uri("postgres"))
        try:
            assert "archive_mode is off" in refusal(pitr.store.questions()).message
        finally:
            postgres_server.execute("DROP SCHEMA bank, scalardb, coordinator CASCADE")

    def test_an_archiver_that_fails(self, pitr: PitrSetting) -> None:
        with pitr.source.held():
            pitr.source.execute("SELECT pg_create_restore_point('x'), pg_switch_wal()")
            failed = "SELECT failed_count > 0 AND last_failed_time > last_archived_time FROM pg_stat_archiver"
            poll("a failure", lambda: pitr.source.execute(failed)[0][0] or None, 30)
            error = refusal(pitr.store.questions())
        assert "archiver failed at" in error.message
        pitr.source.settle()

    def test_an_archive_that_is_not_the_servers(self, pitr: PitrSetting, tmp_path: Path) -> None:
        error = refusal(pitr.changed(wal={"archive": f"file://{tmp_path}"}).store.questions())
        assert isinstance(error, StoreAccessError)
        assert "is not in file://" in error.message

    def test_an_archive_that_holds_a_part_of_it(self, pitr: PitrSetting) -> None:
        pitr.source.settle()
        ((last,),) = pitr.source.execute("SELECT last_archived_wal FROM pg_stat_archiver")
        with moved(pitr.source.archive / last):
            (pitr.source.archive / last).write_bytes(b"half")
            assert "4 bytes" in refusal(pitr.store.questions()).message
            (pitr.source.archive / last).unlink()

    @pytest.mark.parametrize(
        ("granted", "said"),
        [
            ("REPLICATION", "may not call pg_create_restore_point"),
            ("NOREPLICATION", "may not take base backups"),
        ],
    )
    def test_a_login_that_lacks_a_right(self, pitr: PitrSetting, monkeypatch: pytest.MonkeyPatch, granted: str, said: str) -> None:
        source = pitr.source
        source.execute(f"CREATE ROLE weak LOGIN PASSWORD 'weak-secret' {granted}; GRANT pg_read_all_data TO weak")
        if granted == "NOREPLICATION":
            source.execute("GRANT EXECUTE ON FUNCTION pg_create_restore_point(text), pg_switch_wal() TO weak")
        uri = source.server.conn_uri(DATABASE).replace(f"{source.server.user}:{source.server.password}", "weak:weak-secret")
        monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", uri)
        try:
            assert said in refusal(pitr.store.questions()).message
        finally:
            source.execute("DROP OWNED BY weak; DROP ROLE weak")

    def test_the_rights_that_the_documentation_names_are_enough(self, pitr: PitrSetting, monkeypatch: pytest.MonkeyPatch) -> None:
        source = pitr.source
        source.execute("CREATE ROLE modest LOGIN REPLICATION PASSWORD 'modest-secret'; GRANT pg_read_all_data TO modest")
        source.execute("GRANT EXECUTE ON FUNCTION pg_create_restore_point(text), pg_switch_wal() TO modest")
        uri = source.server.conn_uri(DATABASE).replace(f"{source.server.user}:{source.server.password}", "modest:modest-secret")
        monkeypatch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", uri)
        try:
            assert [answer.detail for answer in ask("accounts", pitr.store.questions()) if not answer.ok] == []
            point = pitr.back_up()
            assert pitr.ask(point.stores[0], pitr.restore(point), COUNT) == source.execute(COUNT)[0][0]
        finally:
            source.execute("DROP OWNED BY modest; DROP ROLE modest")

    def test_tablespaces(self, pitr: PitrSetting) -> None:
        elsewhere = pitr.source.archive / "space"
        elsewhere.mkdir()
        if os.geteuid() == 0:
            os.chown(elsewhere, pitr.source.archive.stat().st_uid, -1)
        pitr.source.server.execute(f"CREATE TABLESPACE elsewhere LOCATION '{elsewhere}'")
        try:
            assert "tablespaces of its own: elsewhere" in refusal(pitr.store.questions()).message
            with pytest.raises(StoreAccessError, match="elsewhere"), pitr.store.capture():
                pass
        finally:
            pitr.source.server.execute("DROP TABLESPACE elsewhere")

    def test_a_drill_without_a_folder(self, pitr: PitrSetting) -> None:
        body = pitr.topology.model_dump(mode="json", exclude_unset=True) | {"drill": {}}
        nowhere = PitrSetting(pitr.source, pitr.folder, pitr.topology.model_validate(body))
        assert isinstance(refusal(nowhere.store.drill_questions()), RequestError)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root could run a server as somebody else")
    def test_a_folder_of_roots(self, pitr: PitrSetting) -> None:
        os.chown(pitr.folder, 0, 0)
        error = refusal(pitr.store.drill_questions())
        assert "refuses to run as root" in error.message

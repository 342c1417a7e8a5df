"""A real PostgreSQL restored to exactly the restore point that was made in the window, from real base backups and a real WAL archive."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from midtime.catalog import objects
from midtime.catalog.old_bases import sweep_half_written_bases
from midtime.errors import (
    ArtifactError,
    CopyError,
    MidtimeError,
    RequestError,
    RestoreFailedError,
    StoreAccessError,
    StoreUnreachableError,
    TargetExistsError,
)
from midtime.model.restore_point import RestorePoint, StoreBackup
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Question, Target, ask
from midtime.stores.fences import Fence
from midtime.stores.postgresql_pitr import cluster
from midtime.stores.postgresql_pitr.capture import ArmedPoint, Point
from midtime.stores.postgresql_pitr.wal import Span
from midtime.verification import verify
from tests.integration.pitr_setting import DATABASE, Archiving, PitrSetting
from tests.stack.postgres import Postgres
from tests.stack.processes import Port, poll

pytestmark = pytest.mark.integration
COUNT = "SELECT count(*) FROM bank.acct"


DEAD = {"archive_mode": "off", "archive_timeout": "0", "listen_addresses": "", "max_logical_replication_workers": "0", "ssl": "off"}


def refusal(questions: Iterator[Question]) -> MidtimeError:
    """The error of the first question that fails."""
    (bad,) = [check for check in ask("accounts", questions) if not check.ok]
    assert bad.error is not None
    return bad.error


def segments(pitr: PitrSetting, point: RestorePoint) -> list[Path]:
    return [pitr.source.archive / name for name in Span.from_dict(point.stores[0].details["wal"]).names()]


def bases(pitr: PitrSetting) -> list[str]:
    return [base.id for base in pitr.store.bases.usable()]


@contextmanager
def moved(path: Path) -> Iterator[None]:
    away = path.with_name(f"away-{path.name}")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


class TestThePoint:
    def test_what_was_committed_before_is_there_and_what_began_after_is_not(self, pitr: PitrSetting) -> None:
        """Four writers commit all the time, and three points are made among them; fence rows tell the right one from the others."""
        pitr.source.execute("DROP TABLE IF EXISTS bank.log; CREATE TABLE bank.log (id bigint PRIMARY KEY)")
        with pitr.store.fence() as fence, Writers(pitr.source) as writers:
            fence.prepare()
            early = pitr.back_up("early")
            before, point, after = writers.around(lambda: fenced(pitr, fence))
            late = pitr.back_up("late")
        held = []
        for number, each in enumerate((early, point, late)):
            target = pitr.restore(each, pitr.target(f"abc{number}23"))
            with pitr.store.restored(each.stores[0], target) as restored:
                held.append(sorted(restored.fences("w1", "bank")))
                if each is point:
                    found = {int(row) for row in restored.scalar("SELECT string_agg(id::text, ',') FROM bank.log").split(",")}
            pitr.store.discard(target)
        assert before - found == set(), "committed before the point"
        assert found & after == set(), "begun after the point"
        assert min(len(before), len(after)) > 100
        assert held == [[], ["before"], ["after", "before"]]

    def test_the_set_is_verified_and_nothing_of_the_original_comes_to_life(self, pitr: PitrSetting) -> None:
        """The login has another password by then, and a record has come that the Coordinator does not know."""
        source, server = pitr.source, pitr.source.server
        source.execute("ALTER SYSTEM SET archive_timeout = 7")
        try:
            point, rows = pitr.back_up(), source.execute(COUNT)[0][0]
        finally:
            source.execute("ALTER SYSTEM RESET archive_timeout")
        source.execute("INSERT INTO bank.acct (id, tx_id, tx_state) VALUES ((SELECT max(id) + 1 FROM bank.acct), 'unknown', 3)")
        server.execute(f"ALTER ROLE {server.user} PASSWORD 'another-secret'")
        server.password, password = "another-secret", server.password
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("AIRFLOW_CONN_ACCOUNTS_DB", server.conn_uri(DATABASE))
                target = pitr.restore(point)
                found = verify(pitr.topology, point, [target])
                alive = {name: pitr.ask(point.stores[0], target, f"SELECT current_setting('{name}')") for name in DEAD}
        finally:
            server.execute(f"ALTER ROLE {server.user} PASSWORD '{password}'")
            server.password = password
            source.execute("DELETE FROM bank.acct WHERE tx_id = 'unknown'")
        assert found.good, found.summary()
        assert found.verdict
        assert f"{rows} records" in found.verdict.summary()
        assert alive == DEAD
        assert "archive_timeout" in Path(target.working, "data", "postgresql.auto.conf.original").read_text()
        assert os.stat(target.working).st_mode & 0o077 == 0

    def test_a_capture_is_fast_whatever_the_base(self, pitr: PitrSetting) -> None:
        """Fixing makes two round trips: the base was taken while arming, and nothing else is asked."""
        with pitr.store.arm() as armed:
            asked: list[str] = []
            session: Any = armed.session
            execute = session.execute
            session.execute = lambda query, *rest: asked.append(str(query)) or execute(query, *rest)
            capture = armed.fix()
        assert len(asked) == 2
        assert capture.segment == Span(capture.timeline, 0, capture.lsn, 1 << 20).name((capture.lsn - 1) >> 20)


def fenced(pitr: PitrSetting, fence: Fence) -> RestorePoint:
    """A backup with a fence row on either side of its point."""
    real = ArmedPoint.fix

    def fix(armed: ArmedPoint) -> Point:
        fence.write("w1", "before")
        point = real(armed)
        fence.write("w1", "after")
        return point

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArmedPoint, "fix", fix)
        return pitr.back_up("point")


class Writers:
    """Threads that commit single rows, and know which were committed before, and begun after, somebody's act."""

    def __init__(self, source: Archiving) -> None:
        self.source, self.stop, self.done = source, threading.Event(), list[int]()
        self.lock, self.begun = threading.Lock(), 0
        self.threads = [threading.Thread(target=self.work) for _ in range(4)]

    def __enter__(self) -> Writers:
        for thread in self.threads:
            thread.start()
        poll("the first rows", lambda: len(self.done) > 100 or None, 20)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(20)

    def work(self) -> None:
        with psycopg.connect(self.source.server.dsn(DATABASE), autocommit=True) as session:
            while not self.stop.is_set():
                with self.lock:
                    self.begun += 1
                    mine = self.begun
                session.execute("INSERT INTO bank.log VALUES (%s)", (mine,))
                self.done.append(mine)

    def around(self, back_up: Any) -> tuple[set[int], RestorePoint, set[int]]:
        """(committed before it began, what it made, begun after it had ended)."""
        before = set(self.done)
        made = back_up()
        with self.lock:
            last = self.begun
        poll("rows behind it", lambda: len([each for each in self.done if each > last]) > 100 or None, 20)
        return before, made, {each for each in self.done if each > last}


class TestTheArchive:
    def test_not_restorable_before_it_has_all(self, pitr: PitrSetting) -> None:
        pitr.back_up("so that there is a base")
        with pitr.source.held():
            point = pitr.back_up()
            assert not pitr.store.restorable(point.stores[0]).ready
            assert isinstance(refusal(pitr.store.restore_questions(pitr.target(), point.stores[0])), ArtifactError)
        poll("restorable", lambda: pitr.store.restorable(point.stores[0]).ready or None, 30)

    def test_a_segment_that_is_missing_or_truncated(self, pitr: PitrSetting) -> None:
        point = pitr.back_up()
        backup, target = point.stores[0], pitr.target()
        pitr.source.settle()
        for segment in segments(pitr, point):
            with moved(segment):
                for _ in range(2):
                    assert segment.name in pitr.store.restorable(backup).detail
                    with pytest.raises(ArtifactError, match=segment.name):
                        pitr.store.restore(backup, pitr.shelf(point.id), target, lambda _: None)
                    segment.write_bytes(b"half")
                segment.unlink()
        assert list(pitr.folder.iterdir()) == []

    def test_a_segment_that_goes_away_while_it_is_replayed(self, pitr: PitrSetting, monkeypatch: pytest.MonkeyPatch) -> None:
        point = pitr.back_up()
        pitr.source.settle()
        listed = pitr.store.archive.sizes()
        monkeypatch.setattr("midtime.stores.postgresql_pitr.archive.Archive.sizes", lambda _: listed)
        target = pitr.target()
        with moved(segments(pitr, point)[-1]), pytest.raises(ArtifactError, match="missing"):
            pitr.store.restore(point.stores[0], pitr.shelf(point.id), target, lambda _: None)
        assert cluster.processes_in(Path(target.working, cluster.DATA)) == []

    def test_a_gap_behind_the_base_means_a_new_base(self, pitr: PitrSetting) -> None:
        first = pitr.back_up("first")
        pitr.source.settle()
        with moved(segments(pitr, first)[0]):
            second = pitr.back_up("second")
        assert second.stores[0].details["base"] != first.stores[0].details["base"]
        assert len(bases(pitr)) == 2

    def test_the_users_own_restore_command(self, pitr: PitrSetting) -> None:
        """From an archive that it alone can read."""
        wal = {"archive": f"file://{pitr.source.archive}", "restore_command": f'gzip -dc "{pitr.source.archive}/zipped/%f.gz" > "%p"'}
        zipped = pitr.changed(wal=wal)
        point = pitr.back_up()
        pitr.source.settle()
        folder = pitr.source.archive / "zipped"
        folder.mkdir(exist_ok=True)
        for segment in segments(pitr, point):
            subprocess.run(["sh", "-c", f"gzip -c {segment} > {folder}/{segment.name}.gz"], check=True)
        target = zipped.restore(point)
        assert zipped.ask(point.stores[0], target, COUNT) > 0
        zipped.store.discard(target)
        (folder / f"{segments(pitr, point)[-1].name}.gz").unlink()
        with pytest.raises(RestoreFailedError, match="ends before restore point"):
            zipped.restore(point)


class TestTheBase:
    def test_is_used_by_the_next_restore_point_too(self, pitr: PitrSetting) -> None:
        first, second = pitr.back_up("first"), pitr.back_up("second")
        assert first.stores[0].details["base"] == second.stores[0].details["base"]
        assert len(bases(pitr)) == 1

    def test_too_old_a_new_one_is_taken_for_later_points(self, pitr: PitrSetting) -> None:
        soon = pitr.changed(wal={"archive": f"file://{pitr.source.archive}", "base_backup_every": "1ms"})
        first = soon.back_up("first")
        assert len(bases(pitr)) == 2
        second = pitr.back_up("second")
        assert second.stores[0].details["base"]["id"] == bases(pitr)[0] != first.stores[0].details["base"]["id"]

    def test_that_cannot_be_renewed_fails_no_restore_point(self, pitr: PitrSetting, monkeypatch: pytest.MonkeyPatch) -> None:
        pitr.back_up("first")
        soon = pitr.changed(
            wal={"archive": f"file://{pitr.source.archive}", "base_backup_every": "1ms"}, client_path=str(pitr.source.server.binaries)
        )

        def failing(*_: object) -> None:
            raise CopyError("no")

        monkeypatch.setattr("midtime.stores.postgresql_pitr.store.take", failing)
        assert soon.back_up("second")
        assert len(bases(pitr)) == 1

    def test_damaged(self, pitr: PitrSetting) -> None:
        point = pitr.back_up()
        base = pitr.store.bases.of(point.stores[0])
        artifact = pitr.store.bases.folder(base.id) / base.artifacts[0].path
        content = objects.read(artifact)
        objects.replace(artifact, content[:-9] + b"X" + content[-8:])
        with pytest.raises(ArtifactError, match="altered"):
            pitr.restore(point)
        objects.remove_tree(artifact)
        with pytest.raises(ArtifactError, match="missing"):
            pitr.restore(point)

    def test_whose_unpacked_files_are_not_as_its_manifest_says(self, pitr: PitrSetting, monkeypatch: pytest.MonkeyPatch) -> None:
        point = pitr.back_up()
        real = cluster.Owner.give

        def damaging(owner: cluster.Owner, path: Path) -> None:
            if (version := path / "data" / "PG_VERSION").exists():
                version.write_text("17\n")
            real(owner, path)

        monkeypatch.setattr(cluster.Owner, "give", damaging)
        with pytest.raises(ArtifactError, match="manifest"):
            pitr.restore(point)

    def test_of_another_cluster_is_not_used(self, pitr: PitrSetting) -> None:
        pitr.back_up("first")
        base = pitr.store.bases.newest()
        assert base
        objects.replace(
            pitr.store.bases.folder(base.id) / "base.json",
            base.model_copy(update={"details": {**base.details, "system_identifier": "1"}}).seal(),
        )
        assert pitr.back_up("second").stores[0].details["base"]["id"] != base.id

    def test_of_two_backups_at_once(self, pitr: PitrSetting) -> None:
        points: list[RestorePoint] = []
        threads = [threading.Thread(target=lambda run=run: points.append(pitr.back_up(run))) for run in ("one", "two")]  # type: ignore[misc]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(points) == 2
        assert {point.stores[0].details["base"]["id"] for point in points} <= {*bases(pitr)}
        for point in points:
            pitr.store.bases.of(point.stores[0])


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


class TestPlaced:
    @pytest.fixture
    def restored(self, pitr: PitrSetting) -> Iterator[tuple[PitrSetting, StoreBackup, Target]]:
        port = Port()
        point = pitr.back_up()
        wish = TargetWish(to=f"{pitr.folder}:{port.number}")
        target = pitr.store.target(wish, run="abc123", drill=False, in_place=False)
        assert all(answer.ok for answer in ask("accounts", pitr.store.restore_questions(target, point.stores[0])) if answer.question != "x")
        pitr.restore(point, target)
        yield pitr, point.stores[0], target
        port.release()

    def query(self, pitr: PitrSetting, target: Target, statement: str) -> Any:
        """As a product would, over the network, with the original's password."""
        server = pitr.source.server
        with psycopg.connect(server.dsn(DATABASE).replace(f":{server.port}/", f":{target.port}/"), connect_timeout=5) as session:
            ((value,),) = session.execute(statement.encode()).fetchall()
            return value

    def test_there_and_back(self, restored: tuple[PitrSetting, StoreBackup, Target]) -> None:
        pitr, backup, target = restored
        pitr.store.put_back(backup, target)  # nothing was placed
        with pytest.raises(psycopg.OperationalError):
            self.query(pitr, target, COUNT)
        for _ in range(2):
            pitr.store.place(backup, target)
            assert self.query(pitr, target, COUNT) == pitr.source.execute(COUNT)[0][0]
        for _ in range(2):
            pitr.store.put_back(backup, target)
            assert not Path(target.final).exists()
            assert pitr.ask(backup, target, COUNT) > 0
            with pytest.raises(psycopg.OperationalError):
                self.query(pitr, target, COUNT)
        pitr.store.place(backup, target)
        pitr.store.discard(target)  # the run's teardown
        assert [path.name for path in pitr.folder.iterdir()] == ["accounts_restored_abc123"]
        timeline = self.query(pitr, target, "SELECT timeline_id FROM pg_control_checkpoint()")
        assert timeline == 2, "a timeline of its own: its WAL can never be taken for the original's"

    def test_what_is_in_its_way(self, restored: tuple[PitrSetting, StoreBackup, Target], monkeypatch: pytest.MonkeyPatch) -> None:
        """Another worker, a restart of the machine, and somebody who took its name."""
        pitr, backup, target = restored
        here = socket.gethostname()
        with monkeypatch.context() as patch:
            patch.setattr(socket, "gethostname", lambda: "elsewhere")
            for act in (
                lambda: pitr.store.place(backup, target), lambda: pitr.store.discard(target), lambda: pitr.ask(backup, target, COUNT),
                lambda: pitr.store.put_back(backup, target),
            ):  # fmt: skip
                with pytest.raises(StoreUnreachableError, match=f"on worker {here}, and this is elsewhere"):
                    act()
        cluster.kill_all_in(Path(target.working, cluster.DATA))
        assert pitr.ask(backup, target, COUNT) > 0
        Path(target.final).mkdir()
        with pytest.raises(TargetExistsError, match="appeared"):
            pitr.store.place(backup, target)
        pitr.store.put_back(backup, target)
        assert Path(target.final).is_dir()
        assert pitr.ask(backup, target, COUNT) > 0

    @pytest.mark.long
    def test_killed_between_any_two_steps(self, restored: tuple[PitrSetting, StoreBackup, Target], monkeypatch: pytest.MonkeyPatch) -> None:
        """Of placing, and of putting back; either is begun again then, or undone."""
        pitr, backup, target = restored

        class Killed(BaseException):
            pass

        def kill(*_: object, **__: object) -> None:
            raise Killed

        for name, owner in (("rename", Path), ("start", cluster.Cluster), ("stop", cluster.Cluster), ("write_config", None)):
            for act, undo in ((pitr.store.place, pitr.store.put_back), (pitr.store.put_back, pitr.store.place)):
                with monkeypatch.context() as patch, suppress(Killed):
                    patch.setattr(
                        f"midtime.stores.postgresql_pitr.servers.{name}"
                        if owner is None
                        else f"{owner.__module__}.{owner.__name__}.{name}",
                        kill,
                    )
                    act(backup, target)
                act(backup, target)
                undo(backup, target)
        pitr.store.place(backup, target)
        assert self.query(pitr, target, COUNT) > 0


class TestKilled:
    def child(self, pitr: PitrSetting, what: str, tmp_path: Path, **environment: str) -> subprocess.Popen[str]:
        said = {"MIDTIME_TEST_TOPOLOGY": json.dumps(pitr.topology.model_dump(mode="json", exclude_unset=True)), **environment}
        with (tmp_path / "stderr").open("w") as stderr:
            command = [sys.executable, "-m", "tests.integration.pitr_once", what]
            child = subprocess.Popen(command, env={**os.environ, **said}, stdout=subprocess.PIPE, stderr=stderr, text=True)
        assert child.stdout
        assert any("reached" in line for line in child.stdout), (tmp_path / "stderr").read_text()
        return child

    def end(self, child: subprocess.Popen[str]) -> None:
        child.kill()
        child.communicate()

    def test_while_a_base_is_taken(self, pitr: PitrSetting, tmp_path: Path) -> None:
        child = self.child(pitr, "backup", tmp_path)
        assert pitr.source.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'") == [(1,)]
        self.end(child)
        (half,) = pitr.store.bases.folders()
        assert pitr.store.bases.newest() is None
        poll(
            "the base backup to end",
            lambda: not pitr.source.execute("SELECT FROM pg_stat_activity WHERE backend_type = 'walsender'") or None,
            30,
        )
        assert sweep_half_written_bases(pitr.catalog) == [f"accounts/{half}"]
        assert pitr.store.bases.folders() == []
        assert pitr.back_up().stores[0].details["base"]["id"] != half

    def test_while_it_recovers(self, pitr: PitrSetting, tmp_path: Path) -> None:
        point, target = pitr.back_up(), pitr.target()
        pitr.source.settle()
        note = tmp_path / "backup.json"
        note.write_text(point.stores[0].model_dump_json())
        data = Path(target.working, cluster.DATA)
        environment = {"MIDTIME_TEST_BACKUP": str(note), "MIDTIME_TEST_TARGET": json.dumps(target.to_dict())}
        child = self.child(pitr, "restore", tmp_path, **environment)
        poll("a server", lambda: cluster.server_in(data), 20)
        self.end(child)
        poll("nothing of it to be left", lambda: not cluster.processes_in(data) or None, 20)
        assert data.exists()
        pitr.restore(point, target)  # begins afresh
        assert pitr.ask(point.stores[0], target, COUNT) > 0
        for _ in range(2):
            pitr.store.discard(target)
        assert list(pitr.folder.iterdir()) == []
        assert cluster.processes_in(data) == []

    def test_discarding_touches_nobody_elses_server(self, pitr: PitrSetting) -> None:
        """A process id is somebody else's by now: here it is the original's."""
        target = pitr.target()
        data = Path(target.working, cluster.DATA)
        data.mkdir(parents=True)
        (data / "postmaster.pid").write_text((pitr.source.server.data_dir / "postmaster.pid").read_text())
        assert cluster.server_in(data) is None
        pitr.store.discard(target)
        assert pitr.source.execute("SELECT 1") == [(1,)]
        with pytest.raises(TargetExistsError, match="no working name"):
            pitr.store.discard(Target("accounts", "accounts_db", str(pitr.source.server.data_dir), "x"))

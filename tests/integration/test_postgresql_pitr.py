"""A real PostgreSQL restored to exactly the restore point that was made in the window, from real base backups and a real WAL archive."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from midtime.catalog import objects
from midtime.errors import (
    ArtifactError,
    CopyError,
    RestoreFailedError,
)
from midtime.model.restore_point import RestorePoint
from midtime.stores.fences import Fence
from midtime.stores.postgresql_pitr import cluster
from midtime.stores.postgresql_pitr.capture import ArmedPoint, Point
from midtime.stores.postgresql_pitr.wal import Span
from midtime.verification import verify
from tests.answers import refusal
from tests.integration.pitr_setting import COUNT, DATABASE, Archiving, PitrSetting, bases, moved, segments
from tests.stack.processes import poll

pytestmark = pytest.mark.integration


DEAD = {"archive_mode": "off", "archive_timeout": "0", "listen_addresses": "", "max_logical_replication_workers": "0", "ssl": "off"}


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

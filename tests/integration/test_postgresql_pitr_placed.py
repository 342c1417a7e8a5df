"""A server restored to a point, put in place and back again, whoever is killed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from midtime.catalog.old_bases import sweep_half_written_bases
from midtime.errors import (
    StoreUnreachableError,
    TargetExistsError,
)
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Target, ask
from midtime.stores.postgresql_pitr import cluster
from tests.integration.pitr_setting import COUNT, DATABASE, PitrSetting
from tests.stack.processes import Port, poll

pytestmark = pytest.mark.integration


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

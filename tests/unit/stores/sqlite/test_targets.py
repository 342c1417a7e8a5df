"""What a person wrote, and which files it means."""

from __future__ import annotations

from pathlib import Path

import pytest

from midtime.errors import RequestError, StoreAccessError
from midtime.model.topology import Target as TargetWish
from tests.answers import refusal
from tests.unit.stores.sqlite.setting import SqliteSetting, make_database, setting_of

WORKING = "midtime_tmp_abc123_bc62_accounts"


def files(
    setting: SqliteSetting, wish: TargetWish | None = None, *, drill: bool = False, in_place: bool = False
) -> tuple[str, str, str | None]:
    target = setting.store.target(wish, run="abc123", drill=drill, in_place=in_place)
    return target.working, target.final, target.aside


def test_beside_the_original(wal: SqliteSetting) -> None:
    folder = wal.path.parent
    assert files(wal) == (f"{folder}/{WORKING}.db", f"{folder}/bank_restored_abc123.db", None)
    assert files(wal, drill=True) == (f"{folder}/{WORKING}.db",) * 2 + (None,)
    assert files(wal, in_place=True) == (f"{folder}/{WORKING}.db", str(wal.path), f"{folder}/bank_before_abc123.db")


@pytest.mark.parametrize("key", ["to", "path"])
def test_to_a_file_or_a_folder(wal: SqliteSetting, tmp_path: Path, key: str) -> None:
    there = tmp_path / "there"
    there.mkdir()
    wish = TargetWish.model_validate({key: f"{there}/copy.sqlite"})
    assert files(wal, wish) == (f"{there}/{WORKING}.sqlite", f"{there}/copy.sqlite", None)
    assert files(wal, wish, drill=True) == (f"{there}/{WORKING}.sqlite",) * 2 + (None,)
    assert files(wal, wish, in_place=True) == (f"{there}/{WORKING}.sqlite", f"{there}/copy.sqlite", f"{there}/copy_before_abc123.sqlite")
    wish = TargetWish.model_validate({key: str(there)})
    assert files(wal, wish) == (f"{there}/{WORKING}.db", f"{there}/bank_restored_abc123.db", None)
    assert files(wal, wish, drill=True)[0] == f"{there}/{WORKING}.db"


def test_to_another_folder_for_real(wal: SqliteSetting, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    manifest, target = wal.restored(wish=TargetWish(to=str(tmp_path / "there")))
    assert wal.look(manifest, target).good
    wal.store.place(manifest.stores[0], target)
    assert Path(target.final).parent == tmp_path / "there"


def test_to_the_file_of_a_connection(wal: SqliteSetting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", "sqlite:///srv/other.db")
    target = wal.store.target(TargetWish(to="other"), run="abc123", drill=False, in_place=False)
    assert (target.conn_id, target.final) == ("other", "/srv/other.db")
    assert wal.store.target(TargetWish(conn_id="other"), run="abc123", drill=True, in_place=False).working == f"/srv/{WORKING}.db"


@pytest.mark.parametrize("drill", [True, False])
@pytest.mark.parametrize("to", ["copy.db", "misspelt", "a/b.db", "~/copy.db"])
def test_a_relative_name_becomes_no_file(wal: SqliteSetting, to: str, drill: bool) -> None:
    with pytest.raises(RequestError, match="neither an Airflow connection nor an absolute path") as caught:
        files(wal, TargetWish(to=to), drill=drill)
    assert f"/folder/{to}" in caught.value.fix


def test_a_link_is_followed(wal: SqliteSetting, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(wal.path)
    assert files(setting_of(tmp_path, tmp_path / "link.db"), in_place=True)[1] == str(wal.path)
    assert files(wal, TargetWish(to=str(tmp_path / "link.db")), in_place=True)[1] == str(wal.path)


def test_long_names_are_cut_and_not_their_ends(wal: SqliteSetting, tmp_path: Path) -> None:
    long = setting_of(tmp_path, make_database(wal.path.parent / ("ü" * 120 + ".db")))
    for name in map(Path, filter(None, files(long, in_place=True) + files(long))):
        assert len(f"{name.name}-journal".encode()) <= 255
        assert name.suffix == ".db"
    assert files(long)[1].endswith("_restored_abc123.db")


class TestConnections:
    @pytest.mark.parametrize(
        "text",
        [
            '{{"conn_type": "sqlite", "host": "{path}"}}',
            '{{"conn_type": "sqlite", "host": "{path}", "schema": "main"}}',
            '{{"conn_type": "sqlite", "schema": "{path}"}}',
            "sqlite://{path}",
            "sqlite:///{path}",
            "sqlite://{quoted}",
            "sqlite://{path}?mode=ro",
        ],
    )
    def test_every_way_to_write_an_absolute_path(
        self, wal: SqliteSetting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        written = text.format(path=wal.path, quoted=str(wal.path).replace("/", "%2F"))
        monkeypatch.setenv("AIRFLOW_CONN_BANK_DB", written)
        setting = setting_of(tmp_path, wal.path, store={"path": None, "conn_id": "bank_db"})
        manifest, target = setting.restored()
        assert target.conn_id == "bank_db"
        assert setting.look(manifest, target).good

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("sqlite://relative/path.db", "names relative/path.db, no absolute path"),
            ("sqlite://", "names nothing, no absolute path"),
            ('{"conn_type": "sqlite", "host": ":memory:"}', "names :memory:, no absolute path"),
            ("postgres://host/db", "is of type postgres"),
            (None, "there is no Airflow connection 'bank_db'"),
        ],
    )
    def test_what_is_no_path(
        self, wal: SqliteSetting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, said: str
    ) -> None:
        if text:
            monkeypatch.setenv("AIRFLOW_CONN_BANK_DB", text)
        setting = setting_of(tmp_path, wal.path, store={"path": None, "conn_id": "bank_db"})
        error = refusal(setting.store.questions())
        assert isinstance(error, StoreAccessError)
        assert said in error.message

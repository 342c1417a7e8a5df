"""What a person writes of the server that is restored into."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from midtime.errors import RequestError, StagingSpaceError, StoreAccessError, TargetExistsError
from midtime.model.topology import Target as TargetWish
from midtime.stores.base import Target
from midtime.stores.naming import WORKING_PREFIX
from midtime.stores.postgresql_pitr.targets import require_names, room_in, target_of, what_it_will_be


def target(wish: TargetWish | None, *, drill: bool = False, in_place: bool = False) -> Target:
    return target_of("accounts", "accounts_db", wish, run="abc123", drill=drill, in_place=in_place)


@pytest.mark.parametrize(
    "wish",
    [
        TargetWish(to="/srv/pg:5433"),
        TargetWish(to="/srv/pg/:5433"),
        TargetWish(to="/srv/pg", port=5433),
        TargetWish(data_dir="/srv/pg", port=5433),
        TargetWish(data_dir="/srv/pg/", port=5433),
    ],
)
def test_a_folder_and_a_port(wish: TargetWish) -> None:
    found = target(wish)
    assert found.port == 5433
    assert found.final == "/srv/pg/accounts_restored_abc123"
    assert Path(found.working).parent == Path("/srv/pg")
    assert Path(found.working).name.startswith(f"{WORKING_PREFIX}abc123_")
    assert Target.from_dict(found.to_dict()) == found


def test_a_drill_needs_no_port_and_has_no_other_name() -> None:
    found = target(TargetWish(data_dir="/srv/pg"), drill=True)
    assert found.final == found.working
    assert found.port is None


@pytest.mark.parametrize(
    "wish",
    [None, TargetWish(port=5433), TargetWish(to="drill_pg"), TargetWish(to="relative/path:5433"), TargetWish(to="/srv/pg"),
     TargetWish(to="/srv/pg:0"), TargetWish(to="/srv/pg:65536"), TargetWish(data_dir="/srv/pg", database="x", port=1)],
)  # fmt: skip
def test_what_cannot_be_meant(wish: TargetWish | None) -> None:
    with pytest.raises(RequestError) as caught:
        target(wish)
    assert caught.value.fix


def test_never_in_place() -> None:
    with pytest.raises(RequestError, match="does not replace it in place"):
        target(TargetWish(to="/srv/pg:5433"), in_place=True)


def test_two_runs_and_two_stores_have_folders_of_their_own() -> None:
    wish = TargetWish(to="/srv/pg:5433")
    found = {
        target_of(store, "c", wish, run=run, drill=False, in_place=False).working
        for store in ("a-b", "a_b", "a" * 63)
        for run in ("abc123", "abc124")
    }
    assert len(found) == 6


@pytest.mark.parametrize("folder", ["/srv/" + "x" * 60, "/srv/it's", '/srv/"pg"', "/srv/$HOME"])
def test_a_folder_that_no_socket_or_file_can_name(folder: str) -> None:
    with pytest.raises(StoreAccessError):
        require_names(target(TargetWish(data_dir=folder, port=5433)))


class TestWhatItWillBe:
    def test_new(self, tmp_path: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        assert what_it_will_be(target(TargetWish(data_dir=str(tmp_path), port=port))).startswith("a new server in ")

    def test_not_where_something_is(self, tmp_path: Path) -> None:
        wanted = target(TargetWish(data_dir=str(tmp_path), port=5433))
        Path(wanted.final).mkdir()
        with pytest.raises(TargetExistsError, match="exists already"):
            what_it_will_be(wanted)

    def test_not_on_somebody_elses_port(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(TargetExistsError, match="is taken"):
                what_it_will_be(target(TargetWish(data_dir=str(tmp_path), port=taken.getsockname()[1])))

    def test_a_drill_takes_no_port(self, tmp_path: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            wish = TargetWish(data_dir=str(tmp_path), port=taken.getsockname()[1])
            assert "without a network address" in what_it_will_be(target(wish, drill=True))


def test_room(tmp_path: Path) -> None:
    wanted = target(TargetWish(data_dir=str(tmp_path), port=5433))
    assert "free in" in room_in(wanted, 1)
    with pytest.raises(StagingSpaceError, match="are needed"):
        room_in(wanted, 1 << 60)

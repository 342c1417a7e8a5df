"""`midtime recover`: from a destination alone to the files that were lost; nothing that is there is overwritten."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from midtime.catalog import Catalog, objects
from midtime.catalog.recovery import catalogs_at
from midtime.cli.main import main
from midtime.cli.recover_screen import command
from midtime.errors import CatalogError, RequestError
from midtime.model.topology import NeededConnection, load_topology, written
from tests.unit.builders import days_later, topology
from tests.unit.cli.conftest import Midtime, publish


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "recovered"


def lost(destination: str, name: str = "bank", *, days: int = 2, kept: bool = True, says: str = "") -> Catalog:
    """A destination with restore points, and no file anywhere."""
    catalog = Catalog(destination, name)
    text = says or written(topology(destination=destination, name=name, drill={"targets": {"accounts": "drill_pg"}}))
    publish(catalog, *(days_later(day, topology=name, topology_file=text if kept else None) for day in range(days)))
    return catalog


def test_every_topology_of_a_destination(midtime: Midtime, destination: str, into: Path) -> None:
    for name in ("bank", "loans"):
        lost(destination, name)
    answer = midtime("recover", destination, "--into", str(into), "--json")
    assert answer.good
    assert [each["topology"] for each in answer.json["topologies"]] == ["bank", "loans"]
    for name in ("bank", "loans"):
        assert (
            load_topology(into / f"{name}.yaml").digest
            == topology(destination=destination, name=name, drill={"targets": {"accounts": "drill_pg"}}).digest
        )
    first = answer.json["topologies"][0]
    assert [each["id"] for each in first["restore_points"]] == [days_later(1).id, days_later(0).id]
    assert (first["outcome"], first["taken_from"], first["restore_point_count"]) == ("written", days_later(1).id, 2)
    assert [(each["conn_id"], each["conn_type"]) for each in first["connections"]] == [
        ("accounts_db", "postgres"),
        ("drill_pg", "postgres"),
    ]


def test_what_a_person_reads(midtime: Midtime, destination: str, into: Path) -> None:
    lost(destination, days=7)
    text = midtime("recover", destination, "--into", str(into)).text
    assert "bank: 7 restore points, the newest 5 are shown" in text
    assert f"✓ {into}/bank.yaml written, from {days_later(6).id}: read it before you use it" in text
    assert "airflow connections add accounts_db --conn-type postgres --conn-host HOST" in text
    assert f"export MIDTIME_TOPOLOGIES={into}" in text


def test_a_second_time_nothing_changes(midtime: Midtime, destination: str, into: Path) -> None:
    lost(destination)
    midtime("recover", destination, "--into", str(into))
    before = (into / "bank.yaml").read_text()
    answer = midtime("recover", destination, "--into", str(into))
    assert answer.good
    assert "is there already and says the same" in answer.text
    assert (into / "bank.yaml").read_text() == before


@pytest.mark.parametrize("name", ["bank.yaml", "another-name.yaml"])
def test_the_same_with_comments_is_the_same(midtime: Midtime, destination: str, into: Path, name: str) -> None:
    """The file of the repository was saved: it is the better one, whatever it is called, and it stays."""
    catalog = lost(destination)
    into.mkdir()
    mine = f"# why we do it so\n{catalog.resolve('latest').topology_file}"
    (into / name).write_text(mine)
    answer = midtime("recover", destination, "--into", str(into), "--json")
    assert (answer.good, answer.json["topologies"][0]["outcome"]) == (True, "there already")
    assert [path.name for path in into.iterdir()] == [name]
    assert (into / name).read_text() == mine


@pytest.mark.parametrize("content", ["name: [", "", written(topology(schedule="1 2 * * *"))])
def test_another_file_is_never_overwritten(midtime: Midtime, destination: str, into: Path, content: str) -> None:
    lost(destination)
    into.mkdir()
    (into / "bank.yaml").write_text(content)
    answer = midtime("recover", destination, "--into", str(into))
    assert not answer.good
    assert "is there and says something else: it was not touched" in answer.text
    assert (into / "bank.yaml").read_text() == content


def test_the_newest_that_can_be_believed(midtime: Midtime, destination: str, into: Path) -> None:
    """The newest manifest was edited; the one before it is invalid, but its manifest is sealed and tells the truth."""
    catalog = lost(destination, days=3)
    manifest = Path(catalog.folder(days_later(2).id).path) / "manifest.json"
    manifest.write_text(manifest.read_text().replace("accounts_db", "attackers"))
    catalog.invalidate(days_later(1).id, "an artifact is gone")
    answer = midtime("recover", destination, "--into", str(into), "--json")
    assert answer.json["topologies"][0]["taken_from"] == days_later(1).id
    assert load_topology(into / "bank.yaml").stores[0].name == "accounts"
    assert [each["state"] for each in answer.json["topologies"][0]["restore_points"]] == ["INVALID", "INVALID", "RESTORABLE"]


def test_manifests_of_before_there_was_a_topology_in_them(midtime: Midtime, destination: str, into: Path) -> None:
    lost(destination, kept=False)
    answer = midtime("recover", destination, "--into", str(into))
    assert not answer.good
    assert "kept no topology file: write it by hand" in answer.text
    assert not into.exists()


def test_an_older_one_of_such_and_a_newer_one(midtime: Midtime, destination: str, into: Path) -> None:
    lost(destination, days=1)
    publish(Catalog(destination, "bank"), days_later(5))
    assert midtime("recover", destination, "--into", str(into), "--json").json["topologies"][0]["taken_from"] == days_later(0).id


def test_what_this_version_does_not_accept(midtime: Midtime, destination: str, into: Path) -> None:
    """Written all the same: to correct a file is easier than to remember it."""
    lost(destination, says="name: bank\ncolour: red\n")
    answer = midtime("recover", destination, "--into", str(into))
    assert not answer.good
    assert "is to be corrected" in answer.text
    assert "colour" in answer.text
    assert (into / "bank.yaml").read_text().endswith("name: bank\ncolour: red\n")


def test_a_destination_that_was_copied_elsewhere(midtime: Midtime, destination: str, into: Path, tmp_path: Path) -> None:
    """The bucket is lost with everything else, its replica is not: the files have to lead there."""
    lost(destination)
    shutil.move(tmp_path / "destination", tmp_path / "replica")
    replica = f"file://{tmp_path}/replica"
    answer = midtime("recover", f"{replica}/", "--into", str(into))
    assert answer.good
    assert f"its destination was {destination}; the file says {replica}" in answer.text
    assert load_topology(into / "bank.yaml").destination == replica


def test_who_still_holds_a_lease(midtime: Midtime, destination: str, into: Path) -> None:
    leases = lost(destination).leases
    leases.acquire("backup", "bank__backup/the last one")
    leases.acquire("drill-000000", "bank__drill/over")
    leases.release("drill-000000", "bank__drill/over")
    answer = midtime("recover", destination, "--into", str(into))
    assert "bank__backup/the last one holds 'backup' until " in answer.text
    assert "drill-000000" not in answer.text


def test_a_lease_that_cannot_be_read(midtime: Midtime, destination: str, into: Path) -> None:
    """The files are what is needed most; who holds what can be looked at later."""
    lost(destination, "loans")
    leases = lost(destination).leases
    objects.create(leases.folder / "backup.1.json", b"")
    leases.acquire("drill-000000", "bank__drill/going on")
    answer = midtime("recover", destination, "--into", str(into))
    assert answer.good
    assert "somebody may hold 'backup': lease file" in " ".join(answer.text.split())
    assert "bank__drill/going on holds 'drill-000000'" in answer.text
    assert sorted(path.name for path in into.iterdir()) == ["bank.yaml", "loans.yaml"]


def test_the_file_of_another_topology(midtime: Midtime, destination: str, into: Path) -> None:
    lost(destination, says=written(topology(destination=destination, name="loans")))
    answer = midtime("recover", destination, "--into", str(into))
    assert not answer.good
    assert "the file of another topology, loans: it is not written" in " ".join(answer.text.split())
    assert not into.exists()


@pytest.mark.parametrize("name", ["../x", "..", "/tmp/x", "a/../../x", "bank\n"])
def test_no_folder_s_name_leads_elsewhere(destination: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """An object's key may hold whatever its writer wished."""
    lost(destination)
    real = objects.names
    monkeypatch.setattr(objects, "names", lambda path: [*real(path), name] if str(path).rstrip("/") == destination else real(path))
    assert [each.topology for each in catalogs_at(destination)] == ["bank"]


@pytest.mark.parametrize("name", ["../x", "/tmp/x"])
def test_no_file_s_name_leads_elsewhere(midtime: Midtime, destination: str, into: Path, name: str) -> None:
    lost(destination, says=written(topology(destination=destination)).replace("name: bank", f"name: {name}"))
    assert not midtime("recover", destination, "--into", str(into)).good
    assert [path.name for path in into.iterdir()] == ["bank.yaml"]


def test_lines_for_a_shell_hold_nothing_that_it_would_do(midtime: Midtime, destination: str, tmp_path: Path) -> None:
    """Who may write to the bucket must not thereby write commands for whoever recovers from it."""
    says = topology(
        destination=destination,
        drill={"targets": {"accounts": "x; touch /tmp/pwned #"}},
        notifications={"on_failure": [{"notifier": "a.b.C", "args": {"smtp_conn_id": "$(touch /tmp/pwned)", "http_conn_id": "mail"}}]},
    )
    lost(destination, says=written(says))
    answer = midtime("recover", destination, "--into", str(tmp_path / "a b; c"))
    lines = [line for line in answer.text.splitlines() if line.startswith("airflow ")]
    assert [shlex.split(line)[3] for line in lines] == ["accounts_db", "mail"]
    assert "pwned" not in "".join(lines)
    assert "'$(touch /tmp/pwned)' (notifications) cannot be the name of a connection" in " ".join(answer.text.split())
    assert f"export MIDTIME_TOPOLOGIES='{tmp_path}/a b; c'; midtime check" in answer.text


def test_every_word_from_a_file_is_one_word() -> None:
    words = shlex.split(command(NeededConnection("a; b", "$(c)", "store accounts")))
    assert (words[3], words[5]) == ("a; b", "$(c)")


def test_strangers_at_the_destination(midtime: Midtime, destination: str, into: Path, tmp_path: Path) -> None:
    lost(destination)
    for name in ("lost+found", ".snapshot", "Bank", "empty", "reports"):
        (tmp_path / "destination" / name).mkdir()
    (tmp_path / "destination" / "reports" / "20261121T020007Z").mkdir()
    (tmp_path / "destination" / "readme").write_text("x")
    assert [each["topology"] for each in midtime("recover", destination, "--into", str(into), "--json").json["topologies"]] == ["bank"]


def test_nothing_there(midtime: Midtime, destination: str, into: Path) -> None:
    with pytest.raises(CatalogError, match="there are no restore points at"):
        midtime("recover", destination, "--into", str(into))


def test_one_folder_too_deep(midtime: Midtime, destination: str, into: Path) -> None:
    lost(destination)
    with pytest.raises(CatalogError) as caught:
        midtime("recover", f"{destination}/bank", "--into", str(into))
    assert "give the folder above" in caught.value.fix


@pytest.mark.parametrize("url", ["/var/lib/midtime", "file://relative", "nonsense", "s3://", "file:///x/../y"])
def test_no_url(url: str, into: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["recover", url, "--into", str(into)])
    assert caught.value.code == 2


def test_a_folder_that_cannot_be_made(midtime: Midtime, destination: str, tmp_path: Path) -> None:
    lost(destination)
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="cannot write"):
        midtime("recover", destination, "--into", str(tmp_path / "file" / "below"))


@pytest.mark.parametrize("conn_type", ["postgres", "mysql", "aws", "ssh", "kubernetes", "sqlite", "cassandra", "azure", "wasb", "generic"])
def test_a_line_to_be_edited(conn_type: str) -> None:
    """The real command accepts it, and it holds no secret."""
    words = shlex.split(command(NeededConnection("some_id", conn_type, "store accounts")))
    assert words[:5] == ["airflow", "connections", "add", "some_id", "--conn-type"]
    from airflow.cli.cli_parser import get_parser

    parsed = get_parser().parse_args(words[1:])
    assert (parsed.conn_id, parsed.conn_type) == ("some_id", conn_type)
    assert parsed.conn_password in (None, "$PASSWORD")

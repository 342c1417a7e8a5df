"""MariaDB's and Oracle's clients: told apart by what they say of themselves, never older than the server, and told nothing secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from midtime.errors import ToolError
from midtime.stores.mysql import tools
from midtime.stores.mysql.connections import Login
from midtime.stores.mysql.tools import Clients, dump_command, environment, find_clients, restore_command
from tests.unit.stores.test_processes import script

SAID = {
    "mariadb-dump from 11.4.5-MariaDB, client 10.19 for linux-systemd (x86_64)": ("mariadb-dump", (11, 4, 5)),
    "mariadb-dump  Ver 10.19 Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)": ("mariadb-dump", (10, 11, 6)),
    "mysqldump  Ver 10.19 Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)": ("mariadb-dump", (10, 11, 6)),
    "mysqldump from 11.4.5-MariaDB, client 10.19 for linux-systemd (x86_64)": ("mariadb-dump", (11, 4, 5)),
    "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)": ("mysqldump", (8, 0, 36)),
    "mysqldump  Ver 8.0.36-28 for Linux on x86_64 (Percona Server (GPL), Release 28, Revision 47601f19)": ("mysqldump", (8, 0, 36)),
    "mysqldump  Ver 8.4.3 for macos14 on arm64 (Homebrew)": ("mysqldump", (8, 4, 3)),
    "mysqldump  Ver 9.1.0 for Linux on aarch64 (MySQL Community Server - GPL)": ("mysqldump", (9, 1, 0)),
    "mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)": ("mysqldump", (5, 7, 44)),
}
MARIADB_10_11 = "mysqldump  Ver 10.19 Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)"
MYSQL_8 = "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)"


def install(folder: Path, said: str, *, dump: str = "mysqldump", clients: tuple[str, ...] = ("mysql", "mariadb")) -> Path:
    for name in (dump, *clients):
        script(folder / name, f'echo "{said}"')
    return folder


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client tools but those of the test."""
    monkeypatch.setattr(tools, "_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nowhere")


@pytest.mark.parametrize("said", SAID)
def test_family_and_version(tmp_path: Path, said: str) -> None:
    family, version = SAID[said]
    name = said.split()[0]
    found = find_clients(mariadb=family == "mariadb-dump", server=version[:2], folder=str(install(tmp_path, said, dump=name)))
    assert (found.family, found.version) == (family, version)
    assert found.dump == tmp_path / name
    assert found.client.name == ("mariadb" if family == "mariadb-dump" else "mysql")
    newer = (version[0], version[1] + 1)
    with pytest.raises(ToolError, match=f"is {family} {version[0]}"):
        find_clients(mariadb=family == "mariadb-dump", server=newer, folder=str(tmp_path))


def test_a_server_s_own_family_is_the_default(tmp_path: Path) -> None:
    """MariaDB's package brings a file called mysqldump; MySQL's JSON and character sets are not its own."""
    install(tmp_path, MARIADB_10_11)
    with pytest.raises(ToolError, match="is not mysqldump") as caught:
        find_clients(mariadb=False, server=(8, 0), folder=str(tmp_path))
    assert "mysql-client" in caught.value.fix
    assert find_clients(mariadb=True, server=(10, 11), folder=str(tmp_path)).family == "mariadb-dump"


def test_the_other_family_on_request(tmp_path: Path) -> None:
    install(tmp_path, MYSQL_8)
    with pytest.raises(ToolError, match="is not mariadb-dump"):
        find_clients(mariadb=True, server=(10, 11), folder=str(tmp_path))
    assert find_clients(mariadb=True, server=(10, 11), wanted="mysqldump", folder=str(tmp_path)).family == "mysqldump"


def test_what_does_not_fit_hides_nothing_that_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "broken" / "mariadb-dump", "").write_bytes(b"\x7fELF")
    install(tmp_path / "garbage", "who knows", dump="mariadb-dump")
    install(tmp_path / "alone", "mariadb-dump from 11.4.5-MariaDB", dump="mariadb-dump", clients=())
    install(tmp_path / "old", MARIADB_10_11.replace("10.11", "10.6"))
    install(tmp_path / "mysql", MYSQL_8)
    folders = ["broken", "garbage", "alone", "old", "mysql"]
    monkeypatch.setenv("PATH", ":".join(f"{tmp_path}/{each}" for each in folders))
    with pytest.raises(ToolError) as caught:
        find_clients(mariadb=True, server=(10, 11))
    assert all(f"{tmp_path}/{each}/" in caught.value.message for each in folders), "each with its reason"
    monkeypatch.setenv("PATH", ":".join([*(f"{tmp_path}/{each}" for each in folders), str(install(tmp_path / "good", MARIADB_10_11))]))
    assert find_clients(mariadb=True, server=(10, 11)).dump == tmp_path / "good" / "mysqldump"


def test_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=f"there is no mariadb-dump in {tmp_path}") as caught:
        find_clients(mariadb=True, server=(11, 4), folder=str(tmp_path))
    assert "mariadb-client" in caught.value.fix
    assert not caught.value.retryable


LOGIN = Login("db.example", 3307, "scott", "tig'er \\ 100%", {})


def clients(family: str = "mariadb-dump") -> Clients:
    return Clients(Path("/bin/dump"), Path("/bin/client"), family, (11, 4, 5))


@pytest.mark.parametrize("family", ["mariadb-dump", "mysqldump"])
def test_what_a_dump_is_told(family: str) -> None:
    argv = list(map(str, dump_command(clients(family), LOGIN, ["bank", "-v"], views=["bank.view"])))
    assert argv[:6] == ["/bin/dump", "--no-defaults", "--user=scott", "--host=db.example", "--port=3307", "--protocol=TCP"]
    assert argv[-4:] == ["--databases", "--", "bank", "-v"]
    assert {"--single-transaction", "--hex-blob", "--complete-insert", "--ignore-table=bank.view"} <= set(argv)
    assert ("--set-gtid-purged=OFF" in argv) == (family == "mysqldump")
    assert not [each for each in (*argv, *map(str, restore_command(clients(family), LOGIN))) if LOGIN.password in each]
    assert environment(LOGIN) == {"MYSQL_PWD": LOGIN.password}


TLS = [
    ({}, "--skip-ssl-verify-server-cert", "--ssl-mode=PREFERRED"),
    ({"ssl_disabled": True}, "--skip-ssl", "--ssl-mode=DISABLED"),
    ({"ssl_ca": "/ca", "ssl_verify_cert": True}, "--ssl-verify-server-cert", "--ssl-mode=VERIFY_CA"),
    ({"ssl_ca": "/ca", "ssl_verify_identity": True}, "--ssl-verify-server-cert", "--ssl-mode=VERIFY_IDENTITY"),
    ({"ssl_verify_identity": True}, "--ssl-verify-server-cert", "--ssl-mode=VERIFY_IDENTITY"),
]


@pytest.mark.parametrize(("extra", "mariadb", "oracle"), TLS)
def test_tls_as_the_driver_has_it(extra: dict[str, object], mariadb: str, oracle: str) -> None:
    login = Login("h", 1, "u", "p", extra)
    for family, wanted in (("mariadb-dump", mariadb), ("mysqldump", oracle)):
        for argv in (dump_command(clients(family), login, ["bank"]), restore_command(clients(family), login)):
            assert [each for each in map(str, argv) if "verify" in each or "ssl-mode" in each or each == "--skip-ssl"] == [wanted]
            assert ("--ssl-ca=/ca" in argv) == ("ssl_ca" in extra)


def test_client_certificates() -> None:
    login = Login("h", 1, "u", "p", {"ssl_cert": "/cert", "ssl_key": "/key"})
    assert {"--ssl-cert=/cert", "--ssl-key=/key"} <= set(map(str, dump_command(clients(), login, ["bank"])))


def test_a_client_repeats_no_rows_and_runs_nothing() -> None:
    """Only MariaDB's prints a statement that failed, and only it can be told."""
    wanted = {"--loose-skip-print-query-on-error", "--loose-sandbox"}
    assert wanted <= set(map(str, restore_command(clients(), LOGIN)))
    assert not wanted & set(map(str, restore_command(clients("mysqldump"), LOGIN)))

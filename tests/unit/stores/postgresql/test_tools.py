"""pg_dump and pg_restore, played by scripts that fail in every way that real ones were seen to fail."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from midtime.errors import CopyError, MidtimeError, RestoreFailedError, StagingSpaceError, ToolError
from midtime.stores.postgresql import tools
from midtime.stores.postgresql.tools import Clients, DumpRequest, check_complete, choose_compression, dump, find_clients, restore
from tests.unit.processes import alive, until
from tests.unit.stores.test_processes import script

TABLES = (("bank", "accounts"), ("bank", "with blank"), ("Odd Schema", "t"), ("coordinator", "state"))
TOC = """;
; Archive created at 2026-11-21 02:00:07 UTC
;     dbname: bank
;     TOC Entries: 40
;
; Selected TOC Entries:
;
6; 2615 16385 SCHEMA - bank postgres
218; 1259 16386 TABLE bank accounts postgres
3456; 0 16386 TABLE DATA bank accounts postgres
3457; 0 16390 TABLE DATA bank with blank an owner with blanks
3458; 0 16394 TABLE DATA Odd Schema t postgres
3459; 0 16398 TABLE DATA coordinator state postgres
3300; 2606 16402 CONSTRAINT bank accounts accounts_pkey postgres
"""
FILES = ("toc.dat", "3456.dat.gz", "3457.dat.zst", "3458.dat", "3459.dat.lz4")


def install(folder: Path, version: str = "18.6", *, dump: str = "", restore: str = "", pg_restore: bool = True) -> Path:
    """Fake client tools in a folder of their own."""
    for name, body in {"pg_dump": dump, "pg_restore": restore}.items():
        if name == "pg_dump" or pg_restore:
            script(folder / name, f'if [ "$1" = --version ]; then echo "{name} (PostgreSQL) {version}"; exit; fi\n{body}')
    return folder


def clients(folder: Path, *, dump: str = "", restore: str = "") -> Clients:
    return find_clients(180006, folder=str(install(folder, dump=dump, restore=restore)))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client tools but those of the test."""
    monkeypatch.setattr(tools, "FOLDERS", ())
    monkeypatch.setenv("PATH", "/nowhere")


class TestFind:
    def test_the_folder_of_the_topology(self, tmp_path: Path) -> None:
        found = find_clients(180006, folder=str(install(tmp_path)))
        assert found == Clients(tmp_path / "pg_dump", tmp_path / "pg_restore", (18, 6))
        assert found.version_text == "18.6"

    @pytest.mark.parametrize(("server", "fits"), [(140011, True), (180000, True), (180099, True), (190000, False)])
    def test_the_server_must_not_be_newer(self, tmp_path: Path, server: int, fits: bool) -> None:
        install(tmp_path)
        if fits:
            assert find_clients(server, folder=str(tmp_path)).version == (18, 6)
            return
        with pytest.raises(ToolError, match=r"the server is PostgreSQL 19, but .*/pg_dump is version 18 —") as caught:
            find_clients(server, folder=str(tmp_path))
        assert "postgresql-client-19" in caught.value.fix
        assert not caught.value.retryable

    def test_missing(self, tmp_path: Path, elsewhere: None) -> None:
        with pytest.raises(ToolError, match=f"there is no pg_dump in {tmp_path}"):
            find_clients(180006, folder=str(tmp_path))
        with pytest.raises(ToolError, match="there is no pg_dump in PATH") as caught:
            find_clients(180006)
        assert "postgresql-client-18" in caught.value.fix

    def test_no_pg_restore_beside(self, tmp_path: Path) -> None:
        with pytest.raises(ToolError, match="has no pg_restore beside it"):
            find_clients(180006, folder=str(install(tmp_path, pg_restore=False)))

    def test_garbage_version(self, tmp_path: Path) -> None:
        with pytest.raises(ToolError, match=r"printed 'pg_dump .PostgreSQL. who knows', no version"):
            find_clients(180006, folder=str(install(tmp_path, "who knows")))

    def test_what_does_not_fit_hides_nothing_that_does(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Debian's wrapper in /usr/bin stands there also when no version is installed."""
        install(tmp_path / "a", "who knows")
        install(tmp_path / "b", pg_restore=False)
        install(tmp_path / "c", "15.1")
        broken = tmp_path / "d" / "pg_dump"
        script(broken, "").write_bytes(b"\x7fELF")
        monkeypatch.setenv("PATH", ":".join(f"{tmp_path}/{each}" for each in "abcd"))
        monkeypatch.setattr(tools, "FOLDERS", (f"{tmp_path}/versions/*/bin",))
        with pytest.raises(ToolError) as caught:
            find_clients(180006)
        assert all(f"{tmp_path}/{each}/pg_dump" in caught.value.message for each in "abcd"), "each with its reason"
        install(tmp_path / "versions" / "18" / "bin")
        assert find_clients(180006).pg_dump == tmp_path / "versions" / "18" / "bin" / "pg_dump"

    def test_the_first_that_fits(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(
            "PATH", f"{install(tmp_path / 'old', '15.1')}:{install(tmp_path / 'new', '18.1')}:{install(tmp_path / 'newer', '19.1')}"
        )
        assert find_clients(180006).version == (18, 1)
        assert find_clients(150001).version == (15, 1)


NO_FOLDER = 'echo "pg_dump: error: could not create directory \\"/dev/null/midtime\\": Not a directory" >&2; exit 1'


def probe(*refused: str, message: str) -> str:
    """How pg_dump answers the probe of its compression."""
    cases = "\n".join(f'--compress={each}) echo "pg_dump: error: {message}" >&2; exit 1;;' for each in refused)
    return f'case "$2" in\n{cases}\n*) {NO_FOLDER};;\nesac'


LACKS = "this build does not support compression with X"
OLD = 'invalid value \\"x\\" for option -Z/--compress'


class TestCompression:
    @pytest.mark.parametrize(
        ("refused", "message", "chosen"),
        [
            ((), LACKS, "zstd"),
            (("zstd",), LACKS, "lz4"),
            (("zstd", "lz4"), LACKS, "gzip"),
            (("zstd", "lz4", "gzip", "6"), LACKS, "none"),
            (("zstd", "lz4", "gzip", "none"), OLD, "6"),
            (("zstd", "lz4", "gzip", "6", "none"), "requested compression not available in this installation", "0"),
        ],
    )
    def test_auto_takes_the_best_that_both_have(self, tmp_path: Path, refused: tuple[str, ...], message: str, chosen: str) -> None:
        assert choose_compression(clients(tmp_path, dump=probe(*refused, message=message)), "auto") == chosen

    def test_the_probe_leaves_nothing(self, tmp_path: Path) -> None:
        found = clients(tmp_path / "bin", dump=f'echo "$@" >> {tmp_path}/asked\n{NO_FOLDER}')
        choose_compression(found, "auto")
        assert (tmp_path / "asked").read_text().split() == ["-Fd", "--compress=zstd", "-f", "/dev/null/midtime", "-d", "host=/dev/null"]

    @pytest.mark.parametrize("message", [LACKS, OLD, "compression level must be in range 1..22", "--compress: value out of range"])
    def test_what_is_wished_and_lacking(self, tmp_path: Path, message: str) -> None:
        found = clients(tmp_path, dump=probe("zstd:22", message=message))
        with pytest.raises(ToolError, match="cannot compress with zstd:22") as caught:
            choose_compression(found, "zstd:22")
        assert "compression: auto" in caught.value.fix

    def test_what_is_wished_and_there(self, tmp_path: Path) -> None:
        assert choose_compression(clients(tmp_path, dump=probe("zstd", message=LACKS)), "gzip:9") == "gzip:9"

    def test_a_tool_that_needs_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without LD_LIBRARY_PATH it fails for another reason, which must not count as an answer."""
        loader = 'if [ "$LD_LIBRARY_PATH" != /opt/lib ]; then echo "error while loading shared libraries" >&2; exit 127; fi\n'
        found = clients(tmp_path, dump=loader + probe("zstd", message=LACKS), restore=f"{loader}cat {tmp_path}/toc")
        monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/lib")
        assert choose_compression(found, "auto") == "lz4"
        (tmp_path / "toc").write_text("")
        (tmp_path / "dump").mkdir()
        check_complete(found, tmp_path / "dump", ())


class TestDump:
    REQUEST = DumpRequest("00000003-1", 4, "zstd", 2)

    def run(self, tmp_path: Path, body: str, *, env: dict[str, str] | None = None) -> list[str]:
        said: list[str] = []
        dump(clients(tmp_path / "bin", dump=body), self.REQUEST, tmp_path / "dump", env=env or {}, say=said.append)
        return said

    def test_what_it_is_asked_for(self, tmp_path: Path) -> None:
        self.run(tmp_path, f'printf "%s\\n" "$@" > {tmp_path}/argv; echo "$PGPASSWORD" > {tmp_path}/password', env={"PGPASSWORD": "secret"})
        assert (tmp_path / "argv").read_text().split("\n")[:-1] == [
            "--format=directory",
            "--jobs=4",
            "--snapshot=00000003-1",
            "--compress=zstd",
            "--no-password",
            "--verbose",
            "--lock-wait-timeout=10000",
            f"--file={tmp_path}/dump",
        ]
        assert (tmp_path / "password").read_text() == "secret\n"

    def test_progress(self, tmp_path: Path) -> None:
        said = self.run(
            tmp_path,
            'echo "pg_dump: dumping contents of table \\"bank.accounts\\"" >&2; echo chatter; echo "pg_dump: dumping contents of table \\"bank.a b\\"" >&2',
        )
        assert said == ["dumping table 1 of 2: bank.accounts", "dumping table 2 of 2: bank.a b"]

    def test_failed(self, tmp_path: Path) -> None:
        with pytest.raises(CopyError) as caught:
            self.run(tmp_path, 'echo "pg_dump: reading schemas"; echo "pg_dump: error: server closed the connection" >&2; exit 1')
        assert caught.value.message == "pg_dump failed:\npg_dump: error: server closed the connection\n(exit code 1)"
        assert caught.value.retryable

    def test_failed_without_a_telling_line(self, tmp_path: Path) -> None:
        with pytest.raises(CopyError, match=r"pg_dump failed:\n\(exit code 7\)"):
            self.run(tmp_path, "exit 7")

    def test_killed(self, tmp_path: Path) -> None:
        with pytest.raises(CopyError, match="killed by SIGKILL"):
            self.run(tmp_path, 'echo "pg_dump: dumping"; kill -9 $$')

    def test_killed_from_outside(self, tmp_path: Path) -> None:
        pids: list[int] = []

        def say(line: str) -> None:
            pids.append(int(line.rpartition(" ")[2]))
            os.kill(pids[0], 9)

        found = clients(tmp_path / "bin", dump='echo "pg_dump: dumping contents of table \\"$$\\"" >&2; exec sleep 1000')
        with pytest.raises(CopyError, match="killed by SIGKILL"):
            dump(found, self.REQUEST, tmp_path / "dump", env={}, say=say)
        until(lambda: not alive(pids[0]), "gone")

    @pytest.mark.parametrize("said", ["No space left on device", "File too large", "Disk quota exceeded"])
    @pytest.mark.parametrize("code", [1, 137])
    def test_disk_full(self, tmp_path: Path, said: str, code: int) -> None:
        with pytest.raises(StagingSpaceError, match=said) as caught:
            self.run(tmp_path, f'echo "pg_dump: error: could not write to file: {said}" >&2; exit {code}')
        assert "MIDTIME_STAGING" in caught.value.fix
        assert not caught.value.retryable

    def test_disk_full_although_much_is_said_after_it(self, tmp_path: Path) -> None:
        with pytest.raises(StagingSpaceError):
            self.run(tmp_path, 'echo "error: No space left on device" >&2; seq 1 30; exit 1')


class TestRestore:
    ENV = {"PGDATABASE": "midtime_tmp_abcdef_accounts", "PGPASSWORD": "secret"}

    def run(self, tmp_path: Path, body: str, *, owners: bool = True, toc: str = TOC) -> str:
        (tmp_path / "dump").mkdir()
        (tmp_path / "toc").write_text(toc)
        listing = f'if [ "$1" = -l ]; then cat {tmp_path}/toc; exit; fi'
        return restore(clients(tmp_path / "bin", restore=f"{listing}\n{body}"), tmp_path / "dump", jobs=3, owners=owners, env=self.ENV)

    @pytest.mark.parametrize("owners", [True, False])
    def test_what_it_is_asked_for(self, tmp_path: Path, owners: bool) -> None:
        self.run(tmp_path, f'printf "%s\\n" "$@" > {tmp_path}/argv', owners=owners)
        asked = (tmp_path / "argv").read_text().split("\n")[:-1]
        rights = [] if owners else ["--no-owner", "--no-privileges"]
        options = ["--no-password", "--dbname=midtime_tmp_abcdef_accounts", *rights, "--exit-on-error", "--jobs=3"]
        assert asked == [*options, str(tmp_path / "dump")]
        assert "secret" not in " ".join(asked)

    @pytest.mark.parametrize("code", [0, 1])
    def test_what_a_superuser_may_create_comes_last_and_may_fail(self, tmp_path: Path, code: int) -> None:
        """An extension's table of that name is no event trigger."""
        special = [
            "3461; 0 0 COMMENT - EXTENSION hstore ",
            "3462; 3466 16500 EVENT TRIGGER - service_log rdsadmin",
            "3463; 6104 16501 PUBLICATION - everything postgres",
        ]
        plain = ["3464; 3079 16385 EXTENSION - hstore ", "3465; 1259 16386 TABLE bank EVENT TRIGGER - postgres"]
        body = f"""for each in "$@"; do case "$each" in --use-list=*) cp "${{each#--use-list=}}" {tmp_path}/;; esac; done
            case "$*" in *superuser.list*) echo "pg_restore: error: permission denied" >&2; exit {code};; *--exit-on-error*) ;; *) exit 1;; esac"""
        said = self.run(tmp_path, body, toc=TOC + "\n".join([*special, *plain]) + "\n")
        assert ("permission denied" in said) == bool(code)
        assert (tmp_path / "superuser.list").read_text().splitlines() == special
        assert (tmp_path / "everybody.list").read_text().splitlines() == [*TOC.splitlines(), *plain]

    @pytest.mark.parametrize("end", ["exit 1", "kill -9 $$"])
    def test_failed(self, tmp_path: Path, end: str) -> None:
        with pytest.raises(RestoreFailedError, match='pg_restore: error: relation "x" exists') as caught:
            self.run(tmp_path, f"echo 'pg_restore: error: relation \"x\" exists' >&2; {end}")
        assert caught.value.retryable


class TestComplete:
    def check(
        self, tmp_path: Path, *, toc: str = TOC, files: tuple[str, ...] = FILES, tables: tuple[tuple[str, str], ...] = TABLES
    ) -> None:
        folder = tmp_path / "dump"
        folder.mkdir()
        for name in files:
            (folder / name).write_bytes(b"")
        (tmp_path / "toc").write_text(toc)
        found = clients(tmp_path / "bin", restore=f'[ "$1" = -l ] && [ "$2" = {folder} ] && cat {tmp_path}/toc')
        check_complete(found, folder, tables)

    def test_complete(self, tmp_path: Path) -> None:
        self.check(tmp_path)

    def test_no_tables(self, tmp_path: Path) -> None:
        self.check(tmp_path, toc="", files=("toc.dat",), tables=())

    @pytest.mark.parametrize(
        ("number", "name"), [(3456, "bank.accounts"), (3457, "bank.with blank"), (3458, "Odd Schema.t"), (3459, "coordinator.state")]
    )
    @pytest.mark.parametrize("what", ["entry", "file"])
    def test_each_table_is_missed(self, tmp_path: Path, number: int, name: str, what: str) -> None:
        toc = "\n".join(line for line in TOC.splitlines() if what == "file" or not line.startswith(str(number)))
        files = tuple(file for file in FILES if what == "entry" or not file.startswith(str(number)))
        with pytest.raises(CopyError, match=rf"lacks the data of {name} \(1 tables\)") as caught:
            self.check(tmp_path, toc=toc, files=files)
        assert caught.value.retryable

    def test_an_incomplete_table_of_contents(self, tmp_path: Path) -> None:
        with pytest.raises(CopyError, match=r"\(3 tables\)"):
            self.check(tmp_path, toc=TOC[: TOC.index("3457;")])

    @pytest.mark.parametrize("toc", ["", ";\n;\n", "garbage\n"])
    def test_an_empty_one(self, tmp_path: Path, toc: str) -> None:
        with pytest.raises(CopyError, match=r"lacks the data of bank.accounts, .* \(4 tables\)"):
            self.check(tmp_path, toc=toc)

    def test_a_table_alone_is_not_its_data(self, tmp_path: Path) -> None:
        with pytest.raises(CopyError, match=r"bank\.accounts \(1"):
            self.check(tmp_path, toc=TOC.replace("3456; 0 16386 TABLE DATA", "3456; 0 16386 TABLE"))

    def test_a_name_is_not_its_beginning(self, tmp_path: Path) -> None:
        with pytest.raises(CopyError, match=r"bank\.accounts \(1"):
            self.check(tmp_path, toc=TOC.replace("DATA bank accounts", "DATA bank accounts2"))

    def test_a_name_with_blanks_does_not_pass_for_another(self, tmp_path: Path) -> None:
        """`bank.with`, whose data is missing, looks like the beginning of `bank.with blank`."""
        with pytest.raises(CopyError, match="holds the data of 4 tables, the snapshot shows 5"):
            self.check(tmp_path, tables=(*TABLES, ("bank", "with")))

    def test_unreadable(self, tmp_path: Path) -> None:
        found = clients(tmp_path / "bin", restore='echo "pg_restore: error: could not read from input file" >&2; exit 1')
        with pytest.raises(CopyError, match="pg_restore cannot list the dump: pg_restore: error: could not read"):
            check_complete(found, tmp_path, TABLES)

    def test_listing_killed(self, tmp_path: Path) -> None:
        found = clients(tmp_path / "bin", restore=f"cat {tmp_path}/toc; kill -9 $$")
        with pytest.raises(CopyError, match="cannot list"):
            check_complete(found, tmp_path, ())


def test_every_failure_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MidtimeError) as caught:
        find_clients(180006, folder=str(tmp_path))
    assert caught.value.fix

"""Client tools: what they say is told, they die with us, and nothing secret is in their arguments."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import NoReturn

import pytest

from midtime.errors import CopyError, ToolError
from midtime.stores.processes import TAIL, WIDTH, candidates, read_output, run_tool, streaming_tool, version_of
from tests.unit.processes import alive, kill_when_it_says_so, until

SECRET = "hunter2-not-on-a-command-line"


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def sh(body: str, *, env: dict[str, str] | None = None, on_line: Callable[[str], None] | None = None) -> list[str]:
    """Run a shell's script as a tool."""
    lines: list[str] = []

    def both(line: str) -> None:
        lines.append(line)
        if on_line:
            on_line(line)

    run_tool(["sh", "-c", body], env=env or {}, failed=lambda tail: CopyError(tail), on_line=both)
    return lines


class TestOutput:
    def test_every_line_is_told(self) -> None:
        assert sh("echo one; echo two >&2; printf three") == ["one", "two", "three"]

    def test_nobody_has_to_listen(self) -> None:
        run_tool(["sh", "-c", "echo one"], env={}, failed=CopyError)

    def test_the_tail_is_in_the_error(self) -> None:
        with pytest.raises(CopyError) as caught:
            sh("seq 1 100; exit 3")
        assert caught.value.message.splitlines() == [*(str(number) for number in range(100 - TAIL + 1, 101)), "(exit code 3)"]

    def test_without_output(self) -> None:
        with pytest.raises(CopyError) as caught:
            sh("exit 1")
        assert caught.value.message == "(exit code 1)"

    @pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV"])
    def test_killed_by_a_signal(self, name: str) -> None:
        with pytest.raises(CopyError, match=rf"^half\n\(killed by SIG{name}\)$"):
            sh(f"echo half; kill -{name} $$")

    def test_of_any_encoding(self) -> None:
        assert sh(r"printf 'caf\351\n\303\251\n'") == ["caf�", "é"]

    def test_much_of_it_does_not_block(self) -> None:
        assert len(sh("seq 1 200000")) == 200_000

    def test_is_in_english(self) -> None:
        assert sh("echo $LC_ALL", env={"LC_ALL": "ja_JP.UTF-8"}) == ["C"]

    def test_an_error_of_the_listener_ends_the_tool(self) -> None:
        pids: list[int] = []

        def listener(line: str) -> None:
            pids.append(int(line))
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            sh("echo $$; exec sleep 1000", on_line=listener)
        until(lambda: not alive(pids[0]), "the tool is gone")

    def test_a_long_line_is_cut_in_the_error(self) -> None:
        """It may be a statement with somebody's rows."""
        body = "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 3"
        with pytest.raises(CopyError) as caught:
            sh(body)
        assert caught.value.message == "x" * (WIDTH - 1) + "…\n(exit code 3)"
        with pytest.raises(CopyError) as caught, streaming_tool(["sh", "-c", body], env={}, failed=CopyError, stdout=PIPE) as process:
            list(read_output(process))
        assert caught.value.message == "x" * (WIDTH - 1) + "…\n(exit code 3)"


class TestSilence:
    def test_a_tool_that_waits_for_ever_is_ended(self) -> None:
        said: list[bytes] = []
        command = ["sh", "-c", "echo $$; exec sleep 1000"]
        with (
            pytest.raises(CopyError, match=r"^sh wrote nothing for 0\.5 seconds") as caught,
            streaming_tool(command, env={}, failed=CopyError, stdout=PIPE) as process,
        ):
            said.extend(read_output(process, silence=0.5))
        assert caught.value.retryable
        until(lambda: not alive(int(said[0])), "the tool is gone")

    def test_one_that_is_slow_and_one_that_ends_are_not(self) -> None:
        command = ["sh", "-c", "for i in 1 2 3 4; do echo $i; sleep 0.2; done"]
        with streaming_tool(command, env={}, failed=CopyError, stdout=PIPE) as process:
            assert b"".join(read_output(process, silence=0.7)) == b"1\n2\n3\n4\n"

    def test_our_own_pauses_do_not_count(self) -> None:
        with streaming_tool(["sh", "-c", "echo 1; sleep 0.1; echo 2"], env={}, failed=CopyError, stdout=PIPE) as process:
            chunks = read_output(process, silence=0.5)
            first = next(chunks)
            time.sleep(1)
            assert first + b"".join(chunks) == b"1\n2\n"


class TestStart:
    def test_found_in_the_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        script(tmp_path / "bin" / "mytool", 'printf "%s|" "$@"')
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
        lines: list[str] = []
        run_tool(["mytool", "a b", Path("/c"), "$HOME", ""], env={}, failed=CopyError, on_line=lines.append)
        assert lines == ["a b|/c|$HOME||"]

    @pytest.mark.parametrize("tool", ["nowhere/tool", "file", "."])
    def test_what_does_not_start_is_told_as_a_failure(self, tmp_path: Path, tool: str) -> None:
        (tmp_path / "file").write_bytes(b"\x7fELF")
        with pytest.raises(CopyError, match=r"does not run: (No such file|Permission denied).*\n\(exit code 1\)$"):
            run_tool([tmp_path / tool], env={}, failed=CopyError)
        with pytest.raises(CopyError, match="no-such-tool does not run"):
            run_tool(["no-such-tool"], env={}, failed=CopyError)

    def test_has_nothing_to_read(self) -> None:
        assert sh("cat; echo end") == ["end"]

    def test_keeps_our_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MIDTIME_TEST", "ours")
        assert sh('echo "$MIDTIME_TEST $ADDED"', env={"ADDED": "added"}) == ["ours added"]

    def test_inherits_no_file(self, tmp_path: Path) -> None:
        with (tmp_path / "lock").open("w"):
            assert [line for line in sh("ls -l /proc/$$/fd") if str(tmp_path) in line] == []


class TestSecrets:
    def test_are_in_the_environment_and_in_no_argument(self) -> None:
        seen: dict[str, bytes] = {}

        def look(line: str) -> None:
            if line.isdigit():
                for name in ("cmdline", "environ"):
                    # Both are empty for a moment, while one program takes the other's place.
                    deadline = time.monotonic() + 10
                    while not (content := Path(f"/proc/{line}/{name}").read_bytes()) and time.monotonic() < deadline:
                        time.sleep(0.01)
                    seen[name] = content
                seen["ours"] = Path("/proc/self/environ").read_bytes()
                os.kill(int(line), signal.SIGTERM)

        with pytest.raises(CopyError) as caught:
            sh("echo $$; exec sleep 1000", env={"PGPASSWORD": SECRET}, on_line=look)
        assert SECRET.encode() in seen["environ"]
        assert SECRET.encode() not in seen["cmdline"] + seen["ours"]
        assert SECRET not in str(caught.value)
        assert "PGPASSWORD" not in os.environ

    def test_not_even_before_the_tool_starts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import subprocess

        started: list[list[str]] = []
        real = subprocess.Popen

        def spy(argv: list[str], **kwargs: object) -> object:
            started.append(argv)
            return real(argv, **kwargs)  # type: ignore[call-overload]

        monkeypatch.setattr(subprocess, "Popen", spy)
        sh("true", env={"PGPASSWORD": SECRET})
        assert len(started) == 1
        assert SECRET not in " ".join(started[0])


class TestDeath:
    @pytest.fixture(autouse=True)
    def _listening(self) -> Iterator[None]:
        """A background job is started deaf to Ctrl-C."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    def test_the_tool_dies_with_us(self, tmp_path: Path) -> None:
        """kill -9 leaves us no time to end it."""

        def work(here: Callable[[], NoReturn]) -> None:
            def told(line: str) -> None:
                (tmp_path / "pid").write_text(line)
                here()

            sh("echo $$; exec sleep 1000", on_line=told)

        kill_when_it_says_so(work)
        pid = int((tmp_path / "pid").read_text())
        until(lambda: not alive(pid), "the tool died")

    def test_also_when_a_thread_runs_it(self, tmp_path: Path) -> None:
        def work(here: Callable[[], NoReturn]) -> None:
            told = threading.Event()

            def note(line: str) -> None:
                (tmp_path / "pid").write_text(line)
                told.set()

            threading.Thread(target=sh, args=("echo $$; exec sleep 1000",), kwargs={"on_line": note}, daemon=True).start()
            told.wait()
            here()

        kill_when_it_says_so(work)
        pid = int((tmp_path / "pid").read_text())
        until(lambda: not alive(pid), "the tool died")

    @pytest.mark.parametrize(
        "body",
        [
            "sleep 1000 & echo $$ $!; wait",
            "(trap '' TERM; exec sleep 1000) & echo $$ $!; wait",
            "trap 'exit 0' TERM; (trap '' TERM; exec sleep 1000) & echo $$ $!; wait",
            "trap '' TERM; sleep 1000 & echo $$ $!; wait",
        ],
        ids=["obedient", "a worker that is not", "a leader that ends well", "a leader that is not"],
    )
    def test_ctrl_c_ends_the_whole_group(self, body: str) -> None:
        pids: list[int] = []

        def told(line: str) -> None:
            pids.extend(map(int, line.split()))
            assert all(map(alive, pids))
            assert os.getsid(pids[0]) == pids[0] != os.getsid(0), "Ctrl-C comes to us alone"
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()

        with pytest.raises(KeyboardInterrupt):
            sh(body, on_line=told)
        until(lambda: not any(map(alive, pids)), "leader and worker are gone")

    def test_nobody_is_left_as_a_zombie(self) -> None:
        pids: list[int] = []

        def told(line: str) -> None:
            pids.append(int(line))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sh("echo $$; exec sleep 1000", on_line=told)
        assert not Path(f"/proc/{pids[0]}").exists()


class TestCandidates:
    def test_the_path_first_then_the_patterns_newest_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        places = [script(tmp_path / name / "bin" / "tool", "") for name in ("path", "16", "17", "18")]
        (tmp_path / "19" / "bin").mkdir(parents=True)
        monkeypatch.setenv("PATH", f"/nowhere:{places[0].parent}:{places[0].parent}:")
        assert candidates("tool", folder=None, patterns=[f"{tmp_path}/1*/bin"]) == [places[0], places[3], places[2], places[1]]

    def test_a_folder_is_the_only_place(self, tmp_path: Path) -> None:
        script(tmp_path / "a" / "sh", "")
        assert candidates("sh", folder=f"{tmp_path}/a", patterns=["/bin"]) == [tmp_path / "a" / "sh"]
        assert candidates("sh", folder=f"{tmp_path}/b", patterns=["/bin"]) == []

    def test_what_cannot_run_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "tool").write_text("")
        (tmp_path / "dir").mkdir()
        assert candidates("tool", folder=str(tmp_path), patterns=[]) == candidates("dir", folder=str(tmp_path), patterns=[]) == []

    def test_without_a_path(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PATH")
        assert Path("/bin/sh") in candidates("sh", folder=None, patterns=[])


class TestVersion:
    @pytest.mark.parametrize(
        ("printed", "version"),
        [
            ("pg_dump (PostgreSQL) 18.6", (18, 6)),
            ("pg_dump (PostgreSQL) 17.5 (Ubuntu 17.5-1.pgdg22.04+1)", (17, 5)),
            ("pg_dump (PostgreSQL) 17beta1 (Ubuntu 17~beta1-1.pgdg22.04+1)", (17,)),
            ("pg_dump (PostgreSQL) 19devel", (19,)),
            ("mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)", (8, 0, 36)),
            ("mariadb-dump from 11.4.2-MariaDB, client 10.19 for linux", (11, 4, 2)),
        ],
    )
    def test_read(self, tmp_path: Path, printed: str, version: tuple[int, ...]) -> None:
        assert version_of(script(tmp_path / "tool", f"echo '{printed}'")) == version

    @pytest.mark.parametrize("body", ["echo garbage", "true", r"printf '\377\376\n'", "echo 18", "exit 1", "echo 18.6 >&2", "kill -9 $$"])
    def test_no_version(self, tmp_path: Path, body: str) -> None:
        with pytest.raises(ToolError, match="no version") as caught:
            version_of(script(tmp_path / "tool", body))
        assert str(tmp_path / "tool") in caught.value.message

    def test_does_not_run(self, tmp_path: Path) -> None:
        (tmp_path / "tool").write_bytes(b"\x7fELF of another machine")
        (tmp_path / "tool").chmod(0o755)
        for tool in (tmp_path / "tool", tmp_path / "gone"):
            with pytest.raises(ToolError, match="does not run"):
                version_of(tool)

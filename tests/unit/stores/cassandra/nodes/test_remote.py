"""Commands that say their process id first, and shells that feed them in pieces."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest

from midtime.stores.cassandra.nodes.remote import RemoteWords, ending, fed_in_pieces, saying_its_id
from tests.unit.processes import alive, until

SHELLS = [shell for shell in ("sh", "bash") if os.path.exists(f"/bin/{shell}")]


@pytest.mark.parametrize(
    ("chunks", "process_id", "said"),
    [
        ([b"12\nwords"], 12, "words"),
        ([b"1", b"2", b"\nwo", b"rds"], 12, "words"),
        ([b"12\n"], 12, ""),
        ([b"sudo: a password is required\n"], None, "sudo: a password is required"),
        ([b"su", b"do: no\nmore"], None, "sudo: no\nmore"),
        ([b"no line"], None, "no line"),
        ([], None, ""),
    ],
)
def test_the_first_line_is_the_process_id(chunks: list[bytes], process_id: int | None, said: str) -> None:
    words = RemoteWords()
    for chunk in chunks:
        words.add(chunk)
    words.end()
    assert (words.process_id, str(words)) == (process_id, said)


def started(command: list[str], shell: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([shell, *command[1:]], stdin=-1, stdout=-1, stderr=-1, start_new_session=True)


def ended(process: subprocess.Popen[bytes], sent: bytes | None) -> tuple[int, bytes, bytes]:
    out, complaints = process.communicate(sent, timeout=10)
    number, _, rest = complaints.partition(b"\n")
    assert int(number) == process.pid
    return process.returncode, out, rest


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("make", [saying_its_id, fed_in_pieces])
class TestBoth:
    def test_code_output_and_complaints_are_the_commands(self, shell: str, make: Any) -> None:
        process = started(make(["sh", "-c", 'echo "$1"; echo oh >&2; exit 7', "x", "a  b\n'"]), shell)
        assert ended(process, None) == (7, b"a  b\n'\n", b"oh\n")

    def test_it_and_its_children_can_be_ended(self, shell: str, make: Any) -> None:
        with started(make(["sh", "-c", "trap '' TERM; sleep 600 & echo $!; wait; sleep 600"]), shell) as process:
            assert process.stdout
            assert process.stderr
            child, leader = int(process.stdout.readline()), int(process.stderr.readline())
            assert leader == process.pid
            subprocess.run([shell, *ending(leader)[1:]], check=True, timeout=10)
            until(lambda: not alive(child) and not alive(leader), "both end")

    def test_what_is_not_there_any_more_cannot_be_ended(self, shell: str, make: Any) -> None:
        with started(make(["true"]), shell) as process:
            process.communicate()
        assert subprocess.run([shell, *ending(process.pid)[1:]], timeout=10).returncode == 0


@pytest.mark.parametrize("shell", SHELLS)
class TestPieces:
    def test_are_put_together(self, shell: str) -> None:
        large = os.urandom(3 << 20)
        sent = b"3\na\nb" + b"%d\n%b" % (len(large), large) + b"1\n\n" + b"0\nno more"
        assert ended(started(fed_in_pieces(["cat"]), shell), sent) == (0, b"a\nb" + large + b"\n", b"")

    def test_whoever_feeds_ends_with_the_command(self, shell: str) -> None:
        """Or a command that fails at once would be waited for until the last byte was sent."""
        with started(fed_in_pieces(["sh", "-c", "head -c 2; exit 5"]), shell) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            process.stdin.write(b"5\nabcde9\n")
            process.stdin.flush()
            assert process.wait(10) == 5
            assert process.stdout.read() == b"ab"
            assert process.stderr.read() == b"%d\n" % process.pid
            process.stdin.close()

    def test_an_input_that_breaks_off_ends_the_commands(self, shell: str) -> None:
        assert ended(started(fed_in_pieces(["cat"]), shell), b"10\nabc") == (0, b"abc", b"")

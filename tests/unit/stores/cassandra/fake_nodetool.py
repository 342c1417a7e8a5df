"""A nodetool that only knows the login: like the real one it reads the file of its password until its buffer is full, before it connects.

``fake_nodetool.py FOLDER -p PORT -u USER -pwf FILE WORD...`` notes what it was told in ``FOLDER/done``; ``FOLDER/fails`` is what it fails with.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

BUFFER = 1024


def main(folder: Path, arguments: list[str]) -> int:
    words, login = arguments[2:], b""
    if words[0] == "-u":
        with open(words[3], "rb", buffering=0) as file:
            while len(login) < BUFFER and (chunk := file.read(BUFFER)):
                login += chunk
        words = words[4:]
    user, _, password = login.decode().partition("\n")[0].partition(" ")
    if (folder / "fails").exists():
        print((folder / "fails").read_text(), file=sys.stderr)
        return 2
    with (folder / "done").open("a") as done:
        done.write(f"{user}|{password}|{' '.join(words)}\n")
    print("Snapshot directory: made")
    return 0


if __name__ == "__main__":
    (Path(sys.argv[1]) / f"pid-{os.getpid()}").touch()
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

"""Arms a fake nodetool, says so, and waits for ever: a process that a test can kill."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

from midtime.stores.cassandra.nodes.local import LocalNode
from midtime.stores.cassandra.nodetool import Nodetool
from tests.unit.stores.cassandra.fake_ring import member_of

FAKE = Path(__file__).parent / "fake_nodetool.py"


def nodetool(folder: Path) -> tuple[str, ...]:
    """The fake one, as a topology names it."""
    return (sys.executable, "-I", "-S", str(FAKE), str(folder))


if __name__ == "__main__":
    node = LocalNode("n1", "127.0.0.1")
    armed = Nodetool(member_of(node, nodetool=nodetool(Path(sys.argv[1])))).armed_snapshot("tag", ["bank"], timedelta(0), 60)
    armed.wait_ready()
    print("armed", flush=True)
    time.sleep(60)

"""Arms a store, says so, and waits for ever: a worker that a test can kill. ``cassandra_arming.py TOPOLOGY STORE``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from midtime.model.topology import Topology
from midtime.stores.cassandra.store import CassandraStore

if __name__ == "__main__":
    topology = Topology.model_validate(json.loads(Path(sys.argv[1]).read_text()))
    with CassandraStore(topology, sys.argv[2]).arm():
        print("armed", flush=True)
        time.sleep(120)

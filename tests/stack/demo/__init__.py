"""``make demo``: a bank on ScalarDB over two kinds of databases, backed up, drilled, restored, and shown why, on this machine and in a few minutes.

Everything is real: PostgreSQL and MariaDB, two ScalarDB Servers with transfers that never stop, Airflow with its four processes, and the
commands and DAGs that an operator uses. State, logs and restore points are in ``.midtime/demo`` (below ``MIDTIME_STATE``
if that is set), which each run empties first. ``KEEP=1`` leaves everything running until Ctrl-C; ``MIDTIME_PORT`` moves the UI.

``steps`` has what happens, in its order; ``control`` what happens without a pause window; ``summary`` what is told at the end.
"""

from __future__ import annotations


class DemoError(Exception):
    """A step did not do what it should."""


class Stopped(BaseException):
    """Somebody ended the demo: by SIGTERM, or by closing the terminal."""

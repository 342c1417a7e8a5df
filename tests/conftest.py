"""What every test gets: an Airflow home of its own, and the real parts of ``tests/stack`` on demand."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Before anything imports Airflow, which reads its configuration once.
_HOME = tempfile.mkdtemp(prefix="midtime-test-home-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ.update({"AIRFLOW_HOME": _HOME, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__UNIT_TEST_MODE": "False"})
for _name in [name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "MIDTIME_")) and name != "MIDTIME_CACHE"]:
    del os.environ[_name]

pytest_plugins = [
    "tests.stack.fixtures",
    "tests.integration.fixtures",
    "tests.integration.mysql_setting",
    "tests.integration.windows",
    "tests.integration.pitr_setting",
]

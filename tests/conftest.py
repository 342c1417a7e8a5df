"""What every test gets: an Airflow home of its own, and the real parts of ``tests/stack`` on demand."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest

# Before anything imports Airflow, which reads its configuration once.
_HOME = tempfile.mkdtemp(prefix="midtime-test-home-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
os.environ.update({"AIRFLOW_HOME": _HOME, "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__UNIT_TEST_MODE": "False"})
for _name in [name for name in os.environ if name.startswith(("AIRFLOW_CONN_", "MIDTIME_")) and name != "MIDTIME_CACHE"]:
    del os.environ[_name]

# Airflow's processes mostly wait for each other, and so do its tests; doubles of clouds wait for their clocks: beside them, another worker of
# pytest-xdist has the databases.
_CLOUDS = (
    "azure_database",
    "test_azure_database",
    "test_cosmosdb",
    "cosmosdb_stack",
    "test_dynamodb",
    "test_kubernetes",
    "test_object_store",
    "test_rds",
)


@pytest.hookimpl(tryfirst=True)  # xdist's own reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which worker gets a test: each server is started once, by the worker that has its tests."""
    for item in items:
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.xdist_group(_group(item)))


def _group(item: pytest.Item) -> str:
    if item.get_closest_marker("alone"):
        return "alone"
    if item.get_closest_marker("airflow") or "local_airflow" in getattr(item, "fixturenames", ()):
        return "airflow"
    return "clouds" if any(part.startswith(_CLOUDS) for part in item.path.parts) else "servers"


pytest_plugins = [
    "tests.stack.fixtures",
    "tests.integration.fixtures",
    "tests.integration.mysql_setting",
    "tests.integration.managed_postgresql",
    "tests.integration.managed_mysql",
    "tests.integration.managed_fixtures",
    "tests.integration.windows",
    "tests.integration.pitr_setting",
    "tests.integration.cosmosdb_marks",
]

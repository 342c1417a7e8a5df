"""What RDS and Aurora ask of MySQL, on a real server: its clock, its fence rows, and its records at another address."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest

from midtime.errors import StoreUnreachableError
from midtime.model.topology import Topology
from midtime.model.topology.cloud import AnyCloudDatabase
from midtime.stores.managed_sql.data import Data, data_of
from tests.integration.mysql_setting import MysqlSetting
from tests.stack.processes import Port
from tests.unit.builders import part

pytestmark = pytest.mark.integration

WINDOW = "0123456789ab"


def topology_of(setting: MysqlSetting) -> Topology:
    """The same databases, as an Aurora cluster has them."""
    body = setting.topology.model_dump(mode="json", exclude_unset=True)
    (namespaces,) = (each["namespaces"] for each in body["stores"])
    body["stores"] = [
        {"name": "accounts", "engine": "aurora", "dialect": "mysql", "conn_id": "aws", "data_conn_id": "mysql_db", "region": "eu-west-1",
         "cluster": "bank-prod", "namespaces": namespaces}
    ]  # fmt: skip
    return Topology.model_validate(body)


def inside_of(topology: Topology) -> Data:
    found = data_of(topology, "accounts", cast(AnyCloudDatabase, topology.store("accounts")))
    assert found
    return found


def test_clock_fence_and_records(mysql_setting: MysqlSetting) -> None:
    topology = topology_of(mysql_setting)
    inside, backup = inside_of(topology), part(engine="aurora", method="pitr", tables=(), details={})
    server = mysql_setting.server
    reading = inside.read_clock()
    assert -timedelta(seconds=2) < reading.low <= reading.high < timedelta(seconds=2)
    assert topology.all_namespaces("accounts")[0] in inside.check()
    with inside.fence() as fence:
        fence.prepare()
        fence.write(WINDOW, "before")
    with inside.restored(backup, (server.host, server.port)) as restored:
        namespace = topology.all_namespaces("accounts")[0]
        assert restored.fences(WINDOW, namespace) == {"before"}
        assert (list(restored.content()), list(restored.schema_differences())) == ([], [])
        tables = restored.records().tables()
        assert f"{namespace}.acct" in tables
        (coordinator,) = restored.coordinators()
        assert coordinator.exists()


def test_another_address_is_another_server(mysql_setting: MysqlSetting) -> None:
    """Not the connection's own."""
    topology, nobody = topology_of(mysql_setting), Port()
    at = ("127.0.0.1", nobody.number)
    with (
        pytest.raises(StoreUnreachableError, match=str(nobody.number)),
        inside_of(topology).restored(part(), at),
    ):
        pass
    nobody.release()

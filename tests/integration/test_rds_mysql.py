"""What RDS and Aurora ask of MySQL, on a real server: its clock, its fence rows, and its records at another address."""

from __future__ import annotations

from datetime import timedelta

import pytest

from midtime.errors import StoreUnreachableError
from midtime.model.topology import Topology
from midtime.stores.rds import on_mysql
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


def test_clock_fence_and_records(mysql_setting: MysqlSetting) -> None:
    topology = topology_of(mysql_setting)
    spec, backup = topology.store("accounts"), part(engine="aurora", method="pitr", tables=(), details={})
    server = mysql_setting.server
    reading = on_mysql.read_clock(spec, "mysql_db")  # type: ignore[arg-type]
    assert -timedelta(seconds=2) < reading.low <= reading.high < timedelta(seconds=2)
    assert {question: answer() for question, answer in on_mysql.questions(topology, spec, "mysql_db")}["has every namespace"]  # type: ignore[arg-type]
    with on_mysql.fence(topology, spec, "mysql_db") as fence:  # type: ignore[arg-type]
        fence.prepare()
        fence.write(WINDOW, "before")
    said = ["instance x: MonitoringInterval was 60, is not there"]
    with on_mysql.restored(topology, backup, spec, (server.host, server.port), lambda: said) as restored:  # type: ignore[arg-type]
        namespace = topology.all_namespaces("accounts")[0]
        assert restored.fences(WINDOW, namespace) == {"before"}
        assert (restored.content(), restored.schema_differences(), restored.setting_differences()) == ((), (), said)
        tables = restored.records().tables()
        assert f"{namespace}.acct" in tables
        assert not {"mysql", "sys", "information_schema"} & set(restored.databases)
        (coordinator,) = restored.coordinators()
        assert coordinator.exists()


def test_another_address_is_another_server(mysql_setting: MysqlSetting) -> None:
    """Not the connection's own."""
    topology, nobody = topology_of(mysql_setting), Port()
    at = ("127.0.0.1", nobody.number)
    with (
        pytest.raises(StoreUnreachableError, match=str(nobody.number)),
        on_mysql.restored(topology, part(), topology.store("accounts"), at, list),  # type: ignore[arg-type]
    ):
        pass
    nobody.release()

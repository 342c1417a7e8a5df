"""What a topology derives, and the rules between its sections."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from midtime.model.topology import Action, CassandraNode, Coordinator, Target, Topology

CLUSTER = {"kind": "scalardb-cluster", "endpoints": {"static": ["10.0.0.1:60053"]}}
LEDGER = {"kind": "scalardl-ledger", "endpoints": {"static": ["10.0.0.2:50053"]}}
AUDITOR = {"kind": "scalardl-auditor", "endpoints": {"static": ["10.0.0.3:40053"]}}
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
STORES: dict[str, dict[str, Any]] = {
    "postgresql": {"conn_id": "pg", "namespaces": ["a"]},
    "mysql": {"conn_id": "my", "namespaces": ["b"]},
    "sqlite": {"path": "/var/lib/x.db"},
    "cassandra": {"access": "local", "nodes": ["127.0.0.1"], "namespaces": ["c"]},
    "dynamodb": {"region": "ap-northeast-1", "namespaces": ["d"]},
    "cosmosdb": {"data_conn_id": "c", "subscription_id": SUBSCRIPTION, "resource_group": "g", "account": "a", "namespaces": ["e"]},
    "rds": {"dialect": "postgresql", "region": "eu-west-1", "instance": "i", "data_conn_id": "pg2"},
    "aurora": {"dialect": "mysql", "region": "eu-west-1", "cluster": "c", "data_conn_id": "my2"},
    "azure_postgresql": {"subscription_id": SUBSCRIPTION, "resource_group": "g", "server": "s", "data_conn_id": "pg3"},
    "azure_mysql": {"subscription_id": SUBSCRIPTION, "resource_group": "g", "server": "s", "data_conn_id": "my3"},
}
RELATIONAL = ("postgresql", "mysql", "sqlite", "rds", "aurora", "azure_postgresql", "azure_mysql")
NOSQL = ("cassandra", "dynamodb", "cosmosdb")


def store(engine: str, **changes: object) -> dict[str, Any]:
    return {"name": engine.replace("_", "-"), "engine": engine, **STORES[engine], **changes}


def build(*stores: dict[str, Any], **changes: object) -> Topology:
    return Topology.model_validate({"name": "bank", "destination": "file:///backups", "stores": list(stores), **changes})


def two(**changes: object) -> Topology:
    sections: dict[str, Any] = {"products": [CLUSTER], "scalardb": {"coordinators": [{"store": "postgresql"}]}}
    return build(store("postgresql"), store("mysql"), **(sections | changes))


def refused(*parts: str) -> Any:
    return pytest.raises(ValidationError, match="(?s)" + ".*".join(parts))


class TestPauseIsDerived:
    @pytest.mark.parametrize("engine", RELATIONAL)
    def test_one_relational_database_needs_none(self, engine: str) -> None:
        topology = build(store(engine))
        assert not topology.needs_pause
        assert topology.shape == "single_rdb"
        assert topology.pause_set == ()

    @pytest.mark.parametrize("engine", ["rds", "aurora", "azure_postgresql", "azure_mysql"])
    def test_a_managed_one_that_is_dumped_is_captured(self, engine: str) -> None:
        """No clock is involved, and nothing has to become restorable."""
        dumped = build(store(engine, method="dump", namespaces=["n"]))
        assert (dumped.shape, dumped.point_in_time, dumped.stores[0].captured) == ("single_rdb", False, True)

    @pytest.mark.parametrize("engine", NOSQL)
    def test_nosql_needs_one(self, engine: str) -> None:
        topology = build(store(engine), products=[CLUSTER])
        assert topology.needs_pause
        assert topology.shape == ("cassandra_cluster" if engine == "cassandra" else "multi_storage")
        assert [product.label for product in topology.pause_set] == ["scalardb-cluster"]

    @pytest.mark.parametrize("engine", sorted(set(STORES) - {"postgresql"}))
    def test_two_databases_need_one(self, engine: str) -> None:
        topology = build(store("postgresql"), store(engine), products=[CLUSTER], scalardb={"coordinators": [{"store": "postgresql"}]})
        assert topology.needs_pause
        assert topology.shape == "multi_storage"

    def test_nobody_can_set_it(self) -> None:
        for key in ("needs_pause", "shape"):
            with refused("Extra inputs"):
                build(store("postgresql"), **{key: False})

    @pytest.mark.parametrize("products", [[], [AUDITOR | {"kind": "scalardl-auditor"}]])
    def test_a_pause_needs_products(self, products: list[dict[str, Any]]) -> None:
        with refused("needs the products to pause"):
            build(store("dynamodb"), products=products)

    def test_a_pause_section_is_allowed_where_none_is_needed(self) -> None:
        assert build(store("postgresql"), pause={"hold": "10s"}, products=[CLUSTER]).pause_set == ()


class TestRepair:
    def test_a_command_on_the_worker(self) -> None:
        topology = build({**store("cosmosdb"), "repair": "/opt/repair.sh --all"}, products=[CLUSTER])
        assert topology.store("cosmosdb").repair.command == ("/opt/repair.sh", "--all")  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        "repair", [{"command": "repair", "ssh_conn_id": "host"}, {"kubernetes": {"namespace": "n", "workloads": ["deployment/d"]}}]
    )
    def test_nowhere_else(self, repair: dict[str, Any]) -> None:
        with refused("must be a command on the worker"):
            build({**store("cosmosdb"), "repair": repair}, products=[CLUSTER])


class TestPauseTimes:
    @pytest.mark.parametrize(
        "pause", [{"hold": "20s"}, {"hold": "19s", "drain": "11s"}, {"deadline": "10s"}, {"deadline": "20s", "drain": "20s"}]
    )
    def test_deadline_has_room(self, pause: dict[str, str]) -> None:
        with refused("longer than drain and hold"):
            two(pause=pause)

    def test_auto_hold_counts_for_managed_stores(self) -> None:
        tight = {"drain": "10s", "deadline": "15s"}
        assert two(pause=tight).pause.hold == "auto"
        with refused("longer than drain and hold"):
            build(store("dynamodb"), products=[CLUSTER], pause=tight)

    def test_values(self) -> None:
        pause = two(pause={"hold": "500ms", "drain": "1s", "deadline": "2m"}).pause
        assert (pause.hold, pause.drain, pause.deadline) == (timedelta(milliseconds=500), timedelta(seconds=1), timedelta(minutes=2))


class TestCoordinators:
    def test_default_of_a_single_store(self) -> None:
        topology = build(store("postgresql"))
        assert topology.coordinators == (Coordinator(store="postgresql", namespace="coordinator"),)
        assert topology.all_namespaces("postgresql") == ("a", "coordinator", "scalardb")

    def test_several_stores_must_say(self) -> None:
        with refused("needs `coordinators", "postgresql, mysql"):
            two(scalardb={})

    def test_unknown_store(self) -> None:
        with refused('no store "points"', "postgresql, mysql"):
            two(scalardb={"coordinators": [{"store": "points"}]})

    def test_twice(self) -> None:
        with refused("stands here twice"):
            two(scalardb={"coordinators": [{"store": "mysql"}, {"store": "mysql", "namespace": "coordinator"}]})

    def test_two_in_one_store(self) -> None:
        topology = two(scalardb={"coordinators": [{"store": "mysql"}, {"store": "mysql", "namespace": "other"}]})
        assert topology.coordinator_namespaces("mysql") == ("coordinator", "other")
        assert [found.name for found in topology.coordinator_stores()] == ["mysql"]
        assert topology.all_namespaces("postgresql") == ("a", "scalardb")

    def test_other_transaction_managers_have_none(self) -> None:
        assert build(store("postgresql"), scalardb={"transaction_manager": "jdbc"}).coordinators == ()
        with refused("has no Coordinator"):
            two(scalardb={"transaction_manager": "single-crud-operation", "coordinators": [{"store": "mysql"}]})
        with refused("jdbc works on one"):
            two(scalardb={"transaction_manager": "jdbc"})


class TestNames:
    def test_stores(self) -> None:
        with refused('two stores are called "postgresql"'):
            two(stores=[store("postgresql"), store("postgresql", conn_id="other")])

    def test_the_same_database_twice(self) -> None:
        with refused('the same database as store "postgresql"'):
            two(stores=[store("postgresql"), store("postgresql", name="again")])

    def test_two_databases_of_one_server(self) -> None:
        assert two(stores=[store("postgresql", database="x"), store("postgresql", name="again", database="y")]).needs_pause

    def test_products(self) -> None:
        with refused('two products are called "scalardb-cluster"'):
            two(products=[CLUSTER, CLUSTER])
        assert two(products=[CLUSTER, CLUSTER | {"name": "second"}])

    @pytest.mark.parametrize("name", ["", "Bank", "1bank", "bank_a", "a" * 64, "midtime", "bank\n", "banк"])
    def test_topology(self, name: str) -> None:
        with pytest.raises(ValidationError):
            build(store("postgresql"), name=name)

    def test_store_lookup(self) -> None:
        assert two().store("mysql").engine == "mysql"
        with pytest.raises(KeyError):
            two().store("points")


class TestLedgerAndAuditor:
    STORES = (store("postgresql", name="ledger"), store("postgresql", name="auditor", conn_id="other"))

    def build(self, ledger: dict[str, Any], auditor: dict[str, Any], **changes: object) -> Topology:
        return build(
            *self.STORES, products=[LEDGER | ledger, AUDITOR | auditor], scalardb={"coordinators": [{"store": "ledger"}]}, **changes
        )

    def test_the_auditor_keeps_running(self) -> None:
        topology = self.build({"stores": ["ledger"]}, {"stores": ["auditor"]})
        assert [product.kind for product in topology.pause_set] == ["scalardl-ledger"]
        assert (topology.quiesced("ledger"), topology.quiesced("auditor")) == (True, False)

    def test_strict(self) -> None:
        topology = self.build({"stores": ["ledger"]}, {"stores": ["auditor"]}, pause={"strict": True})
        assert len(topology.pause_set) == 2
        assert topology.quiesced("auditor")

    def test_whose_store_is_whose(self) -> None:
        with refused("needs `stores`", "scalardl-auditor writes to"):
            self.build({"stores": ["ledger"]}, {})

    def test_an_auditor_needs_its_ledger(self) -> None:
        with refused("together with its Ledger"):
            build(store("postgresql"), products=[AUDITOR])

    def test_a_store_without_a_writer(self) -> None:
        with refused('no product lists "auditor"'):
            self.build({"stores": ["ledger"]}, {"stores": ["ledger"]})


class TestReferences:
    @pytest.mark.parametrize(
        "changes",
        [
            {"drill": {"targets": {"points": "pg"}}},
            {"checks": [{"store": "points", "sql": "select 1", "expect": 1}]},
            {"products": [CLUSTER | {"stores": ["points"]}]},
        ],
    )
    def test_unknown_stores(self, changes: dict[str, Any]) -> None:
        with refused('no store "points"'):
            two(**changes)

    def test_target_keys_fit_the_engine(self) -> None:
        with refused("does not fit engine postgresql", "database"):
            two(drill={"targets": {"postgresql": {"prefix": "drill_"}}})

    @pytest.mark.parametrize("engine", ["rds", "aurora", "azure_postgresql", "azure_mysql"])
    @pytest.mark.parametrize("target", [{"conn_id": "aws_other"}, {"name": "copy"}, {"path": "/x"}])
    def test_a_dump_makes_no_server(self, engine: str, target: dict[str, str]) -> None:
        """And its ``conn_id`` would be of the control plane, which nobody asks."""
        with refused(f"does not fit engine {engine}", "data_conn_id"):
            build(store(engine, method="dump", namespaces=["n"]), drill={"targets": {store(engine)["name"]: target}})

    @pytest.mark.parametrize(
        ("engine", "fits", "others"),
        [
            ("rds", "database", "prefix"),
            ("aurora", "prefix", "database"),
            ("azure_postgresql", "database", "prefix"),
            ("azure_mysql", "prefix", "database"),
        ],
    )
    def test_targets_of_a_dump_are_those_of_its_dialect(self, engine: str, fits: str, others: str) -> None:
        made = store(engine, method="dump", namespaces=["n"])
        assert build(made, drill={"targets": {made["name"]: {"data_conn_id": "drill", fits: "x"}}})
        with refused(f"does not fit engine {engine}", fits):
            build(made, drill={"targets": {made["name"]: {others: "x"}}})

    @pytest.mark.parametrize("engine", ["rds", "aurora", "azure_postgresql", "azure_mysql"])
    @pytest.mark.parametrize("target", [{"database": "copy"}, {"prefix": "copy_"}])
    def test_a_service_renames_no_database(self, engine: str, target: dict[str, str]) -> None:
        with refused(f"does not fit engine {engine}", "conn_id"):
            build(store(engine), products=[CLUSTER], drill={"targets": {store(engine)["name"]: target}})

    @pytest.mark.parametrize("engine", ["azure_postgresql", "azure_mysql"])
    def test_what_a_dump_may_be_told(self, engine: str) -> None:
        """No server is made."""
        assert build(store(engine, method="dump", namespaces=["n"])).stores[0].wished.startswith("a connection, or ")

    def test_a_clone_is_not_what_was_marked(self) -> None:
        with refused("never as it was at an instant", "leave it out"):
            build(store("aurora"), drill={"targets": {"aurora": {"clone": True}}})
        assert build(store("aurora"), drill={"targets": {"aurora": {"clone": False}}})

    def test_targets(self) -> None:
        targets = two(drill={"targets": {"postgresql": "drill_pg", "mysql": {"prefix": "drill_"}}}).drill.targets
        assert targets == {"postgresql": Target(to="drill_pg"), "mysql": Target(prefix="drill_")}

    @pytest.mark.parametrize("engine", ["dynamodb", "cosmosdb"])
    def test_checks_of_a_store_that_takes_no_queries(self, engine: str) -> None:
        with refused(f"engine {engine} takes no queries"):
            build(store(engine), products=[CLUSTER], checks=[{"store": engine, "sql": "select 1", "expect": 1}])

    @pytest.mark.parametrize("expect", ["x", 1, 1.5, True, None])
    def test_expected_scalars(self, expect: object) -> None:
        assert two(checks=[{"store": "mysql", "sql": "select 1", "expect": expect}]).checks[0].expect == expect

    @pytest.mark.parametrize("expect", [[], {}, float("nan"), timedelta(1)])
    def test_expected_others(self, expect: object) -> None:
        with refused("not a plain value"):
            two(checks=[{"store": "mysql", "sql": "select 1", "expect": expect}])


class TestEngines:
    @pytest.mark.parametrize(
        ("engine", "changes", "reason"),
        [
            ("postgresql", {"method": "snapshot"}, "dump"),
            ("sqlite", {"method": "pitr"}, "dump"),
            ("dynamodb", {"method": "dump"}, "pitr"),
            ("cassandra", {"method": "dump"}, "snapshot"),
            ("postgresql", {"method": "pitr"}, "needs `wal"),
            ("postgresql", {"wal": {"archive": "file:///w"}}, "belongs to `method: pitr`"),
            ("mysql", {"binlog": {}}, "belongs to `method: pitr`"),
            ("mysql", {"namespaces": []}, "needs `namespaces`"),
            ("sqlite", {"conn_id": "x"}, "exactly one"),
            ("cassandra", {"nodes": []}, "needs `nodes`"),
            ("cassandra", {"nodes": ["a", "a"]}, "twice"),
            ("cassandra", {"access": {"kubernetes": {"namespace": "n", "selector": "s"}}}, "leave `nodes` out"),
            ("cassandra", {"access": {}}, "exactly one"),
            ("cassandra", {"stop": "systemctl stop cassandra"}, "both `stop` and `start`"),
            ("rds", {"dialect": "oracle", "method": "dump"}, "only `method: pitr`"),
            ("rds", {"dialect": "sqlserver", "method": "dump"}, "only `method: pitr`"),
            ("aurora", {"dialect": "oracle"}, "mysql"),
            ("rds", {"method": "dump", "data_conn_id": None}, "needs `data_conn_id`"),
            ("aurora", {"method": "dump"}, "needs `namespaces`"),
            ("azure_mysql", {"jobs": 4}, "belongs to `method: dump`"),
            ("azure_mysql", {"method": "dump", "namespaces": ["b"], "database": "b"}, "`namespaces` says which"),
            ("azure_postgresql", {"method": "dump", "client": "mysqldump"}, "dump client for MySQL"),
            ("postgresql", {"conn_id": "postgres://u:p@h/d"}, "Airflow connection"),
            ("postgresql", {"namespaces": ["a", "a"]}, "twice"),
            ("postgresql", {"client_path": "bin"}, "absolute path"),
        ],
    )
    def test_refused(self, engine: str, changes: dict[str, Any], reason: str) -> None:
        with refused(reason):
            build(store(engine, **changes), products=[CLUSTER])

    def test_a_clock_needs_a_connection(self) -> None:
        with refused("store's clock"):
            build(store("rds", data_conn_id=None), store("mysql"), products=[CLUSTER], scalardb={"coordinators": [{"store": "rds"}]})
        assert build(store("rds", data_conn_id=None))

    def test_a_store_for_the_coordinator_alone(self) -> None:
        assert two(stores=[store("postgresql"), store("mysql", namespaces=[])], scalardb={"coordinators": [{"store": "mysql"}]})

    def test_short_forms(self) -> None:
        ring = store(
            "cassandra", stop="systemctl stop 'a b'", start=["systemctl", "start"], nodes=["10.0.0.1", {"host": "10.0.0.2", "seed": True}]
        )
        made = build(ring, products=[CLUSTER]).stores[0]
        assert made.stop == Action(command=("systemctl", "stop", "a b"))
        assert made.nodes == (CassandraNode(host="10.0.0.1"), CassandraNode(host="10.0.0.2", seed=True))
        assert made.access.local is not None


class TestIdentity:
    def test_digest_is_about_content(self) -> None:
        assert build(store("postgresql")).digest == build(store("postgresql", jobs=2, fence=True), timezone="UTC").digest
        assert build(store("postgresql")).digest != build(store("postgresql", jobs=3)).digest
        assert len(two().digest) == 64

    def test_nothing_changes_after_loading(self) -> None:
        with refused("frozen"):
            two().name = "other"  # type: ignore[misc]

    def test_time_zone(self) -> None:
        assert two(timezone="Asia/Tokyo").timezone_info.key == "Asia/Tokyo"

    def test_captured_or_managed(self) -> None:
        captured = {engine: build(store(engine), products=[CLUSTER]).stores[0].captured for engine in STORES}
        assert [engine for engine, done in captured.items() if done] == ["postgresql", "mysql", "sqlite", "cassandra"]

"""Loading files and folders: what is wrong is told with file, line and key, and hides nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midtime.errors import TopologyError
from midtime.model.topology import load_named, load_topologies, load_topology, topologies_folder
from midtime.model.topology.cloud import CloudDatabase
from midtime.model.topology.document import MAX_BYTES

EXAMPLES = Path(__file__).resolve().parents[3] / "include/topologies/examples"
GOOD = """\
name: {name}
destination: file:///backups
products:
  - kind: scalardb-cluster
    endpoints:
      static: ["10.0.0.1:60053"]
scalardb:
  coordinators:
    - store: accounts
stores:
  - name: accounts
    engine: postgresql
    conn_id: accounts_db
  - name: points
    engine: mysql
    conn_id: points_db
    namespaces: [bank_b]
pause:
  drain: 5s
retention:
  keep_last: 3
drill:
  targets:
    accounts:
      to: drill_pg
checks:
  - store: accounts
    sql: select 1
    expect: 1
notifications:
  on_failure:
    - notifier: a.b.C
"""


def write(folder: Path, text: str | bytes, name: str = "bank.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message(path: Path) -> str:
    with pytest.raises(TopologyError) as caught:
        load_topology(path)
    assert caught.value.fix
    return caught.value.message


class TestGoodFiles:
    @pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
    def test_examples(self, path: Path) -> None:
        assert load_topology(path).source == path

    def test_examples_as_a_folder(self) -> None:
        topologies, errors = load_topologies(EXAMPLES)
        assert errors == []
        assert {topology.shape for topology in topologies} == {"single_rdb", "multi_storage", "cassandra_cluster"}
        assert {store.engine for topology in topologies for store in topology.stores} == {
            *("postgresql", "mysql", "sqlite", "cassandra", "dynamodb", "cosmosdb", "rds", "aurora", "azure_postgresql", "azure_mysql")
        }

    def test_every_managed_database_has_an_example(self) -> None:
        topologies, _ = load_topologies(EXAMPLES)
        stores = [
            store for topology in topologies for store in topology.stores if isinstance(store, CloudDatabase) and store.method == "pitr"
        ]
        assert {(store.engine, store.speaks) for store in stores} == {
            *(("rds", dialect) for dialect in ("mysql", "postgresql", "oracle", "sqlserver")),
            *(("aurora", dialect) for dialect in ("mysql", "postgresql")),
            *((f"azure_{dialect}", dialect) for dialect in ("mysql", "postgresql")),
        }

    def test_byte_order_mark_and_line_ends(self, tmp_path: Path) -> None:
        text = GOOD.format(name="bank").replace("\n", "\r\n")
        assert load_topology(write(tmp_path, b"\xef\xbb\xbf" + text.encode())).name == "bank"

    def test_anchors(self, tmp_path: Path) -> None:
        text = GOOD.format(name="bank") + "description: &words some words\nowner: *words\n"
        assert load_topology(write(tmp_path, text)).owner == "some words"

    def test_merge_keys(self, tmp_path: Path) -> None:
        text = GOOD.format(name="bank").replace("  - name: points\n", "  - <<: {fence: false, conn_id: other}\n    name: points\n")
        store = load_topology(write(tmp_path, text)).store("points")
        assert (store.fence, store.conn_id) == (False, "points_db")


class TestWrongFiles:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "1: is empty"),
            ("# nothing\n", "1: is empty"),
            ("- a\n", "1: must be a mapping"),
            ("just words", "1: must be a mapping"),
            ("name: a\nname: b\n", "2: name: stands here twice; first in line 1"),
            ("name: a\nstores:\n  - name: x\n    engine: sqlite\n    name: y\n", "5: name: stands here twice; first in line 3"),
            ("name: a\npause:\n\thold: 1s\n", "3: is not YAML: .*YAML forbids tabs"),
            ("name: a\n---\nname: b\n", "2: a second document"),
            ("name: [a\n", "is not YAML"),
            ("name: 'a\n", "is not YAML"),
            ("name: a\x07b\n", "is not YAML|1: name"),
            ("name: !!python/object:os.system x\n", "is not YAML"),
            ("name: &a [*a]\n", "1: the alias \\*a stands inside"),
            ("name: *nothing\n", "is not YAML: found undefined alias"),
            ("[a, b]: c\n", "1: a key must be plain text"),
            ("{a: b}: c\n", "1: a key must be plain text"),
            ("name: 2026-13-45\n", "cannot build"),
            ("1: a\n", "1: 1: a key must be text"),
            ("[" * 100_000, "1: is nested deeper"),
            ("- " * 100_000, "1: is nested deeper"),
            ("{a: " * 100_000, "1: is nested deeper"),
        ],
    )
    def test_not_a_topology(self, tmp_path: Path, text: str, expected: str) -> None:
        path = write(tmp_path, text)
        assert str(path) in message(path)
        with pytest.raises(TopologyError, match=expected):
            load_topology(path)

    def test_aliases_that_multiply(self, tmp_path: Path) -> None:
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
        started = time.monotonic()
        assert "holds more than 50,000 values" in message(write(tmp_path, "\n".join(lines)))
        assert time.monotonic() - started < 5

    def test_too_large(self, tmp_path: Path) -> None:
        assert "is larger than" in message(write(tmp_path, "#" * (MAX_BYTES + 1)))

    @pytest.mark.parametrize("content", [b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)), b"name: a\nowner: caf\xe9\n", b"\x00\x00"])
    def test_binary(self, tmp_path: Path, content: bytes) -> None:
        assert "UTF-8" in message(write(tmp_path, content)) or "is not YAML" in message(write(tmp_path, content))

    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_junk_never_does_anything_else(self, tmp_path: Path, content: bytes) -> None:
        message(write(tmp_path, content))

    def test_missing_and_odd(self, tmp_path: Path) -> None:
        assert "does not exist" in message(tmp_path / "no.yaml")
        (tmp_path / "folder.yaml").mkdir()
        assert "is not a file" in message(tmp_path / "folder.yaml")
        os.mkfifo(tmp_path / "pipe.yaml")
        assert "is not a file" in message(tmp_path / "pipe.yaml")
        (tmp_path / "dangling.yaml").symlink_to("nowhere")
        assert "does not exist" in message(tmp_path / "dangling.yaml")

    def test_unreadable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write(tmp_path, GOOD.format(name="bank"))

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)  # as root, no mode would keep us out
        assert "cannot be read: Permission denied" in message(path)

    def test_all_problems_at_once(self, tmp_path: Path) -> None:
        text = (
            GOOD.format(name="bank").replace("mysql", "mysq").replace("keep_last: 3", "keep_last: three").replace("drain: 5s", "drain: 5")
        )
        lines = message(write(tmp_path, text)).splitlines()
        assert [line.split(":")[1:3] for line in lines] == [["14", " stores[1]"], ["19", " pause.drain"], ["21", " retention.keep_last"]]
        assert 'did you mean "mysql"?' in lines[0]

    def test_rules_have_lines_too(self, tmp_path: Path) -> None:
        text = GOOD.format(name="bank").replace("- store: accounts\n    sql", "- store: points2\n    sql")
        assert ':27: checks[0].store: there is no store "points2"; the stores are: accounts, points' in message(write(tmp_path, text))

    @pytest.mark.parametrize(
        ("old", "new", "expected"),
        [
            ("name: bank", "name: no", "1: name: must be text, not false"),
            ("name: bank", "name: 7", 'must be text, not "7": put it in quotes'),
            ("pause:\n  drain: 5s", "pause:", "18: pause: has no value"),
            ("products:", "product:", 'did you mean "products"?'),
            ("kind: scalardb-cluster", "kind: scalardb", "allowed: scalardb-cluster, scalardb-server"),
            ("engine: postgresql", "engine: [postgresql]", "stores\\[0\\]"),
            ("    engine: postgresql\n", "", "stores\\[0\\]: needs `engine`; allowed: postgresql, mysql"),
            ("    conn_id: accounts_db\n", "", "11: stores\\[0\\].conn_id: is missing. Airflow connection of type"),
            ("    engine: postgresql", "    engine: postgresql\n    method: snapshot", "13: stores\\[0\\].method: .* allowed: dump, pitr"),
            ("stores:\n", "stores: {}\nx:\n", "stores: must be a list"),
            ("expect: 1", "expect: [1]", "expect: .*plain value"),
            ("expect: 1", "expect: 2026-11-21", "expect: .*in quotes"),
            (
                "accounts:\n      to: drill_pg",
                "accounts:\n      to: drill_pg\n      prefix: x",
                "26: drill.targets.accounts.prefix: does not fit engine",
            ),
        ],
    )
    def test_what_is_allowed(self, tmp_path: Path, old: str, new: str, expected: str) -> None:
        text = GOOD.format(name="bank")
        assert old in text
        with pytest.raises(TopologyError, match=expected):
            load_topology(write(tmp_path, text.replace(old, new, 1)))

    def test_a_store_that_is_called_like_a_key(self, tmp_path: Path) -> None:
        text = GOOD.format(name="bank").replace("accounts", "to").replace("      to: drill_pg", "      conn_di: drill_pg")
        assert 'drill.targets.to.conn_di: unknown key; did you mean "conn_id"? Allowed here: to, conn_id' in message(write(tmp_path, text))

    def test_secrets_are_named_and_not_shown(self, tmp_path: Path) -> None:
        text = GOOD.format(name="bank").replace("file:///backups", "s3://me:hunter2@bucket") + "      args: {smtp_password: hunter2}\n"
        text = text.replace("    conn_id: accounts_db", "    conn_id: accounts_db\n    password: hunter2")
        told = message(write(tmp_path, text))
        assert "hunter2" not in told
        assert [line.split(": ")[1] for line in told.splitlines()] == [
            "destination",
            "stores[0].password",
            "notifications.on_failure[0].args.smtp_password",
        ]

    def test_a_webhook_in_a_good_file(self, tmp_path: Path) -> None:
        args = "      args: {webhook: 'https://hooks.slack.com/services/T0/B0/hunter2'}\n"
        told = message(write(tmp_path, GOOD.format(name="bank") + args))
        assert "args.webhook: whoever knows this address" in told
        assert "put it into an Airflow connection" in told
        assert "hunter2" not in told

    def test_a_secret_in_a_good_file(self, tmp_path: Path) -> None:
        assert "args.token: a secret" in message(write(tmp_path, GOOD.format(name="bank") + "      args: {token: hunter2}\n"))


# Lines of GOOD after which a key of the same section can stand, with the path of that section.
PLACES = {
    1: ("", ""),
    4: ("    ", "products[0]."),
    6: ("      ", "products[0].endpoints."),
    9: ("      ", "scalardb.coordinators[0]."),
    13: ("    ", "stores[0]."),
    16: ("    ", "stores[1]."),
    19: ("  ", "pause."),
    21: ("  ", "retention."),
    24: ("      ", "drill.targets.accounts."),
    28: ("    ", "checks[0]."),
    32: ("      ", "notifications.on_failure[0]."),
}


@given(place=st.sampled_from(sorted(PLACES)), key=st.from_regex(r"[a-z]{3,8}_[a-z]{3,8}", fullmatch=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_unknown_key_is_told_with_its_line(tmp_path: Path, place: int, key: str) -> None:
    indent, section = PLACES[place]
    lines = GOOD.format(name="bank").splitlines()
    lines.insert(place, f"{indent}x{key}: 1")
    path = write(tmp_path, "\n".join(lines))
    told = message(path)
    assert told.startswith(f"{path}:{place + 1}: {section}x{key}: ")
    assert "unknown key" in told or "a secret" in told


class TestFolders:
    def test_a_bad_file_hides_no_other(self, tmp_path: Path) -> None:
        write(tmp_path, GOOD.format(name="zoo"), "zoo.yaml")
        write(tmp_path, GOOD.format(name="bank"), "x.yaml")
        write(tmp_path, "name: [", "bad.yaml")
        write(tmp_path, "nonsense: 1", "worse.yaml")
        (tmp_path / "README.md").write_text("not a topology")
        (tmp_path / ".hidden.yaml").write_text("[")
        (tmp_path / "sub").mkdir()
        write(tmp_path / "sub", "[")
        topologies, errors = load_topologies(tmp_path)
        assert [topology.name for topology in topologies] == ["bank", "zoo"]
        assert [str(error).split(":")[0] for error in errors] == [str(tmp_path / "bad.yaml"), str(tmp_path / "worse.yaml")]

    @pytest.mark.parametrize("name", ["bank.yml", "bank.YAML", "bank.Yml"])
    def test_other_endings_are_not_silently_left_out(self, tmp_path: Path, name: str) -> None:
        write(tmp_path, GOOD.format(name="bank"), name)
        topologies, errors = load_topologies(tmp_path)
        assert topologies == []
        assert "Rename it to bank.yaml" in str(errors[0])

    @pytest.mark.parametrize("names", [("a.yaml", "bank.yaml"), ("bank.yaml", "copy.yaml")])
    def test_the_file_called_after_its_topology_keeps_the_name(self, tmp_path: Path, names: tuple[str, str]) -> None:
        for name in names:
            write(tmp_path, GOOD.format(name="bank"), name)
        topologies, errors = load_topologies(tmp_path)
        assert [topology.source for topology in topologies] == [tmp_path / "bank.yaml"]
        assert len(errors) == 1
        assert all(name in str(errors[0]) for name in names)

    def test_missing(self, tmp_path: Path) -> None:
        for folder in (tmp_path / "none", write(tmp_path, "x", "file")):
            topologies, errors = load_topologies(folder)
            assert topologies == []
            assert "MIDTIME_TOPOLOGIES" in str(errors[0])

    def test_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MIDTIME_TOPOLOGIES", raising=False)
        assert topologies_folder(tmp_path) == tmp_path
        monkeypatch.setenv("MIDTIME_TOPOLOGIES", "/etc/midtime")
        assert topologies_folder(tmp_path) == Path("/etc/midtime")

    def test_one_by_name(self, tmp_path: Path) -> None:
        for number in range(20):
            write(tmp_path, GOOD.format(name=f"bank-{number}"), f"{number}.yaml")
        write(tmp_path, "name: broken\nnonsense: 1\n", "broken.yaml")
        write(tmp_path, "{name: flow, destination: 'file:///x', stores: [{name: s, engine: sqlite, path: /x}]}", "flow.yaml")
        assert load_named(tmp_path, "bank-7").source == tmp_path / "7.yaml"
        assert load_named(tmp_path, "flow").name == "flow"
        with pytest.raises(TopologyError, match="unknown key"):
            load_named(tmp_path, "broken")
        with pytest.raises(TopologyError, match='called "bank"'):
            load_named(tmp_path, "bank")

"""The single values of a topology: durations, endpoints, URLs, cron expressions, secrets."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from midtime.model.durations import format_duration, parse_duration
from midtime.model.topology import Product, Topology, split_endpoint
from midtime.model.topology.secret_values import find_secrets

milliseconds = st.integers(min_value=0, max_value=timedelta.max // timedelta(milliseconds=1)).map(lambda ms: timedelta(milliseconds=ms))


def topology(**changes: object) -> Topology:
    base: dict[str, object] = {
        "name": "shop",
        "destination": "file:///backups",
        "stores": [{"name": "db", "engine": "postgresql", "conn_id": "pg"}],
    }
    return Topology.model_validate(base | changes)


def store(**keys: object) -> object:
    return topology(stores=[{"name": "db", **keys}]).stores[0]


class TestDurations:
    @given(milliseconds)
    def test_what_is_written_is_read_back(self, value: timedelta) -> None:
        assert parse_duration(format_duration(value)) == value

    @given(st.integers(min_value=0, max_value=10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
    def test_every_unit_is_understood(self, number: int, unit: str) -> None:
        value = parse_duration(f"{number}{unit}")
        assert format_duration(parse_duration(format_duration(value))) == format_duration(value)

    @pytest.mark.parametrize(("text", "value"), [("500ms", 0.5), ("10s", 10), ("2m", 120), ("1h", 3600), ("3d", 259200), ("0s", 0)])
    def test_examples(self, text: str, value: float) -> None:
        assert parse_duration(text) == timedelta(seconds=value)
        assert format_duration(timedelta(seconds=value)) == text

    @pytest.mark.parametrize("text", ["", "10", "s", "1.5s", "-1s", "10 s", "1m30s", "10S", "1w", "1_0s", "९s", "99999999999999999d"])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="duration"):
            parse_duration(text)

    @pytest.mark.parametrize("value", [timedelta(microseconds=1), timedelta(seconds=-1)])
    def test_what_cannot_be_written_is_refused(self, value: timedelta) -> None:
        with pytest.raises(ValueError, match="cannot be written"):
            format_duration(value)


class TestEndpoints:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("10.0.0.1:60053", ("10.0.0.1", 60053)),
            ("scalardb.svc.local:1", ("scalardb.svc.local", 1)),
            ("[fd00::1]:65535", ("fd00::1", 65535)),
        ],
    )
    def test_split(self, text: str, expected: tuple[str, int]) -> None:
        assert split_endpoint(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "host",
            ":60053",
            "host:",
            "host:0",
            "host:65536",
            "host:port",
            "fd00::1:60053",
            "[fd00::1]",
            "[host]:1",
            "http://h:1",
            "h:1:2",
            "a b:1",
        ],
    )
    def test_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"host|port|brackets"):
            split_endpoint(text)

    @pytest.mark.parametrize(
        "endpoints",
        [
            {},
            {"static": []},
            {"static": ["h:1", "h:1"]},
            {"static": ["h:1"], "srv": "_admin._tcp.local"},
            {"srv": "scalardb.local"},
            {"kubernetes": {"namespace": "scalar"}},
            {"kubernetes": {"release": "scalardb"}},
        ],
    )
    def test_exactly_one_complete_way(self, endpoints: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            Product.model_validate({"kind": "scalardb-cluster", "endpoints": endpoints})

    def test_an_application_has_no_chart(self) -> None:
        pods = {"namespace": "shop", "release": "shop"}
        with pytest.raises(ValidationError, match="selector"):
            Product.model_validate({"kind": "application", "endpoints": {"kubernetes": pods}})
        assert Product.model_validate({"kind": "application", "endpoints": {"kubernetes": {**pods, "selector": "app=shop", "port": 9090}}})

    def test_mutual_tls_needs_both_halves(self) -> None:
        with pytest.raises(ValidationError, match="both"):
            Product.model_validate({"kind": "scalardb-server", "endpoints": {"static": ["h:1"]}, "tls": {"cert": "/c"}})


class TestDestination:
    @pytest.mark.parametrize(
        ("url", "kept"),
        [
            ("file:///var/lib/midtime/", "file:///var/lib/midtime"),
            ("s3://conn@bucket/prefix", "s3://conn@bucket/prefix"),
            ("s3://bucket", "s3://bucket"),
            ("abfss://conn@container/a/b", "abfss://conn@container/a/b"),
            ("gs://bucket/a", "gs://bucket/a"),
        ],
    )
    def test_allowed(self, url: str, kept: str) -> None:
        assert topology(destination=url).destination == kept

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "/var/lib",
            "var/lib",
            "file:/var",
            "file://var/lib",
            "file:///",
            "s3:///x",
            "s3://conn@/x",
            "s3://b/../c",
            "s3://b/x?sig=1",
            "s3://b/a b",
            "http://[x",
        ],
    )
    def test_refused(self, url: str) -> None:
        with pytest.raises(ValidationError):
            topology(destination=url)


class TestSchedules:
    @pytest.mark.parametrize("cron", ["0 2 * * *", "*/15 1-5 * * mon-fri", "@daily", "0  2 * *  *", "0 0 29 2 *", "0 0 * apr thu"])
    def test_allowed(self, cron: str) -> None:
        assert topology(schedule=cron).schedule == " ".join(cron.split())

    @pytest.mark.parametrize(
        "cron", ["", "daily", "@reboot", "@often", "0 2 * *", "0 2 * * * *", "61 * * * *", "0 0 30 2 *", "R * * * *", "H(0-9) * * * *"]
    )
    def test_refused(self, cron: str) -> None:
        with pytest.raises(ValidationError, match="cron"):
            topology(schedule=cron)

    def test_none_is_by_hand(self) -> None:
        assert topology(schedule=None).schedule is None

    @pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../UTC", "/etc/localtime", "Asia"])
    def test_unknown_zone(self, zone: str) -> None:
        with pytest.raises(ValidationError, match="time zone"):
            topology(timezone=zone)


class TestNothingIsConverted:
    @pytest.mark.parametrize("jobs", ["2", 2.0, True, 0, 65, None])
    def test_numbers(self, jobs: object) -> None:
        with pytest.raises(ValidationError):
            store(engine="postgresql", conn_id="pg", jobs=jobs)

    @pytest.mark.parametrize("fence", ["yes", 1, None])
    def test_flags(self, fence: object) -> None:
        with pytest.raises(ValidationError):
            store(engine="postgresql", conn_id="pg", fence=fence)

    @pytest.mark.parametrize(("rate", "value"), [("50MB/s", 50_000_000), ("1B/s", 1), ("3GB/s", 3 * 10**9)])
    def test_rates(self, rate: str, value: int) -> None:
        ring = {"engine": "cassandra", "access": "local", "nodes": ["127.0.0.1"], "namespaces": ["a"]}
        product = {"kind": "scalardb-server", "endpoints": {"static": ["h:1"]}}
        made = topology(stores=[{"name": "ring", **ring, "throttle": rate}], products=[product])
        assert made.stores[0].throttle == value
        assert made.model_dump(mode="json")["stores"][0]["throttle"] == rate

    @pytest.mark.parametrize("rate", [50, "50", "50MB", "0MB/s", "1.5MB/s", None, ""])
    def test_wrong_rates(self, rate: object) -> None:
        ring = {"name": "ring", "engine": "cassandra", "access": "local", "nodes": ["127.0.0.1"], "namespaces": ["a"], "throttle": rate}
        if rate is None:
            return
        with pytest.raises(ValidationError, match="rate"):
            topology(stores=[ring], products=[{"kind": "scalardb-server", "endpoints": {"static": ["h:1"]}}])

    @pytest.mark.parametrize("compression", ["auto", "none", "gzip", "gzip:9", "lz4", "lz4:12", "zstd:3", "zstd:22"])
    def test_compression(self, compression: str) -> None:
        assert store(engine="postgresql", conn_id="pg", compression=compression).compression == compression

    @pytest.mark.parametrize("compression", ["zip", "gzip:0", "zstd:23", "none:1", "zstd:", "ZSTD"])
    def test_wrong_compression(self, compression: str) -> None:
        with pytest.raises(ValidationError, match="zstd:3"):
            store(engine="postgresql", conn_id="pg", compression=compression)


class TestSecrets:
    @pytest.mark.parametrize(
        "value",
        [
            {"password": "x"},
            {"a": [{"smtp_password": "x"}]},
            {"args": {"token": "x"}},
            {"api_key": "x"},
            {"aws_secret_access_key": "x"},
            {"client_secret": "x"},
            {"destination": "s3://me:hunter2@bucket/x"},
            {"ca": "-----BEGIN RSA PRIVATE KEY-----"},
            {"stop": "mysqladmin -phunter2 shutdown"},
            {"command": ["app", "--password", "hunter2"]},
            {"stop": "env PGPASSWORD=hunter2 stop"},
            {"nodetool": "nodetool -u me -pw hunter2"},
            {"stop": "curl -u admin:hunter2 http://x/stop"},
            {"stop": "curl -fsu admin:hunter2 http://x/stop"},
            {"stop": "curl -uadmin:hunter2 http://x/stop"},
            {"stop": "sh -c 'curl --user=admin:hunter2 http://x/stop'"},
            {"stop": ["curl", "-u", "admin:hunter2", "http://x/stop"]},
            {"stop": {"command": ["curl", "--user", "admin:hunter2", "http://x/stop"]}},
            {"stop": ["curl", "-H", "Authorization: Bearer hunter2", "http://x"]},
            {"stop": "curl -H 'authorization: basic hunter' http://x"},
            {"stop": ["curl", "https://hooks.slack.com/services/T0/B0/hunter2"]},
            {"args": {"webhook": "https://hooks.slack.com/services/T0/B0/hunter2"}},
            {"args": {"headers": {"Authorization": "Bearer hunter"}}},
            {"args": {"headers": ["X: y", "Bearer hunter2"]}},
        ],
    )
    def test_found_and_not_quoted(self, value: dict[str, object]) -> None:
        found = list(find_secrets(value))
        assert len(found) == 1
        assert "hunter2" not in found[0][1]

    @pytest.mark.parametrize(
        "value",
        [
            {"tls": {"key": "/etc/key.pem"}},
            {"password_file": "/etc/x"},
            {"smtp_conn_id": "smtp"},
            {"destination": "s3://conn@bucket/x"},
            {"stop": "mkdir -p /x"},
            {"start": "cp -pr a b"},
            {"nodetool": "nodetool -u me -pwf /etc/jmx"},
            {"sql": "select count(*) from t where token = 'x'"},
            {"password": None},
            {"stop": "curl -u $LOGIN:$PASSWORD http://x"},
            {"stop": "curl --user-agent midtime:1 http://x:80/stop"},
            {"stop": ["curl", "-H", "Authorization: Bearer $TOKEN", "http://x:80"]},
            {"stop": ["curl", "-n", "-u", "me", "http://x:80/"]},
            {"stop": "docker exec -u app:app ledger stop"},
            {"stop": "java -Durl=jdbc:mysql -update:all Stop"},
            {"stop": "curl -XPUT -HUser-Agent:midtime --url http://x:80/"},
            {"stop": "setpriv --user 1000:1000 stop"},
            {"stop": "sudo -u scalar systemctl stop ledger"},
            {"args": {"text": "the bearer of bad news", "slack_webhook_conn_id": "slack"}},
            {"description": "see https://hooks.slack.com/services/..."},
        ],
    )
    def test_not_a_secret(self, value: dict[str, object]) -> None:
        assert list(find_secrets(value)) == []

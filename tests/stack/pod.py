"""A pod that commands can be run in, without a cluster: see ``exec_server.py``."""

from __future__ import annotations

import base64
import json
import socket
import sys
from functools import cached_property
from pathlib import Path

from tests.stack.processes import Port, Process, Processes
from tests.stack.tls import Authority


class Pod:
    """One API server with one pod, ``cassandra-0`` in the namespace ``databases``."""

    CONN_ID = "midtime_pods"
    TOKEN = "the-token-of-the-worker"
    LISTS_ONLY = f"{TOKEN}-lists"

    def __init__(self, processes: Processes, name: str = "pod") -> None:
        self.name, self._processes, self._reserved = name, processes, Port()
        self.directory = processes.directory / name
        self._process: Process | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.stack.exec_server", str(self._reserved.number), *self._files, self.TOKEN]
        self._process = self._processes.start(self.name, command)
        self._process.wait_ready(self._answers, timeout=30)

    @cached_property
    def authority(self) -> Authority:
        self.directory.mkdir(exist_ok=True)
        return Authority(self.directory)

    @cached_property
    def _files(self) -> tuple[str, str]:
        return self.authority.issue("server", "127.0.0.1")

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self._reserved.number), timeout=1):
            return True

    def conn(self, token: str = TOKEN) -> str:
        """The Airflow connection."""
        certificate = base64.b64encode(Path(self.authority.ca).read_bytes()).decode()
        kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "it",
                    "cluster": {"server": f"https://127.0.0.1:{self._reserved.number}", "certificate-authority-data": certificate},
                }
            ],
            "users": [{"name": "us", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "it", "user": "us"}}],
            "current-context": "here",
        }
        return json.dumps({"conn_type": "kubernetes", "extra": json.dumps({"kube_config": json.dumps(kubeconfig)})})

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._processes.forget(self._process)

    def stop(self) -> None:
        if self._process and self._process.alive:
            self._process.stop()

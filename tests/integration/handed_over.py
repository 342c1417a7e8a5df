"""An Airflow's own database with its key, and `midtime hand-over` beside it: what it writes is read by Airflow, and nothing secret is shown."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from midtime.model.topology import Topology, written
from tests.stack.airflow import REPOSITORY

TABLES = """
from airflow import settings
from airflow.models import import_all_models
from airflow.models.base import Base
import_all_models()
Base.metadata.create_all(settings.engine)
"""
READ = """
import hashlib, json, sys
from airflow.sdk import BaseHook
read = BaseHook.get_connection(sys.argv[1])
said = {key: getattr(read, key) for key in ("conn_type", "login", "host", "port", "schema", "extra")}
print(json.dumps({**said, "password": hashlib.sha256(read.password.encode()).hexdigest()}))
"""


def digest(secret: str) -> str:
    """As :meth:`Installation.read` says a password."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Installation:
    """Of a store called ``shop`` in a topology of that name.

    :param secrets: what no command may say, by now
    """

    def __init__(self, folder: Path, topology: Topology, secrets: Callable[[], Collection[str]]) -> None:
        self.database, self.secrets = folder / "airflow.db", secrets
        (folder / "topologies").mkdir()
        (folder / "topologies" / "shop.yaml").write_text(written(topology))
        self.environment = {
            **os.environ,
            "AIRFLOW_HOME": str(folder / "home"),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.database}",
            "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
            "MIDTIME_TOPOLOGIES": str(folder / "topologies"),
            "PYTHONPATH": f"{REPOSITORY}/plugins",
            "_AIRFLOW_PROCESS_CONTEXT": "server",
        }
        self.run("-c", TABLES)

    def run(self, *words: str, code: int = 0, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], env={**self.environment, **environment}, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert not [secret for secret in self.secrets() if secret in said]
        return said

    def hand_over(self, *words: str, code: int = 0, **environment: str) -> str:
        return self.run("-m", "midtime", "hand-over", "shop", "shop", *words, code=code, **environment)

    def read(self, conn_id: str) -> dict[str, Any]:
        """What Airflow's own interface says of a connection; of its password a digest."""
        found: dict[str, Any] = json.loads(self.run("-c", READ, conn_id).splitlines()[-1])
        return found

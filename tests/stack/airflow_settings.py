"""Connections, variables and pools of a local Airflow, imported with Airflow's own command line.

Run inside an Airflow environment as ``python -m tests.stack.airflow_settings HOME``: it migrates the metadata database and
imports ``HOME/{connections,variables,pools}.json``, all in one process, because each start of the ``airflow`` command
costs seconds. ``from_astro`` reads the ``airflow_settings.yaml`` that the Astro command line would read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Settings = dict[str, dict[str, Any]]
CONNECTION_KEYS = ("conn_type", "host", "schema", "login", "password", "port", "extra")


def from_astro(file: Path) -> Settings:
    """``{"connections": …, "variables": …, "pools": …}`` in the form that the ``airflow … import`` commands read."""
    document = (yaml.safe_load(file.read_text()) or {}) if file.exists() else {}
    airflow = document.get("airflow") or {}
    return {
        "connections": {item["conn_id"]: _connection(item) for item in airflow.get("connections") or [] if item.get("conn_id")},
        "variables": {
            item["variable_name"]: item.get("variable_value") for item in airflow.get("variables") or [] if item.get("variable_name")
        },
        "pools": {item["pool_name"]: _pool(item) for item in airflow.get("pools") or [] if item.get("pool_name")},
    }


def _connection(item: Mapping[str, Any]) -> dict[str, Any] | str:
    if item.get("conn_uri"):
        return str(item["conn_uri"])
    values = {key: item.get(key if key == "conn_type" else f"conn_{key}") for key in CONNECTION_KEYS}
    return {key: value for key, value in values.items() if value not in (None, "")}


def _pool(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"slots": int(item["pool_slot"]), "description": item.get("pool_description") or "", "include_deferred": False}


def write(settings: Settings, home: Path) -> None:
    """Put the files where ``main`` finds them; connections hold passwords."""
    for kind, items in settings.items():
        file = home / f"{kind}.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(items))


def main(home: Path) -> None:
    """What a person would type, one command after the other."""
    from airflow.cli.cli_parser import get_parser

    commands = [["db", "migrate"]]
    for kind in ("connections", "variables", "pools"):
        file = home / f"{kind}.json"
        if file.exists() and json.loads(file.read_text()):
            commands.append([kind, "import", str(file), *(["--overwrite"] if kind == "connections" else [])])
    for command in commands:
        arguments = get_parser().parse_args(command)
        arguments.func(arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

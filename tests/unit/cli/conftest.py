"""A folder of topology files over a destination on disk, and the commands as functions of their words."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from midtime.catalog import Catalog, objects
from midtime.cli.commands import COMMANDS
from midtime.cli.main import parser
from midtime.model.restore_point import RestorePoint
from midtime.model.topology import Topology, written
from tests.unit.builders import topology


@dataclass
class Answer:
    good: bool
    text: str
    warned: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.text)


Midtime = Callable[..., Answer]


@pytest.fixture(autouse=True)
def as_loud_as_before() -> Iterator[None]:
    """`main` quiets the process that it is: here, that is the one of all other tests."""
    root = logging.getLogger()
    level = root.level
    with mock.patch.dict(os.environ), warnings.catch_warnings():
        yield
    root.setLevel(level)


@pytest.fixture
def midtime(capsys: pytest.CaptureFixture[str]) -> Midtime:
    def run(*words: str) -> Answer:
        arguments = parser().parse_args(words)
        good = COMMANDS[arguments.command](arguments)
        said = capsys.readouterr()
        return Answer(good, said.out, said.err)

    return run


@dataclass
class Files:
    folder: Path
    destination: str

    def add(self, name: str) -> tuple[Topology, Catalog]:
        made = topology(destination=self.destination, name=name)
        (self.folder / f"{name}.yaml").write_text(written(made))
        return made, Catalog(self.destination, name)


@pytest.fixture
def files(tmp_path: Path, destination: str, monkeypatch: pytest.MonkeyPatch) -> Files:
    folder = tmp_path / "topologies"
    folder.mkdir()
    monkeypatch.setenv("MIDTIME_TOPOLOGIES", str(folder))
    return Files(folder, destination)


def publish(catalog: Catalog, *points: RestorePoint) -> None:
    for each in points:
        objects.create(catalog.folder(each.id) / "manifest.json", each.seal())

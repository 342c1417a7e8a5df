"""The generated reference: fresh, complete, and of one mind with the loader."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from midtime.model import topology_reference
from midtime.model.topology.explain import engines

EXAMPLES = Path(__file__).resolve().parents[3] / "include/topologies/examples"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return topology_reference.json_schema()


def properties(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for title, section in (("Topology", schema), *schema["$defs"].items()):
        for key, value in topology_reference._properties(section).items():
            yield f"{title}.{key}", value


@pytest.mark.parametrize("path", list(topology_reference.outputs()), ids=lambda path: path.name)
def test_committed_files_are_fresh(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == topology_reference.outputs()[path], "run python -m midtime.model.topology_reference"


def test_check(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert topology_reference.main(["--check"]) == 0
    monkeypatch.setattr(topology_reference, "outputs", lambda: {tmp_path / "docs" / "page.md": "text"})
    assert topology_reference.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().out
    assert topology_reference.main([]) == 0
    assert (tmp_path / "docs" / "page.md").read_text() == "text"


def test_every_key_is_described(schema: dict[str, Any]) -> None:
    silent = [key for key, value in properties(schema) if not topology_reference._meaning(value, schema["$defs"])]
    assert silent == []


def test_every_section_and_link_of_the_page_exists(schema: dict[str, Any]) -> None:
    page = topology_reference.reference_page("name: x\n")
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors
    assert len(anchors) == len(schema["$defs"]) + 1
    assert {f"engine-{engine}" for engine in engines()} <= anchors


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_fit_the_schema(schema: dict[str, Any], path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load(path.read_text()), schema)


def test_the_schema_refuses_unknown_keys(schema: dict[str, Any]) -> None:
    example = yaml.safe_load((EXAMPLES / "sqlite.yaml").read_text())
    for wrong in (example | {"nam": 1}, example | {"pause": {"hold": "10"}}, example | {"stores": [{"name": "x", "engine": "db2"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)

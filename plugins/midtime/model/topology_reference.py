"""Writes the topology's JSON schema and reference page from its models: ``python -m midtime.model.topology_reference [--check]``."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from midtime.model.durations import DURATION_PATTERN, format_duration
from midtime.model.topology import Topology

REPOSITORY = Path(__file__).resolve().parents[3]
_EXAMPLES = "include/topologies/examples"
_INTRODUCTION = """\
<!-- Written by `python -m midtime.model.topology_reference` from plugins/midtime/model/topology. Do not edit. -->
# The topology file

One `*.yaml` file in `include/topologies/` (or in the folder that `MIDTIME_TOPOLOGIES` names; subfolders are not read) describes the
products and databases that are backed up and restored together. It becomes the DAGs `<name>__backup`, `<name>__restore` and
`<name>__drill`.

```yaml
{example}```

More examples, one for each kind of installation, are in [`{examples}`](../../{examples}).

What to know:

- **Whether a pause is needed is not a setting.** One relational database that holds everything is read in one transaction; any NoSQL
  store, or more than one database, needs the pause, and then `products` says what is paused. A `pause` section or `products` on a
  topology that needs no pause are allowed: the window leaves them alone, a restore in place still uses `stop` and `start`.
- **No secrets.** Keys that look like a secret, addresses with a password and passwords on command lines are refused: name an Airflow
  connection instead.
- **Nothing is guessed.** Unknown keys, a key that stands twice, `yes` where text is meant, a number in quotes: each is an error that
  names file, line, key and what is allowed. A wrong file hides no other.
- A duration is a whole number with a unit: `500ms`, `10s`, `2m`, `1h`, `3d`.
- For completion in an editor, put `# yaml-language-server: $schema=<path>/docs/reference/topology.schema.json` on top of the file.
"""


_HEADINGS = {"ScalarDb": "ScalarDB", "Tls": "TLS", "WalArchive": "WAL archive", "SshAccess": "SSH access"}
_LEADING = ("name", "kind", "engine", "dialect", "method")


class _Schema(GenerateJsonSchema):
    """Writes defaults as they stand in a file."""

    def encode_default(self, dft: Any) -> Any:
        """Write durations with their unit, and whole sections as nothing: their own keys have the defaults."""
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json", exclude_defaults=True)
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a topology file."""
    schema = Topology.model_json_schema(schema_generator=_Schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def reference_page(example: str) -> str:
    """Return the reference page: one table per section, in the order in which the sections appear in a file."""
    schema = json_schema()
    parts = [_INTRODUCTION.format(example=example, examples=_EXAMPLES), *_tables(schema)]
    return "\n".join(parts)


def _tables(schema: dict[str, Any]) -> Iterator[str]:
    definitions = schema["$defs"]
    waiting = [("", schema)]
    done: set[str] = set()
    while waiting:
        path, section = waiting.pop(0)
        yield _table(path, section, definitions)
        inner = []
        for key, value in _properties(section).items():
            below = f"{path}.{key}" if path else key
            inner += [(place, name) for place, name in _references(value, below) if name not in done]
            done.update(name for _, name in inner)
        waiting = [(place, definitions[name]) for place, name in inner] + waiting


def _whole(section: dict[str, Any]) -> dict[str, Any]:
    """Return the long form of a section that has a short one."""
    return section if "properties" in section else next((form for form in section.get("anyOf", ()) if "properties" in form), {})


def _properties(section: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = _whole(section).get("properties", {})
    return {key: properties[key] for key in (*(key for key in _LEADING if key in properties), *properties)}


def _references(value: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if "$ref" in value:
        yield path, value["$ref"].rpartition("/")[2]
    for option in (*value.get("anyOf", ()), *value.get("oneOf", ())):
        yield from _references(option, path)
    if "items" in value:
        yield from _references(value["items"], f"{path}[]")
    if item := _item(value):
        yield from _references(item, f"{path}.<name>")


def _item(value: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a mapping with free keys maps to."""
    return next(iter(value.get("patternProperties", {}).values()), None)


def _table(path: str, section: dict[str, Any], definitions: dict[str, Any]) -> str:
    required = _whole(section).get("required", ())
    lines = [f"## {_heading(section)}", ""]
    lines += [f"`{path}`. {_flat(section.get('description', ''))}" if path else "The whole file.", ""]
    if not _properties(section):
        return "\n".join([*lines, "It has no keys: write `{}`.", ""])
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, value in _properties(section).items():
        default = "**required**" if key in required else _default(value.get("default"))
        lines.append(f"| `{key}` | {_value(value, definitions)} | {default} | {_cell(_meaning(value, definitions))} |")
    return "\n".join([*lines, ""])


def _heading(section: dict[str, Any]) -> str:
    engine = _properties(section).get("engine", {}).get("const")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", section["title"])
    return f"engine {engine}" if engine else _HEADINGS.get(section["title"], words.capitalize())


def _value(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Say in a few words what may stand there."""
    options = [option for option in (*value.get("anyOf", ()), *value.get("oneOf", ())) if option.get("type") != "null"]
    if "discriminator" in value:
        return ", ".join(_value(option, definitions) for option in options)
    if options:
        return " or ".join(dict.fromkeys(_value(option, definitions) for option in options))
    if "$ref" in value:
        heading = _heading(definitions[value["$ref"].rpartition("/")[2]])
        return f"[{heading}](#{heading.lower().replace(' ', '-')})"
    if "const" in value or "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value.get("enum", [value.get("const")]))
    if value.get("type") == "array":
        return f"list of {_value(value['items'], definitions)}"
    if item := _item(value):
        return f"mapping of names to {_value(item, definitions)}"
    return _plain(value)


def _plain(value: dict[str, Any]) -> str:
    kind = value.get("type")
    if isinstance(kind, list):
        return "text, number, true, false or null"
    if kind == "integer":
        limits = [f"{value['minimum']} or more"] if "minimum" in value else []
        limits += [f"at most {value['maximum']}"] if "maximum" in value else []
        return ", ".join(["whole number", *limits])
    if value.get("pattern") == DURATION_PATTERN:
        return "duration"
    if kind == "string" and value.get("examples"):
        return "such as " + ", ".join(f"`{example}`" for example in value["examples"])
    return {"string": "text", "boolean": "true or false", "object": "mapping"}.get(str(kind), "any value")


def _default(value: object) -> str:
    if value is None or value in ([], {}) or isinstance(value, dict):
        return ""
    return f"`{' '.join(map(str, value))}`" if isinstance(value, list) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _meaning(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the key's description; pydantic leaves out one that repeats its section's."""
    section = definitions.get(value.get("$ref", "").rpartition("/")[2], {})
    return str(value.get("description") or section.get("description", ""))


def _flat(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _flat(text).replace("|", "\\|")


def outputs(repository: Path = REPOSITORY) -> dict[Path, str]:
    """Return what the generated files should hold."""
    example = (repository / _EXAMPLES / "two-databases.yaml").read_text(encoding="utf-8")
    folder = repository / "docs/reference"
    return {
        folder / "topology.schema.json": json.dumps(json_schema(), indent=2) + "\n",
        folder / "topology.md": reference_page(example),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or tell with ``--check`` whether they are stale."""
    parser = argparse.ArgumentParser(prog="python -m midtime.model.topology_reference", description="Writes the topology's reference.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")
    check = parser.parse_args(arguments).check
    stale = [path for path, text in outputs().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        sys.stdout.write(f"{path}: {'is stale' if check else 'written'}\n")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(outputs()[path], encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())

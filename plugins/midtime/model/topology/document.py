"""One YAML document with the line of every key.

PyYAML's safe loader keeps neither the lines nor the fact that a key stood there twice, and its C parser can be made to crash by deep
nesting. So the text is walked once as flat events before anything is built from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from midtime.errors import TopologyError

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML without libyaml: slower, otherwise the same
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_BYTES = 1_000_000
_MAX_DEPTH = 40
_MAX_VALUES = 50_000

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """Something wrong with a file: the line, the key, and what is allowed there."""

    line: int
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.line}: {self.key}: {self.message}" if self.key else f"{self.line}: {self.message}"


class ProblemsError(Exception):
    """Problems found in a document, before they are tied to a file."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True)
class Document:
    """The content of a file, and the nodes that know where it stands."""

    data: dict[str, Any]
    root: yaml.MappingNode

    def locate(self, key: Key) -> tuple[int, str]:
        """Return the line of a key, or of what would hold it, and the key as people write it: ``stores[0].jobs``."""
        node: yaml.Node = self.root
        line, path = _line(node), ""
        for step in key:
            if isinstance(step, int) and isinstance(node, yaml.SequenceNode):
                path += f"[{step}]"
            elif not _is_tag(node, step):
                path += f".{step}" if path else str(step)
            found = _child(node, step)
            if found is not None:
                line, node = found
        return line, path

    def problem(self, key: Key, message: str) -> Problem:
        """Make a problem out of a key's place."""
        return Problem(*self.locate(key), message)


def _line(item: yaml.Node | yaml.Event) -> int:
    return int(item.start_mark.line) + 1 if item.start_mark else 1


def _child(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        # From the end: what a merge key (<<) brings in stands before what overrides it.
        return next(((_line(key), value) for key, value in reversed(node.value) if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return _line(node.value[step]), node.value[step]
    return None


def _is_tag(node: yaml.Node, step: str | int) -> bool:
    """Pydantic puts a store's engine into the path, between its index and its key."""
    if not isinstance(node, yaml.MappingNode) or _child(node, step) is not None:
        return False
    engine = _child(node, "engine")
    return engine is not None and engine[1].value == step


def read_text(path: Path) -> str:
    """Read a file that may be anything.

    :raises TopologyError: if it cannot be a topology
    """
    try:
        if not path.is_file():
            what = "is not a file" if path.exists() else "does not exist"
            raise TopologyError(f"{path}: {what}", fix="Name a topology file (*.yaml).")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TopologyError(f"{path}: cannot be read: {error.strerror or error}", fix="Let the Airflow processes read it.") from error
    if len(content) > MAX_BYTES:
        raise TopologyError(f"{path}: is larger than {MAX_BYTES:,} bytes", fix="Is this a topology?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise TopologyError(f"{path}:{line}: is not UTF-8 text", fix="Save it as UTF-8.") from error


def parse(text: str) -> Document:
    """Build a document.

    :raises ProblemsError: with the place of each problem
    """
    try:
        _walk_events(text)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if not isinstance(root, yaml.MappingNode):
                raise ProblemsError(Problem(1, "", "is empty" if root is None else "must be a mapping: `name: ...`, `destination: ...`"))
            _refuse_repeated_keys(root)
            return Document(loader.construct_document(root), root)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ProblemsError(_syntax(error, text)) from error
    except (ValueError, TypeError, RecursionError) as error:  # such as 2026-13-45, which looks like a date, or a list that holds itself
        raise ProblemsError(Problem(1, "", f"holds a value that YAML cannot build ({error}): write it in quotes")) from error


def _walk_events(text: str) -> None:
    """Refuse what would exhaust memory or stack: deep nesting, and aliases that multiply themselves."""
    depth, documents, sizes = 0, 0, _Sizes()
    for event in yaml.parse(text, Loader=_Loader):
        line = _line(event)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise ProblemsError(Problem(line, "", "a second document begins here: one file holds one topology"))
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ProblemsError(Problem(line, "", f"is nested deeper than {_MAX_DEPTH} levels"))
        if sizes.add(event) > _MAX_VALUES:
            raise ProblemsError(Problem(line, "", f"holds more than {_MAX_VALUES:,} values, aliases counted as often as they are used"))


class _Sizes:
    """Counts values as if every alias were written out."""

    def __init__(self) -> None:
        self.total = 0
        self._open: list[tuple[str | None, int]] = []
        self._anchors: dict[str, int] = {}

    def add(self, event: yaml.Event) -> int:
        """Count one event, and return the sum so far."""
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in self._open):
                raise ProblemsError(Problem(_line(event), "", f"the alias *{event.anchor} stands inside of what it names"))
            self.total += self._anchors.get(str(event.anchor), 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open.append((event.anchor, self.total))
            self.total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self._open.pop()
            if anchor:
                self._anchors[anchor] = self.total - before
        elif isinstance(event, yaml.ScalarEvent):
            self.total += 1
        return self.total


def _refuse_repeated_keys(root: yaml.MappingNode) -> None:
    problems: list[Problem] = []
    waiting: list[yaml.CollectionNode] = [root]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        children = [value for _, value in node.value] if isinstance(node, yaml.MappingNode) else node.value
        waiting.extend(child for child in children if isinstance(child, yaml.CollectionNode))
        problems.extend(_repeated(node) if isinstance(node, yaml.MappingNode) else ())
    if problems:
        raise ProblemsError(*sorted(problems, key=lambda problem: problem.line))


def _repeated(node: yaml.MappingNode) -> list[Problem]:
    first: dict[str, int] = {}
    problems = []
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.append(Problem(_line(key), "", "a key must be plain text"))
        elif key.value in first:
            problems.append(Problem(_line(key), key.value, f"stands here twice; first in line {first[key.value]}. Remove one"))
        else:
            first[key.value] = _line(key)
    return problems


def _syntax(error: yaml.YAMLError, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    line = int(mark.line) + 1 if mark else text[: getattr(error, "position", 0) or 0].count("\n") + 1
    reason = str(getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read as YAML")
    lines = text.splitlines()
    tab = 0 < line <= len(lines) and "\t" in lines[line - 1]
    hint = ": YAML forbids tabs, indent with spaces" if tab else ""
    return Problem(line, "", f"is not YAML: {reason}{hint}")

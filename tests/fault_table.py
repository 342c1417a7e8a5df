"""``docs/faults.md``: what happens when something breaks. Written from the tests, one row for each that is marked ``fault``.

``python -m tests.fault_table`` writes it, ``--check`` fails when it is not up to date.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / "docs" / "faults.md"
HEAD = """\
<!-- Written by `python -m tests.fault_table` from the tests. Do not edit. -->
# What happens when something breaks

Each row is a test against real processes, or by the real SDK against a cloud's double; `make test` runs it, or `make test-long` where it says
*long*. In all of them what must hold is looked at: nothing stays paused, nothing of somebody else's is lifted or removed, and without evidence
there is no restore point. Runbook: [stuck-pause.md](runbooks/stuck-pause.md).
"""


@dataclass(frozen=True)
class Row:
    fault: str
    outcome: str
    test: str
    long: bool


def main() -> None:
    page = render()
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text() != page:
            sys.exit(f"{PAGE.relative_to(REPOSITORY)} is not up to date: make docs")
    else:
        PAGE.write_text(page)


def render() -> str:
    """The page: a section for each test file that has rows."""
    parts = [HEAD]
    for file in sorted((REPOSITORY / "tests").rglob("test_*.py"), key=_order):
        tree = ast.parse(file.read_text())
        if rows := list(_rows(tree, file)):
            title = (ast.get_docstring(tree) or file.stem).splitlines()[0].rstrip(".")
            parts.append(f"## {title}\n\n| fault | what happens | test |\n|---|---|---|\n" + "".join(map(_line, rows)))
    return "\n".join(parts)


def _order(file: Path) -> tuple[bool, str]:
    return "unit" in file.parts, str(file)  # in the real Airflow first


def _rows(tree: ast.Module, file: Path) -> Iterator[Row]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            marks = [mark for decorator in node.decorator_list if (mark := _mark(decorator))]
            for name, arguments in marks:
                if name == "fault":
                    fault, outcome = arguments
                    yield Row(fault, outcome, f"{file.relative_to(REPOSITORY / 'tests')}::{node.name}", ("long", ()) in marks)


def _mark(decorator: ast.expr) -> tuple[str, tuple[str, ...]] | None:
    """``pytest.mark.<name>`` with its texts."""
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    if not (isinstance(call, ast.Attribute) and ast.unparse(call.value) == "pytest.mark"):
        return None
    given = decorator.args if isinstance(decorator, ast.Call) else []
    return call.attr, tuple(argument.value for argument in given if isinstance(argument, ast.Constant)) if call.attr == "fault" else ()


def _line(row: Row) -> str:
    return f"| {_cell(row.fault)} | {_cell(row.outcome)} | `{row.test}`{' *long*' if row.long else ''} |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    main()

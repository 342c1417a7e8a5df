"""The tree of errors: as it is drawn, and able to cross a process border."""

from __future__ import annotations

import ast
import copy
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime import errors
from midtime.errors import LeaseHeldError, MidtimeError, StoreError

SOURCES = Path(errors.__file__).parent


def tree(kind: type[MidtimeError] = MidtimeError) -> list[type[MidtimeError]]:
    below = [each for child in kind.__subclasses__() for each in tree(child)]
    return [each for each in [kind, *below] if each.__module__ == "midtime.errors"]


CLASSES = tree()


class TestDrawing:
    def drawn(self) -> dict[str, tuple[str | None, bool]]:
        """Name -> (parent, star), read off the docstring."""
        assert errors.__doc__
        found: dict[str, tuple[str | None, bool]] = {}
        path: list[str] = []
        for line in errors.__doc__.split("::", 1)[1].split("``*``")[0].splitlines():
            if match := re.fullmatch(r" {4}(?P<indent>(?:[│├└ ][─ ]{2} )*)(?P<name>\w+)(?P<said>.*)", line):
                depth = len(match["indent"]) // 4
                path[depth:] = [match["name"]]
                found[match["name"]] = (path[depth - 1] if depth else None, match["said"].lstrip().startswith("*"))
            else:
                assert not line.strip(), f"unreadable line: {line!r}"
        return found

    def test_is_the_real_tree(self) -> None:
        real = {kind.__name__: (kind.__base__.__name__ if kind is not MidtimeError else None, kind.retryable) for kind in CLASSES}  # type: ignore[union-attr]
        assert self.drawn() == real

    def test_every_line_but_the_first_says_what_it_means(self) -> None:
        assert len(self.drawn()) == len(CLASSES) == len({kind.__name__ for kind in CLASSES}) > 15

    def test_no_deliberate_error_hides_elsewhere(self) -> None:
        known = {kind.__name__ for kind in CLASSES}
        strays = [
            f"{path.relative_to(SOURCES)}: {node.name}"
            for path in SOURCES.rglob("*.py")
            if path.name != "errors.py"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ClassDef) and known & {getattr(base, "id", getattr(base, "attr", "")) for base in node.bases}
        ]
        assert strays == []

    def test_every_class_says_when_it_is_raised(self) -> None:
        assert [kind.__name__ for kind in CLASSES if not (kind.__doc__ or "").startswith(("Raised when", "Base of"))] == []


class TestOverTheBorder:
    @given(kind=st.sampled_from(CLASSES), message=st.text(), fix=st.text())
    def test_pickled_and_copied_whole(self, kind: type[MidtimeError], message: str, fix: str) -> None:
        error = kind(message, fix=fix)
        for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301
            assert type(other) is kind
            assert (other.message, other.fix, str(other), other.args, other.retryable) == (
                message,
                fix,
                str(error),
                (message,),
                kind.retryable,
            )

    def test_the_fix_is_told(self) -> None:
        assert str(StoreError("it broke", fix="mend it")) == "it broke — mend it"
        assert str(StoreError("it broke")) == "it broke"

    def test_the_fix_is_no_positional_argument(self) -> None:
        with pytest.raises(TypeError):
            LeaseHeldError("a", "b")  # type: ignore[call-arg, misc]

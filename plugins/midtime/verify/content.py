"""Is what came back what was captured? Counts and digests of tables, compared, whatever store they were taken from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from midtime.model.restore_point import TableContent


class Difference(StrEnum):
    """In what a table differs."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    ROWS = "rows"
    BUCKETS = "buckets"
    METHOD = "method"


@dataclass(frozen=True, slots=True)
class ContentDifference:
    """One table that is not what was captured.

    :param captured_rows: ``None`` for a table that was not captured, :param restored_rows: ``None`` for one that did not come back
    :param buckets: the numbers of the buckets whose digests differ
    """

    table: str
    kind: Difference
    captured_rows: int | None = None
    restored_rows: int | None = None
    buckets: tuple[int, ...] = ()
    detail: str = ""

    def __str__(self) -> str:
        match self.kind:
            case Difference.MISSING:
                return f"{self.table}: missing ({self.captured_rows} rows were captured)"
            case Difference.UNEXPECTED:
                return f"{self.table}: unexpected ({self.restored_rows} rows, not captured)"
            case Difference.ROWS:
                return f"{self.table}: {self.restored_rows} rows instead of {self.captured_rows}"
            case Difference.BUCKETS:
                return f"{self.table}: content differs in bucket {', '.join(map(str, self.buckets))}"
            case Difference.METHOD:
                return f"{self.table}: digests cannot be compared ({self.detail})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can carry."""
        rows = {"captured_rows": self.captured_rows, "restored_rows": self.restored_rows}
        return {"table": self.table, "kind": self.kind.value, **rows, "buckets": list(self.buckets), "detail": self.detail}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ContentDifference:
        """The difference that :meth:`to_dict` wrote."""
        return cls(**{**plain, "kind": Difference(plain["kind"]), "buckets": tuple(plain["buckets"])})


def compare(captured: Sequence[TableContent], restored: Sequence[TableContent]) -> list[ContentDifference]:
    """Every difference between what was captured and what came back, by table; empty when they are the same.

    :raises ValueError: when a side names a table twice
    """
    before, after = _by_name(captured), _by_name(restored)
    differences: list[ContentDifference] = []
    for name in sorted(before.keys() | after.keys()):
        differences += _compare_table(name, before.get(name), after.get(name))
    return differences


def _compare_table(name: str, before: TableContent | None, after: TableContent | None) -> Iterable[ContentDifference]:
    if after is None:
        yield ContentDifference(name, Difference.MISSING, captured_rows=before.rows if before else None)
    elif before is None:
        yield ContentDifference(name, Difference.UNEXPECTED, restored_rows=after.rows)
    else:
        if before.rows != after.rows:
            yield ContentDifference(name, Difference.ROWS, before.rows, after.rows)
        yield from _compare_buckets(before, after)


def _compare_buckets(before: TableContent, after: TableContent) -> Iterable[ContentDifference]:
    # Digests made differently would all differ; saying "content differs" then would send people looking for a loss that is none.
    methods = (before.method, len(before.buckets)), (after.method, len(after.buckets))
    if methods[0] != methods[1]:
        detail = " against ".join(f"{method or 'no method'} in {count} buckets" for method, count in methods)
        yield ContentDifference(before.name, Difference.METHOD, before.rows, after.rows, detail=detail)
        return
    differing = tuple(i for i, (a, b) in enumerate(zip(before.buckets, after.buckets, strict=True)) if a != b)
    if differing:
        yield ContentDifference(before.name, Difference.BUCKETS, before.rows, after.rows, differing)


def _by_name(tables: Sequence[TableContent]) -> dict[str, TableContent]:
    named = {table.name: table for table in tables}
    if len(named) != len(tables):
        raise ValueError("a table is named twice: " + ", ".join(sorted(t.name for t in tables)))
    return named

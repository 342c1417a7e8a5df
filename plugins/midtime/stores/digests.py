"""Counts and digests of rows that pass by in Python, in whatever order they come."""

from __future__ import annotations

from xxhash import xxh3_64_intdigest

from midtime.model.restore_point import TableContent

BUCKETS = 16


class ContentTally:
    """The rows of one table: how many, and the sum of their hashes in each bucket of keys. A sum does not depend on the order."""

    def __init__(self) -> None:
        self.rows = [0] * BUCKETS
        self.sums = [0] * BUCKETS

    def add(self, key: bytes, row: bytes) -> None:
        """Count one row.

        :param key: whatever tells rows apart; the whole row where there is nothing shorter
        """
        bucket = xxh3_64_intdigest(key) % BUCKETS
        self.rows[bucket] += 1
        self.sums[bucket] += xxh3_64_intdigest(row)

    def content(self, name: str, method: str) -> TableContent:
        """What a manifest keeps of it."""
        buckets = tuple(bucket_digest(rows, f"{total % (1 << 64):016x}") for rows, total in zip(self.rows, self.sums, strict=True))
        return TableContent(name=name, rows=sum(self.rows), buckets=buckets, method=method)


def bucket_digest(rows: int, digest: str) -> str:
    """One bucket as a manifest has it: an empty one and one whose rows cancel each other out must differ."""
    return f"{rows}:{digest}"

"""Large objects in parts: every byte once and in order, in as few parts and as little memory as S3 allows."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.catalog.backends import parts
from midtime.catalog.backends.parts import PartsUpload, part_size

S3_PARTS, S3_SMALLEST, S3_LARGEST = 10_000, 5 << 20, 5 << 30
AZURE_BLOCKS, AZURE_LARGEST = 50_000, 4000 << 20


class Recorded(PartsUpload):
    """Keeps what the store would get."""

    def __init__(self, keep: bool = True) -> None:
        super().__init__()
        self.keep, self.sent, self.whole, self.together = keep, list[bytes](), False, 0

    def put_whole(self, content: bytearray) -> None:
        self.sent, self.whole = [bytes(content)], True

    def put_part(self, content: bytearray) -> None:
        self.sent += [bytes(content) if self.keep else b""]

    def put_together(self) -> None:
        self.together += 1


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", 10)
    monkeypatch.setattr(parts, "GROW_EVERY", 2)


@pytest.mark.usefixtures("tiny")
class TestParts:
    @pytest.mark.parametrize("size", [0, 1, 9])
    def test_a_small_one_is_sent_whole(self, size: int) -> None:
        upload = Recorded()
        upload.write(bytes(size))
        upload.finish()
        assert (upload.sent, upload.whole, upload.together) == ([bytes(size)], True, 0)

    @given(chunks=st.lists(st.binary(max_size=70), max_size=12))
    def test_every_byte_once_and_in_order(self, chunks: list[bytes]) -> None:
        upload = Recorded()
        for number, chunk in enumerate(chunks):
            upload.write([bytes, bytearray, memoryview][number % 3](chunk))  # type: ignore[operator]
        upload.finish()
        assert b"".join(upload.sent) == b"".join(chunks)
        assert upload.together == (not upload.whole)
        if not upload.whole:
            assert [len(part) for part in upload.sent[:-1]] == [part_size(number) for number in range(len(upload.sent) - 1)]
            assert 0 < len(upload.sent[-1]) <= part_size(len(upload.sent) - 1)

    def test_they_grow(self) -> None:
        upload = Recorded()
        upload.write(bytes(100))
        upload.finish()
        assert [len(part) for part in upload.sent] == [10, 10, 20, 20, 30, 10]

    def test_what_was_handed_over_may_change_afterwards(self) -> None:
        upload, chunk = Recorded(), bytearray(b"x" * 15)
        upload.write(chunk)
        chunk[:] = b"?" * 15
        upload.finish()
        assert b"".join(upload.sent) == b"x" * 15


class TestLimits:
    def test_of_s3(self) -> None:
        sizes = [part_size(number) for number in range(S3_PARTS)]
        assert sum(sizes) > 10**12, "a terabyte"
        assert S3_SMALLEST <= min(sizes) <= max(sizes) <= S3_LARGEST

    def test_of_azure(self) -> None:
        assert part_size(AZURE_BLOCKS - 1) <= AZURE_LARGEST

    def test_memory_does_not_grow_with_the_object(self) -> None:
        upload, chunk = Recorded(keep=False), bytes(1 << 20)
        tracemalloc.start()
        try:
            for _ in range(200):
                upload.write(chunk)
            upload.finish()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert upload.parts == 7
        assert peak < 2.5 * parts.PART

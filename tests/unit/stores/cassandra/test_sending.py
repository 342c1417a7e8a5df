"""Streams, their speed, and what is said of them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.stores.cassandra import sending
from midtime.stores.cassandra.nodes.files import FileSeen
from midtime.stores.cassandra.sending import Hashed, Progress, Throttle, in_streams


@dataclass
class Clock:
    now: float = 100.0
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def hashed(number: int, size: int, root: str = "/data1") -> Hashed:
    return Hashed(FileSeen(root, f"ks/t/{number}", size, number, 0), "0" * 64)


class TestThrottle:
    @given(st.lists(st.integers(1, 5000), min_size=20, max_size=60), st.integers(100, 10_000))
    def test_never_faster_than_told(self, counts: list[int], rate: int) -> None:
        clock = Clock()
        throttle = Throttle(rate, clock=clock, sleep=clock.sleep)
        passed = []
        for count in counts:
            throttle.take(count)
            passed.append((clock.now, count))
        seconds = passed[-1][0] - 100.0
        assert sum(count for _, count in passed[:-1]) <= rate * (seconds + 0.001)
        assert sum(counts) >= rate * seconds, "and no slower"

    def test_what_was_not_used_is_made_up_for_a_second_only(self) -> None:
        clock = Clock()
        throttle = Throttle(100, clock=clock, sleep=clock.sleep)
        clock.now += 3600
        for _ in range(10):
            throttle.take(100)
        assert sum(clock.slept) == pytest.approx(8)

    def test_without_a_limit(self) -> None:
        clock = Clock()
        Throttle(None, clock=clock, sleep=clock.sleep).take(1 << 50)
        assert clock.slept == []

    def test_all_streams_together(self) -> None:
        slept = list[float]()
        throttle = Throttle(1000, clock=lambda: 0.0, sleep=slept.append)
        threads = [threading.Thread(target=throttle.take, args=(1000,)) for _ in range(5)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(slept) == [1.0, 2.0, 3.0, 4.0], "one after the other, whoever asks"


class TestStreams:
    @given(st.lists(st.tuples(st.integers(0, 100 << 20), st.sampled_from(["/data1", "/data2"])), max_size=40))
    def test_each_file_once_and_of_one_root(self, sizes: list[tuple[int, str]]) -> None:
        missing = [hashed(number, size, root) for number, (size, root) in enumerate(sizes)]
        streams = list(in_streams(missing))
        assert sorted(each.seen.inode for stream in streams for each in stream) == list(range(len(missing)))
        assert all(len({each.seen.root for each in stream}) == 1 for stream in streams)
        totals = [sum(each.seen.size for each in stream) for stream in streams]
        assert totals == sorted(totals, reverse=True)
        assert all(sum(each.seen.size for each in stream[:-1]) < sending.STREAM_BYTES for stream in streams)

    def test_small_ones_together(self) -> None:
        streams = list(in_streams(hashed(number, 100) for number in range(1200)))
        assert [len(stream) for stream in streams] == [500, 500, 200]


class TestProgress:
    def test_not_more_often_than_every_five_seconds(self) -> None:
        clock, said = Clock(), list[str]()
        progress = Progress("node n1", 100, 100_000_000, said.append, clock)
        for _ in range(100):
            clock.now += 0.5
            progress.add(files=1, count=1_000_000)
        assert len(said) == 10
        assert said[0] == "node n1: sent 10,000,000 of 100,000,000 bytes, 10 of 100 files, 2.0 MB/s"

    def test_at_once(self) -> None:
        said = list[str]()
        Progress("node n1", 0, 0, said.append, Clock()).tell()
        assert said == ["node n1: sent 0 of 0 bytes, 0 of 0 files, 0.0 MB/s"]

"""The bank: transfers between random accounts through ScalarDB, whose sum never changes.

``python -m tests.stack.bank --port 60051 --seconds 10`` runs it as a program and prints what happened as JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any

import grpc  # type: ignore[import-untyped]

from tests.stack import cache
from tests.stack.scalardb_client import Half, Transaction, TransactionError

START_BALANCE = 1000


def tables_of(namespaces: Iterable[str]) -> tuple[str, ...]:
    """The bank's table in each."""
    return tuple(f"{namespace}.acct" for namespace in namespaces)


class Bank:
    """A number of accounts in every table, and threads that move money between them."""

    def __init__(self, address: str, accounts: int = 50, tables: Sequence[str] = ("bank.acct",)) -> None:
        self.tables, self.size = tuple(tables), accounts
        self.accounts = [(table, number) for table in tables for number in range(accounts)]
        self.commits = self.aborts = self.refused = 0
        self.commit_times: list[float] = []  # time.monotonic()
        self._channel = grpc.insecure_channel(address)
        self._stub = cache.stubs("scalardb_pb2_grpc").DistributedTransactionStub(self._channel)
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._threads: list[threading.Thread] = []
        self._think = 0.0

    @property
    def expected_total(self) -> int:
        return START_BALANCE * len(self.accounts)

    def load(self) -> Bank:
        """Create the accounts, with the start balance each."""
        for batch in _batches(self.accounts, 50):
            transaction = Transaction(self._stub)
            for table, number in batch:
                transaction.write(table, number, START_BALANCE, owner=f"owner {number}")
            transaction.commit()
        return self

    def start(self, threads: int = 4, think: float = 0.0) -> Bank:
        """``think``: seconds between two transfers of a thread; 0 takes all of a small machine, and Airflow then starts slowly."""
        self._stopping.clear()
        self._think = think
        self._threads = [threading.Thread(target=self._work, name=f"bank-{number}", daemon=True) for number in range(threads)]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Let the transfers that are under way end."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def close(self) -> None:
        self.stop()
        self._channel.close()

    def total(self, tries: int = 20) -> int:
        """The sum over all accounts, read in one transaction; ScalarDB mends half-done records while it reads."""
        for attempt in itertools.count(1):
            try:
                return self._read_total()
            except (TransactionError, grpc.RpcError):
                if attempt >= tries:
                    raise
                time.sleep(0.1)
        raise AssertionError

    def longest_gap(self, since: float = 0.0, until: float = float("inf")) -> float:
        """The longest time without a commit, between two instants of ``time.monotonic()``."""
        times = sorted(at for at in list(self.commit_times) if since <= at <= until)
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)

    def summary(self) -> dict[str, Any]:
        return {"commits": self.commits, "aborts": self.aborts, "refused": self.refused, "longest_gap": round(self.longest_gap(), 3)}

    def _read_total(self) -> int:
        transaction = Transaction(self._stub)
        total = sum(transaction.read(table, number) or 0 for table, number in self.accounts)
        transaction.commit()
        return total

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._transfer()
                if self._think:
                    self._stopping.wait(self._think)
            except TransactionError:
                with self._lock:
                    self.aborts += 1
            except (grpc.RpcError, StopIteration):
                with self._lock:
                    self.refused += 1
                self._stopping.wait(0.005)  # paused or down: try again soon, so that the gap is the server's and not ours

    def _transfer(self) -> None:
        (from_table, payer), (to_table, payee) = random.sample(self.accounts, 2)
        amount = random.randint(1, 20)
        transaction = Transaction(self._stub)
        have, had = transaction.read(from_table, payer), transaction.read(to_table, payee)
        if have is None or had is None or have < amount:
            transaction.rollback()
            return
        transaction.write(from_table, payer, have - amount)
        transaction.write(to_table, payee, had + amount)
        transaction.commit()
        self._committed()

    def _committed(self) -> None:
        with self._lock:
            self.commits += 1
            self.commit_times.append(time.monotonic())


class TwoPhaseBank(Bank):
    """The same with a server for each table: each transfer is begun at one of them and joined at the other, by two-phase commit.

    :param servers: table -> address of its server
    """

    def __init__(self, servers: Mapping[str, str], accounts: int = 50) -> None:
        self._banks = {table: Bank(address, accounts, [table]) for table, address in servers.items()}
        super().__init__(next(iter(servers.values())), accounts, tuple(servers))
        stub = cache.stubs("scalardb_pb2_grpc").TwoPhaseCommitTransactionStub
        self._stubs = {table: stub(bank._channel) for table, bank in self._banks.items()}

    def load(self) -> Bank:
        for bank in self._banks.values():
            bank.load()
        return self

    def close(self) -> None:
        super().close()
        for bank in self._banks.values():
            bank.close()

    def _read_total(self) -> int:
        return sum(bank._read_total() for bank in self._banks.values())

    def _transfer(self) -> None:
        here, there = random.sample(self.tables, 2)
        amount = random.randint(-20, 20)
        with ExitStack() as halves:  # whatever happens: a stream that stays open keeps a pause from draining
            begun = Half(self._stubs[here])
            halves.callback(begun.end)
            joined = Half(self._stubs[there], join=begun.id)
            halves.callback(joined.end)
            self._move(begun, here, amount)
            self._move(joined, there, -amount)
            for half in (begun, joined):
                half.prepare()
            for half in (begun, joined):
                half.commit()
        self._committed()

    def _move(self, half: Half, table: str, amount: int) -> None:
        number = random.randrange(self.size)
        have = half.read(table, number)
        assert have is not None
        half.write(table, number, have + amount)


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def main() -> None:
    """Run the bank for some seconds, or until a signal, and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--think", type=float, default=0.0, help="seconds between two transfers of a thread")
    parser.add_argument("--accounts", type=int, default=50)
    parser.add_argument("--table", action="append", help="namespace.table, once for each; bank.acct by default")
    parser.add_argument("--load", action="store_true", help="create the accounts first")
    options = parser.parse_args()
    bank = Bank(f"{options.host}:{options.port}", options.accounts, options.table or ("bank.acct",))
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    if options.load:
        bank.load()
    bank.start(options.threads, options.think)
    ended.wait(None if options.seconds == float("inf") else options.seconds)
    bank.stop()
    print(json.dumps({**bank.summary(), "total": bank.total(), "expected": bank.expected_total}), flush=True)


if __name__ == "__main__":
    main()


def require_moving(address: str, size: int, tables: Sequence[str]) -> None:
    """Money moves between accounts that are there already, and none of it is lost."""
    with closing(Bank(address, size, tables)) as bank:
        bank.start(threads=1)
        time.sleep(2)
        bank.stop()
        assert bank.commits
        assert bank.total() == bank.expected_total

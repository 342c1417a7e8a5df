"""A small ScalarDB client over the stubs that are generated from the server's own protocol file."""

from __future__ import annotations

import queue
from typing import Any

import grpc  # type: ignore[import-untyped]

from tests.stack import cache

RPC_TIMEOUT = 60.0


class TransactionError(Exception):
    """The server answered with an error; the transaction has been rolled back."""


class _Stream:
    """A bidirectional stream with a response for every request; it ends with the transaction.

    :param call: the service's method
    :param kind: name of the requests' message
    :param first: the request with which it begins
    """

    def __init__(self, call: Any, kind: str, **first: Any) -> None:
        self._proto = cache.stubs("scalardb_pb2")
        self._kind = getattr(self._proto, kind)
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._responses = call(iter(self._requests.get, None), timeout=RPC_TIMEOUT)
        self.over = False
        self.id = self._ask(**first).begin_response.transaction_id

    def read(self, table: str, account: int) -> int | None:
        """The balance, or None where there is no such account."""
        get = self._proto.Get(**self._record(table, account))
        result = self._ask(get_request=self._kind.GetRequest(get=get)).get_response.result
        return next((column.int_value for column in result.columns if column.name == "balance"), None)

    def write(self, table: str, account: int, balance: int, owner: str | None = None) -> None:
        columns = [self._proto.Column(name="balance", int_value=balance)]
        if owner is not None:
            columns.append(self._proto.Column(name="owner", text_value=owner))
        put = self._proto.Mutation(**self._record(table, account), columns=columns, implicit_pre_read_enabled=owner is not None)
        self._ask(mutate_request=self._kind.MutateRequest(mutations=[put]))

    def commit(self) -> None:
        self._ask(commit_request=self._kind.CommitRequest())
        self._finish()

    def rollback(self) -> None:
        """Without this request the server counts the stream as outstanding for ever, and no pause can drain."""
        self._requests.put(self._kind(rollback_request=self._kind.RollbackRequest()))
        self._finish()

    def _record(self, table: str, account: int) -> dict[str, Any]:
        namespace, _, name = table.partition(".")
        key = self._proto.Key(columns=[self._proto.Column(name="id", int_value=account)])
        return {"namespace": namespace, "table": name, "partition_key": key}

    def _ask(self, **request: Any) -> Any:
        self._requests.put(self._kind(**request))
        try:
            response = next(self._responses)
        except (grpc.RpcError, StopIteration):
            self.over = True
            self._requests.put(None)  # lets gRPC's thread that reads the requests end
            raise
        if response.HasField("error"):
            self.rollback()
            raise TransactionError(response.error.message)
        return response

    def _finish(self) -> None:
        self.over = True
        self._requests.put(None)
        for _ in self._responses:
            pass


class Transaction(_Stream):
    """One ScalarDB transaction."""

    def __init__(self, stub: Any) -> None:
        begin = cache.stubs("scalardb_pb2").TransactionRequest.BeginRequest()
        super().__init__(stub.Transaction, "TransactionRequest", begin_request=begin)


class Half(_Stream):
    """One server's side of a two-phase commit: begun there, or joined with the id of the one that was begun elsewhere.

    Both are prepared, then the one that was begun is committed, which decides, then the other.
    """

    def __init__(self, stub: Any, join: str = "") -> None:
        kind = cache.stubs("scalardb_pb2").TwoPhaseCommitTransactionRequest
        first = {"join_request": kind.JoinRequest(transaction_id=join)} if join else {"begin_request": kind.BeginRequest()}
        super().__init__(stub.TwoPhaseCommitTransaction, "TwoPhaseCommitTransactionRequest", **first)

    def end(self) -> None:
        """Roll it back, unless it is over."""
        if not self.over:
            self.rollback()

    def prepare(self) -> None:
        self._ask(prepare_request=self._kind.PrepareRequest())

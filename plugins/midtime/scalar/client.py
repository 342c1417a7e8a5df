"""The scalar-admin service of one endpoint: every RPC has a deadline of its own and ends with one error of ``errors.py``.

All times are seconds; ``sent`` and ``answered`` are readings of ``time.monotonic()``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.empty_pb2 import Empty

from midtime.errors import AdminAccessError, AdminUnreachableError, MidtimeError
from midtime.scalar.admin_pb2 import CheckPausedResponse, PauseRequest
from midtime.scalar.endpoint import Endpoint, TlsFiles
from midtime.scalar.outcomes import Verb, translate

T = TypeVar("T")

#: An endpoint that is reachable again has to be unpaused within a second, and two clients must never share a fate.
OPTIONS: dict[str, int] = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 250,
    # Despite its name also the time that one attempt to connect gets: a lost SYN would otherwise be waited for during 20 s.
    "grpc.min_reconnect_backoff_ms": 1000,
    # No ping is ever sent so rarely, but the second value becomes TCP_USER_TIMEOUT: a connection through a cut network is given up
    # after a second, instead of being slowed down more and more by TCP's own repetitions.
    "grpc.keepalive_time_ms": 3_600_000,
    "grpc.keepalive_timeout_ms": 1000,
    "grpc.use_local_subchannel_pool": 1,
    "grpc.enable_http_proxy": 0,
    "grpc.enable_retries": 0,  # one call is one RPC
    "grpc.service_config_disable_resolution": 1,  # no TXT look-ups, and nothing but this code decides on retries
    "grpc.dns_min_time_between_resolutions_ms": 500,
}
PROBE = 0.1  # between two tries to connect


class Reply(Generic[T]):
    """The reply to one RPC, which may still be under way."""

    def __init__(self, future: Any, outcome: Callable[[Any], T], sent: float) -> None:
        self.sent = sent
        """When the RPC was sent."""
        self.answered: float | None = None
        """When it ended, however it ended: taken when gRPC reports it, not when somebody looks."""
        self._future, self._outcome = future, outcome
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[Reply[T]], None]] = []
        future.add_done_callback(self._end)

    def done(self) -> bool:
        """Whether it has ended, so that :meth:`result` does not wait."""
        return self._ended.is_set()

    def result(self) -> T:
        """Wait for the answer. The RPC's own deadline ends the wait.

        :raises ProductError: what :func:`midtime.scalar.outcomes.translate` makes of the failure
        """
        self._ended.wait()  # gRPC has the result a little before it calls back, and only the callback knows the time
        return self._outcome(self._future)

    def add_done_callback(self, fn: Callable[[Reply[T]], None]) -> None:
        """Call ``fn`` with this reply when it has ended, on gRPC's thread; at once, on this thread, when it has ended already."""
        with self._lock:
            if not self.done():
                self._callbacks.append(fn)
                return
        fn(self)

    def _end(self, _: Any) -> None:
        self.answered = time.monotonic()
        with self._lock:
            self._ended.set()
        for fn in self._callbacks:
            fn(self)


class AdminClient:
    """The admin service of one endpoint, over one channel that it shares with nobody.

    Making it reads the TLS files and connects to nothing; the first RPC or :meth:`connect` does.

    :raises AdminAccessError: a TLS file cannot be read, or is none
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._channel = _channel(endpoint)
        self._pause = self._rpc("Pause", PauseRequest, Empty)
        self._unpause = self._rpc("Unpause", Empty, Empty)
        self._check = self._rpc("CheckPaused", Empty, CheckPausedResponse)

    def begin_pause(self, *, drain: float, timeout: float) -> Reply[None]:
        """Send a Pause that waits at most ``drain`` for outstanding requests. ``timeout`` should be longer than that."""
        request = PauseRequest(wait_outstanding=True, max_pause_wait_time=max(1, round(drain * 1000)))
        return self._begin("pause", self._pause, request, timeout, lambda _: None)

    def begin_unpause(self, *, timeout: float) -> Reply[None]:
        """Send an Unpause; the server takes it from anybody, paused or not."""
        return self._begin("unpause", self._unpause, Empty(), timeout, lambda _: None)

    def begin_check_paused(self, *, timeout: float) -> Reply[bool]:
        """Whether the gate is closed; that says nothing about requests that are under way."""
        return self._begin("check_paused", self._check, Empty(), timeout, lambda response: bool(response.paused))

    def pause(self, *, drain: float, timeout: float) -> None:
        """:meth:`begin_pause`, and wait."""
        self.begin_pause(drain=drain, timeout=timeout).result()

    def unpause(self, *, timeout: float) -> None:
        """:meth:`begin_unpause`, and wait."""
        self.begin_unpause(timeout=timeout).result()

    def check_paused(self, *, timeout: float) -> bool:
        """:meth:`begin_check_paused`, and wait."""
        return self.begin_check_paused(timeout=timeout).result()

    def connect(self, *, timeout: float) -> None:
        """Connect beforehand, so that the handshake is no part of the outage. Tries until the time is over; sends no RPC if all is well.

        :raises AdminUnreachableError: nobody answers
        :raises AdminAccessError: it refuses us; this is not tried again
        """
        deadline = time.monotonic() + timeout
        states = _States(self._channel)
        try:
            while not states.ready(deadline - time.monotonic()):
                self._why_not(deadline)
        finally:
            states.close()

    def close(self) -> None:
        """Close the channel; RPCs that are under way end as cancelled."""
        self._channel.close()

    def _why_not(self, deadline: float) -> None:
        """Raise what an RPC ends with, while it is an AdminAccessError or the time is over: the channel's state tells no reason."""
        try:
            self.check_paused(timeout=max(PROBE, deadline - time.monotonic()))
        except AdminUnreachableError:
            if time.monotonic() + PROBE > deadline:
                raise
            time.sleep(PROBE)

    def _rpc(self, name: str, request: Any, response: Any) -> Any:
        return self._channel.unary_unary(
            f"/rpc.Admin/{name}", request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )

    def _begin(self, verb: Verb, rpc: Any, request: Any, timeout: float, read: Callable[[Any], T]) -> Reply[T]:
        def outcome(future: Any) -> T:
            try:
                return read(future.result())
            except grpc.RpcError as error:
                raise translate(self.endpoint, verb, error) from None

        sent = time.monotonic()
        return Reply(rpc.future(request, timeout=timeout, wait_for_ready=False), outcome, sent)


class _States:
    """The states that a channel goes through while it connects."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._now: grpc.ChannelConnectivity | None = None
        self._changed = threading.Condition()
        channel.subscribe(self._note, try_to_connect=True)

    def ready(self, timeout: float) -> bool:
        """Wait for the end of an attempt. False when it failed or the time is over."""
        ends = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE)
        with self._changed:
            self._changed.wait_for(lambda: self._now in ends, timeout)
            return self._now is grpc.ChannelConnectivity.READY

    def close(self) -> None:
        self._channel.unsubscribe(self._note)

    def _note(self, state: grpc.ChannelConnectivity) -> None:
        with self._changed:
            self._now = state
            self._changed.notify_all()


def _channel(endpoint: Endpoint) -> grpc.Channel:
    options: dict[str, Any] = dict(OPTIONS)
    target = f"dns:///{endpoint.address}"
    if endpoint.tls is None:
        return grpc.insecure_channel(target, list(options.items()))
    if authority := endpoint.tls.override_authority:
        options |= {"grpc.ssl_target_name_override": authority, "grpc.default_authority": authority}
    return grpc.secure_channel(target, _credentials(endpoint, endpoint.tls), list(options.items()))


def _credentials(endpoint: Endpoint, tls: TlsFiles) -> grpc.ChannelCredentials:
    if bool(tls.cert) != bool(tls.key):  # gRPC would abort the whole process
        raise _unusable(endpoint, "of tls.cert and tls.key only one is given", "give both, or none of them")
    return grpc.ssl_channel_credentials(
        root_certificates=_pem(endpoint, "ca", tls.ca),
        private_key=_pem(endpoint, "key", tls.key),
        certificate_chain=_pem(endpoint, "cert", tls.cert),
    )


def _pem(endpoint: Endpoint, key: str, name: str | None) -> bytes | None:
    """The content of a PEM file. Of content that is none gRPC would only say that the channel is lame."""
    if name is None:
        return None
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise _unusable(endpoint, f"{name} cannot be read: {error.strerror}", f"put the file of tls.{key} on every worker") from None
    if b"-----BEGIN " not in content:
        raise _unusable(endpoint, f"{name} holds nothing in PEM format", f"give a PEM file in tls.{key}")
    return content


def _unusable(endpoint: Endpoint, what: str, fix: str) -> MidtimeError:
    return AdminAccessError(f"the TLS files for {endpoint} cannot be used: {what}", fix=fix)

"""An SSH connection to a node, through the provider's hook; opened again when it was lost."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

from midtime.errors import StoreAccessError, StoreError, StoreUnreachableError
from midtime.stores.naming import airflow_connection

PATIENCE = 15
"""Seconds for a connection, a login and the start of a command, each."""
KEEPALIVE = 10
DEAD = 45
"""Seconds after which a connection is given up whose other side acknowledges nothing."""


class SshConnection:
    """One connection for all commands of a node. Thread-safe.

    :param conn_id: Airflow connection that knows user, key and port
    """

    def __init__(self, label: str, host: str, conn_id: str) -> None:
        self.label, self.host, self.conn_id = label, host, conn_id
        self._client: Any = None
        self._connecting = threading.Lock()

    def execute(self, line: str) -> Any:
        """A new channel in which the node's shell runs a line.

        :raises StoreUnreachableError: the node does not answer
        :raises StoreAccessError: it refuses us, or we do not trust it
        """
        client, fresh = self._connected()
        try:
            return _channel(client, line)
        except Exception as error:
            if fresh or _is_active(client):
                raise self._failure(error) from error
        client, _ = self._connected()
        try:
            return _channel(client, line)
        except Exception as error:
            raise self._failure(error) from error

    def lost(self, what: str) -> StoreUnreachableError:
        """It ended while something went on in it."""
        return StoreUnreachableError(
            f"node {self.label}: the SSH connection to {self.host} was lost while {what} ran",
            fix="see whether the node runs and the network is well, then try again",
        )

    def close(self) -> None:
        """Let go of it. Idempotent."""
        with self._connecting:
            if self._client:
                self._client.close()
                self._client = None

    def _connected(self) -> tuple[Any, bool]:
        with self._connecting:
            if self._client and _is_active(self._client):
                return self._client, False
            if self._client:
                self._client.close()
            try:
                self._client = _connect(self._hook())
            except StoreAccessError:
                raise
            except Exception as error:
                raise self._failure(error) from error
            return self._client, True

    def _hook(self) -> Any:
        from airflow.providers.ssh.hooks.ssh import SSHHook

        if airflow_connection(self.conn_id) is None:
            raise StoreAccessError(
                f"node {self.label}: there is no Airflow connection {self.conn_id!r}",
                fix=f"airflow connections add {self.conn_id} --conn-type ssh --conn-login ... --conn-extra '{{\"key_file\": ...}}'",
            )
        try:
            hook = SSHHook(
                ssh_conn_id=self.conn_id,
                remote_host=self.host,
                keepalive_interval=KEEPALIVE,
                banner_timeout=PATIENCE,
                auth_timeout=PATIENCE,
                conn_retry_attempts=1,
            )
        except Exception as error:
            raise StoreAccessError(
                f"node {self.label}: the Airflow connection {self.conn_id!r} cannot be used for SSH: {type(error).__name__}: {error}",
                fix="correct its key or host key",
            ) from error
        hook.conn_timeout = hook.conn_timeout or PATIENCE
        hook.compress = False  # what is sent is compressed already
        return hook

    def _failure(self, error: Exception) -> StoreError:
        from paramiko import AuthenticationException, BadHostKeyException, IncompatiblePeer  # type: ignore[import-untyped]

        where = f"node {self.label}: SSH to {self.host} (connection {self.conn_id!r})"
        if isinstance(error, BadHostKeyException) or "not found in known_hosts" in str(error):
            return StoreAccessError(
                f"{where} shows a host key that we do not know: {error}",
                fix="see that it is the node's, and add it to ~/.ssh/known_hosts of the workers, or as `host_key` to the connection",
            )
        if isinstance(error, AuthenticationException):
            return StoreAccessError(f"{where} refuses to log us in: {error}", fix="correct the connection's login and key")
        if isinstance(error, FileNotFoundError | PermissionError) and error.filename:
            return StoreAccessError(f"{where} needs a file that cannot be read here: {error}", fix="correct `key_file` of the connection")
        if isinstance(error, IncompatiblePeer):
            return StoreAccessError(f"{where} speaks no algorithm that we speak: {error}", fix="allow one on the node")
        said = str(error) or type(error).__name__
        return StoreUnreachableError(f"{where} does not answer: {said}", fix="see whether the node and its SSH server run, then try again")


def _connect(hook: Any) -> Any:
    client = hook.get_conn()
    with suppress(OSError, AttributeError):  # a proxy command has no such options, a Mac not this one
        client.get_transport().sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD * 1000)
    return client


def _is_active(client: Any) -> bool:
    transport = client.get_transport()
    return transport is not None and transport.is_active()


def _channel(client: Any, line: str) -> Any:
    channel = client.get_transport().open_session(timeout=PATIENCE)
    # The reply is waited for without a limit, unless the channel is closed.
    timer = threading.Timer(PATIENCE, channel.close)
    timer.start()
    try:
        channel.exec_command(line)
    finally:
        timer.cancel()
    return channel

"""Commands in pods: the WebSocket that an API server opens for them, without the client library's limits.

Its own WSClient waits for ever for a connection, gathers output without bound, and swaps a client's methods while it connects.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from midtime.errors import DiscoveryAccessError, DiscoveryError
from midtime.kubernetes.api import Api
from midtime.kubernetes.frames import Frames

PROTOCOL = "v4.channel.k8s.io"
"""Every server speaks it. It cannot end a command's input; the next one can, and old servers do not speak that."""
PATIENCE = 15.0
ROLE = "include/kubernetes/role-exec.yaml"


def execute(api: Api, pod: str, container: str, command: Sequence[str]) -> Frames:
    """Start a command in a container, with standard input, output and error.

    :raises DiscoveryError: no answer, or there is no such pod; :class:`DiscoveryAccessError`: we may not
    """
    from kubernetes.stream.ws_client import create_websocket, get_websocket_url  # type: ignore[import-untyped]

    client = api.core.api_client
    query = [("container", container), *(("command", word) for word in command)]
    query += [(stream, "true") for stream in ("stdin", "stdout", "stderr")]
    path = f"/api/v1/namespaces/{quote(api.namespace)}/pods/{quote(pod)}/exec?{urlencode(query)}"
    headers: dict[str, str] = {}
    client.update_params_for_auth(headers, [], ["BearerToken"])
    headers = {"sec-websocket-protocol": PROTOCOL} | ({"authorization": token} if (token := headers.get("authorization")) else {})
    url = get_websocket_url(client.configuration.host + path)
    try:
        return Frames(_in_time(lambda: create_websocket(client.configuration, url, headers)))
    except Exception as error:
        raise _failure(api, pod, error) from error


def _in_time(connect: Any) -> Any:
    """The library sets no limit to a connection and its handshake."""
    outcome: list[Any] = []
    given_up = threading.Lock()

    def run() -> None:
        try:
            connected: Any = connect()
        except Exception as error:  # noqa: BLE001 - raised by who waits
            connected = error
        with given_up:
            if not outcome:
                outcome.append(connected)
                return
        if not isinstance(connected, Exception):
            connected.shutdown()

    thread = threading.Thread(target=run, name="midtime-exec", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    with given_up:
        if not outcome:
            outcome.append(TimeoutError(f"no answer within {PATIENCE:g} s"))
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _failure(api: Api, pod: str, error: Exception) -> DiscoveryError:
    status = getattr(error, "status_code", None)
    where = f"{api.subject}: Kubernetes (connection {api.conn_id!r})"
    if status == 403:
        return DiscoveryAccessError(
            f"{where} does not let us run commands in pod {api.namespace}/{pod}: {_said(error)}",
            fix=f"bind the Role of {ROLE} to our user or service account in that namespace",
        )
    if status == 401:
        return DiscoveryAccessError(f"{where} does not know us (401)", fix="renew the token or certificate of the connection")
    if status == 404:
        return DiscoveryError(f"{where} has no pod {api.namespace}/{pod} any more", fix="try again")
    if status:
        return DiscoveryError(f"{where} failed to run a command in pod {api.namespace}/{pod}: {status} {_said(error)}", fix="try again")
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return DiscoveryAccessError(f"{where} has a certificate that we do not trust: {error}", fix="correct the CA in its kubeconfig")
    return DiscoveryError(f"{where} does not answer: {error}", fix="see whether it runs and the worker reaches it, then try again")


def _said(error: Any) -> str:
    try:
        return str(json.loads(error.resp_body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error)


def exit_code(status: bytes) -> tuple[int | None, str]:
    """What the error channel said: the exit code, if the command ran at all, and a text."""
    try:
        said = json.loads(status)
    except ValueError:
        return None, status.decode(errors="replace")
    if said.get("status") == "Success":
        return 0, ""
    causes = (said.get("details") or {}).get("causes") or []
    codes = [cause.get("message", "") for cause in causes if cause.get("reason") == "ExitCode"]
    return (int(codes[0]) if codes and codes[0].isdigit() else None), str(said.get("message", ""))

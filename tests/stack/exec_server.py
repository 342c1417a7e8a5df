"""The part of a Kubernetes API server that runs commands in pods: ``python -m tests.stack.exec_server PORT CERTIFICATE KEY TOKEN``.

It speaks the protocol of the real one, ``v4.channel.k8s.io`` over a WebSocket over TLS; its only pod is this machine.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

from aiohttp import WSMsgType, web

POD = {
    "metadata": {"name": "cassandra-0", "labels": {"app": "cassandra"}},
    "spec": {"containers": [{"name": "cassandra"}]},
    "status": {"phase": "Running", "podIP": "127.0.0.1"},
}
PODS = "/api/v1/namespaces/databases/pods"
PIECE = 32 << 10


class Server:
    def __init__(self, token: str) -> None:
        self.token = token
        self.application = web.Application()
        self.application.router.add_get(PODS, self.list)
        self.application.router.add_get(f"{PODS}/cassandra-0/exec", self.execute)

    async def list(self, request: web.Request) -> web.Response:
        self._admit(request, self.token, f"{self.token}-lists")
        chosen = [POD] if request.query.get("labelSelector") == "app=cassandra" else []
        return web.json_response({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": chosen})

    async def execute(self, request: web.Request) -> web.WebSocketResponse:
        self._admit(request, self.token)
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",), max_msg_size=0, autoping=True)
        await socket.prepare(request)
        if socket.ws_protocol is None or request.query.get("container") != "cassandra":
            await socket.send_bytes(b"\3" + json.dumps({"status": "Failure", "message": "container not found"}).encode())
            return socket
        await self._run(socket, request.query.getall("command"))
        return socket

    async def _run(self, socket: web.WebSocketResponse, command: list[str]) -> None:
        child = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1, stderr=-1, start_new_session=True)
        feeding = asyncio.create_task(self._feed(socket, child.stdin))
        await asyncio.gather(self._tell(socket, 1, child.stdout), self._tell(socket, 2, child.stderr))
        code = await child.wait()
        if not socket.closed:
            await socket.send_bytes(b"\3" + json.dumps(_status(code if code >= 0 else 128 - code)).encode())
            feeding.cancel()
            await socket.close()

    async def _feed(self, socket: web.WebSocketResponse, stdin: Any) -> None:
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data[0] == 0:
                try:
                    stdin.write(message.data[1:])
                    await stdin.drain()
                except OSError:
                    continue
        stdin.close()  # as a kubelet does when its client is gone; the command runs on

    async def _tell(self, socket: web.WebSocketResponse, channel: int, source: Any) -> None:
        while chunk := await source.read(PIECE):
            if not socket.closed:
                try:
                    await socket.send_bytes(bytes([channel]) + chunk)
                except OSError:
                    return

    def _admit(self, request: web.Request, *tokens: str) -> None:
        said = request.headers.get("Authorization")
        if said not in (f"Bearer {token}" for token in tokens):
            kind, code = (web.HTTPForbidden, 403) if said else (web.HTTPUnauthorized, 401)
            raise kind(text=json.dumps({"kind": "Status", "message": f"{request.path} is not for you", "code": code}))


def _status(code: int) -> dict[str, Any]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    said = f"command terminated with non-zero exit code: exit status {code}"
    return {"metadata": {}, "status": "Failure", "message": said, "reason": "NonZeroExitCode", "details": {"causes": causes}}


if __name__ == "__main__":
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    web.run_app(Server(sys.argv[4]).application, host="127.0.0.1", port=int(sys.argv[1]), ssl_context=context, reuse_port=True, print=None)

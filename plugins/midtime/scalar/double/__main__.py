"""``python -m midtime.scalar.double --port 0 --contract new``: prints ``{"port": …, "ports": […]}`` when it listens.

Then it obeys its standard input (``control.py``), and ends with it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from midtime.errors import MidtimeError
from midtime.scalar.double.control import obey
from midtime.scalar.double.gate import Gate
from midtime.scalar.double.script import Call
from midtime.scalar.double.server import PlayedEndpoint

#: two doubles on one port would share the calls by chance
OPTIONS = [("grpc.so_reuseport", 0)]


def main() -> None:
    """Run until the standard input ends."""
    asyncio.run(_run(_arguments()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m midtime.scalar.double", description="A test double of scalar-admin.")
    parser.add_argument("--host", default="127.0.0.1", help="an IPv6 address in brackets")
    parser.add_argument("--port", type=int, default=0, help="of the first endpoint; 0: any that is free")
    parser.add_argument("--count", type=int, default=1, help="endpoints, each with a port and a gate of its own")
    parser.add_argument("--contract", choices=["new", "old"], default="new")
    parser.add_argument("--domain", default="com.scalar.dl.admin", help="of the new contract's ErrorInfo")
    parser.add_argument("--message", default="", help="of the old contract's failures")
    parser.add_argument("--tls-cert", type=Path, help="PEM; with --tls-key it speaks TLS")
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--client-ca", type=Path, help="PEM; clients then need a certificate of this authority")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    calls: list[Call] = []
    endpoints, ports = [], []
    servers = []  # they end when nobody holds them
    for number in range(arguments.count):
        endpoint = PlayedEndpoint(number, Gate(arguments.contract, domain=arguments.domain, message=arguments.message), calls)
        server, port = await _listen(endpoint, arguments, arguments.port + number if arguments.port else 0)
        endpoints.append(endpoint)
        servers.append(server)
        ports.append(port)
    _say({"port": ports[0], "ports": ports})
    await _obey_input(endpoints, calls)
    os._exit(0)  # without waiting for calls that hang


async def _listen(endpoint: PlayedEndpoint, arguments: argparse.Namespace, port: int) -> tuple[Any, int]:
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((endpoint.handler(),))
    address = f"{arguments.host}:{port}"
    secure = arguments.tls_cert is not None
    bound = server.add_secure_port(address, _credentials(arguments)) if secure else server.add_insecure_port(address)
    await server.start()
    return server, bound


def _credentials(arguments: argparse.Namespace) -> Any:
    pair = (arguments.tls_key.read_bytes(), arguments.tls_cert.read_bytes())
    authority = arguments.client_ca.read_bytes() if arguments.client_ca else None
    return grpc.ssl_server_credentials([pair], root_certificates=authority, require_client_auth=authority is not None)


async def _obey_input(endpoints: list[PlayedEndpoint], calls: list[Call]) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            _say(obey(endpoints, calls, json.loads(line)))
        except (MidtimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            _say({"error": str(error)})


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

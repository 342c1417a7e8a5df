"""Host names for tests: what the worker's resolver says, without one."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

_REAL = socket.getaddrinfo


def know(monkeypatch: pytest.MonkeyPatch, hosts: Mapping[str, Sequence[str] | int]) -> list[str]:
    """Let these names, and no others, have these addresses; a number is what the resolver fails with.

    :return: the names that are asked for
    """
    asked: list[str] = []

    def answer(host: Any, port: Any, *args: Any, **details: Any) -> Any:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            asked.append(host)
        else:
            return _REAL(host, port, *args, **details)
        said = hosts.get(host, socket.EAI_NONAME)
        if isinstance(said, int):
            raise socket.gaierror(said, "what the resolver says")
        return [found for address in said for found in _REAL(address, port, *args, **details)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked

"""Requests to Azure, and tables of what answers them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.stack.azure_arm_world import RefusedError
from tests.stack.cloud_server import Answer


@dataclass
class Request:
    """As it came in, before anybody knows what is wanted."""

    method: str
    host: str
    target: str
    headers: Message
    body: bytes

    @cached_property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path).rstrip("/") or "/"

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def base(self) -> str:
        return f"https://{self.host}"

    @property
    def json(self) -> dict[str, Any]:
        try:
            content = json.loads(self.body or b"{}")
        except ValueError:
            raise RefusedError(400, "InvalidRequestContent", "The request content was invalid and could not be deserialized") from None
        return content if isinstance(content, dict) else {}

    def header(self, name: str) -> str:
        return str(self.headers.get(name) or "")


#: the request, and what the braces of its route stand for
Call = Callable[..., Answer]


@dataclass(frozen=True)
class Route:
    """One operation: how it is asked for, what a role must allow for it, and who carries it out."""

    method: str
    pattern: re.Pattern[str]
    operation: str
    action: str
    call: Call


class Routes:
    """A table, in whose templates ``{name}`` stands for a part of a path. Azure does not care for the case of paths."""

    def __init__(self, flags: re.RegexFlag = re.IGNORECASE) -> None:
        self._routes: list[Route] = []
        self._flags = flags

    def add(self, method: str, template: str, operation: str, call: Call, action: str = "") -> None:
        pattern = "".join(
            f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", template)
        )
        self._routes.append(Route(method, re.compile(pattern, self._flags), operation, action, call))

    def find(self, request: Request) -> tuple[Route, dict[str, str]] | None:
        for route in self._routes:
            if route.method == request.method and (match := route.pattern.fullmatch(request.path)):
                return route, match.groupdict()
        return None

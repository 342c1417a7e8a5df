"""What roles allow: ``Microsoft.Authorization/permissions``, and the refusal of what they do not."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping

from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import ArmWorld, RefusedError, answer
from tests.stack.cloud_server import Answer


def allowed(permissions: Iterable[Mapping[str, Iterable[str]]], action: str) -> bool:
    """Any one that allows it and does not take it away again; Azure does not care for case, and ``*`` stands for anything."""

    def named(patterns: Iterable[str]) -> bool:
        return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)

    return any(named(each.get("actions", ())) and not named(each.get("notActions", ())) for each in permissions)


def require_action(permissions: Iterable[Mapping[str, Iterable[str]]], action: str, scope: str, principal: str) -> None:
    if not allowed(permissions, action):
        message = (
            f"The client '{principal}' with object id '{principal}' does not have authorization to perform action '{action}' over scope "
            f"'{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials."
        )
        raise RefusedError(403, "AuthorizationFailed", message)


def add_permissions(world: ArmWorld, routes: Routes, *scopes: str) -> None:
    """For a resource group, or for a resource."""

    def permissions(_: Request, **__: str) -> Answer:
        return answer(200, {"value": world.settings.permissions})

    for scope in scopes:
        routes.add("GET", f"{scope}/providers/Microsoft.Authorization/permissions", "Permissions_List", permissions)

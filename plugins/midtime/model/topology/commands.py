"""How something is stopped and started: a command, or the scale of a Kubernetes workload."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from midtime.model.durations import PositiveDuration, parse_duration
from midtime.model.topology.base import ConnId, CountOrZero, Many, Section, Text, broken, matching, short_form, shown


def _words(value: object) -> object:
    """Split a string into words as a shell would; no shell runs, so nothing in it is expanded."""
    if not isinstance(value, str):
        return value
    try:
        words = shlex.split(value)
    except ValueError as error:
        broken(f'"{shown(value)}" cannot be split into words: {error}')
    return words or broken("the command is empty")


_COMMAND_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]
}
Command = Annotated[Many[Text], BeforeValidator(_words), Field(min_length=1), WithJsonSchema(_COMMAND_SCHEMA)]
Workload = Annotated[
    str, *matching(r"(deployment|statefulset)/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "write deployment/<name> or statefulset/<name>")
]


class KubernetesScale(Section):
    """The number of replicas of Kubernetes workloads."""

    conn_id: ConnId = Field(default="kubernetes_default", description="Airflow connection of type `kubernetes`.")
    namespace: Text = Field(description="Kubernetes namespace of the workloads.")
    workloads: Many[Workload] = Field(min_length=1, description="`deployment/<name>` or `statefulset/<name>`, scaled in this order.")
    replicas: CountOrZero | None = Field(
        default=None, description="Replicas to scale to. Default: none for `stop`, and for `start` what there was before the stop."
    )


class Action(Section):
    """One way to stop or start something. Plain text or a list is short for `command`."""

    model_config = ConfigDict(json_schema_extra=short_form(_COMMAND_SCHEMA))

    command: Command | None = Field(
        default=None,
        description="Program and arguments, run without a shell (`sh -c '...'` brings one); must return 0. "
        "`{host}` stands for the node, where there is one.",
    )
    ssh_conn_id: ConnId | None = Field(
        default=None,
        description="Airflow connection of type `ssh` to run the command through. Default: on the worker (Cassandra: on the node).",
    )
    kubernetes: KubernetesScale | None = Field(default=None, description="Scale Kubernetes workloads instead of running a command.")
    timeout: PositiveDuration = Field(default=parse_duration("5m"), description="How long it may take.")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"command": value} if isinstance(value, str | list) else value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.command is None) == (self.kubernetes is None):
            broken("needs exactly one of `command` and `kubernetes`")
        if self.kubernetes and self.ssh_conn_id:
            broken("belongs to a command; `kubernetes` does not use it", "ssh_conn_id")
        return self


# Passwords on a command line are visible to everybody on the machine, and in this file to everybody who reads it.
_PASSWORD_ARGUMENT = re.compile(r"(?i)^--?(pass|password|passwd|token|secret)$|(password|passwd|pass|pwd|token|secret)=\S")
_SHORT_FORMS = {"nodetool": re.compile(r"-pw"), "mysql": re.compile(r"-p\S+"), "mariadb": re.compile(r"-p\S+")}


def carries_secret(command: tuple[str, ...]) -> bool:
    """Tell whether an argument looks like a password, also in the short forms of the programs that people use here."""
    short = [pattern for program, pattern in _SHORT_FORMS.items() if any(program in word for word in command)]
    return any(_PASSWORD_ARGUMENT.search(word) or any(pattern.fullmatch(word) for pattern in short) for word in command)

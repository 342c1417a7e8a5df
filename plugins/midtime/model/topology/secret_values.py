"""No secret belongs into a topology file: it lies in a repository, and its content is shown in the UI and in messages."""

from __future__ import annotations

import re
from collections.abc import Iterator

from midtime.model.topology.commands import carries_secret
from midtime.model.topology.document import Key

_SECRET_KEY = re.compile(
    r"(?i)(^|[_-])(pass|passwd|password|passphrase|pwd|secret|token|credentials?)$"
    r"|(^|[_-])(api|access|account|master|primary|shared|private|sas)[_-]?(key|token)$|secret[_-]?(access[_-]?)?key|connection[_-]?string"
)
_USER_AND_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/@\s:]*:[^/@\s]+@")
_PRIVATE_KEY = "-----BEGIN"
_SLACK_WEBHOOK = re.compile(r"(?i)https://hooks\.slack\.com/(services|workflows|triggers)/\w")
_AUTHORIZATION = re.compile(
    r"""(?ix) authorization["']?\s*[:=]\s*["']?(bearer|basic|token)\s+(?!\$)[^\s"']
    | \bbearer\s+(?=[a-z0-9._~+/=-]*\d|[a-z0-9._~+/=-]{16})"""  # else it is but the word
)
_LOGIN_OPTION = re.compile(
    r"""(?x) (?:(?:^|[\s"']) (?:-u|--user) (?:\s+|=) | \bcurl\b.*[\s"'] (?:-[fgiIjkLnNqsSv]*[uU]\s* | --(?:proxy-)?user(?:\s+|=)))
    ["']? [^\s:"'-][^\s:"']* : (?!//|\$) [^\s"']"""
)
"""``-u name:password``, as curl has it; a shell's variable is no password."""
_USER_AND_GROUP = re.compile(r"\b(docker|podman|nerdctl)\b|(-u|--user)[\s=]*\d+:\d+(\s|$)")
_COMMANDS = frozenset({"stop", "start", "command", "nodetool", "sstableloader", "repair", "restore_command"})

ADVICE = "put it into an Airflow connection and name that connection here"


def find_secrets(value: object, key: Key = ()) -> Iterator[tuple[Key, str]]:
    """Yield every place that seems to hold a secret, with what to do; the secret itself is never quoted."""
    if isinstance(value, dict):
        for name, child in value.items():
            here = (*key, name if isinstance(name, int) else str(name))
            if isinstance(name, str) and child is not None and _SECRET_KEY.search(name):
                yield here, f"a secret must not stand in this file: {ADVICE}"
            else:
                yield from find_secrets(child, here)
    elif isinstance(value, list):
        words = tuple(map(str, value))
        if _is_command(key) and (carries_secret(words) or _carries_login(" ".join(words))):
            yield key, f"a password on a command line can be seen by everybody: {ADVICE}, or let the command read a file"
        for index, child in enumerate(value):
            yield from find_secrets(child, (*key, index))
    elif isinstance(value, str):
        yield from _in_text(value, key)


def _in_text(text: str, key: Key) -> Iterator[tuple[Key, str]]:
    if _USER_AND_PASSWORD.search(text):
        yield key, f"this address carries a password: {ADVICE}"
    elif _PRIVATE_KEY in text:
        yield key, "this is a key or a certificate: give the path of a file"
    elif _SLACK_WEBHOOK.search(text):
        yield key, f"whoever knows this address may write there, it is a secret: {ADVICE}"
    elif "args" in key and _AUTHORIZATION.search(f"{key[-1]}: {text}"):
        yield key, f"this is a secret that a service lets its bearer in by: {ADVICE}"
    elif _is_command(key) and (carries_secret(tuple(text.split())) or _carries_login(text)):
        yield key, f"a password on a command line can be seen by everybody: {ADVICE}, or let the command read a file"


def _carries_login(command: str) -> bool:
    login = _LOGIN_OPTION.search(command) and not _USER_AND_GROUP.search(command)
    return bool(login or _AUTHORIZATION.search(command))


def _is_command(key: Key) -> bool:
    return bool(key) and key[-1] in _COMMANDS

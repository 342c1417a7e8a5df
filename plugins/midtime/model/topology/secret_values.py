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
        if _is_command(key) and carries_secret(tuple(map(str, value))):
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
    elif _is_command(key) and carries_secret(tuple(text.split())):
        yield key, f"a password on a command line can be seen by everybody: {ADVICE}, or let the command read a file"


def _is_command(key: Key) -> bool:
    return bool(key) and key[-1] in _COMMANDS

"""ScalarDB's stored procedures, put back by a command of the user's: its schema loader's ``--repair-all``, instead of by us."""

from __future__ import annotations

from urllib.parse import quote

from midtime.errors import RestoreFailedError
from midtime.model.words import listed
from midtime.stores.base import Say
from midtime.stores.cosmosdb.azure import Azure
from midtime.stores.cosmosdb.copied import Copied, read_copy
from midtime.stores.cosmosdb.notes import Copy
from midtime.stores.processes import run_tool

ENDPOINT, KEY, ACCOUNT = "MIDTIME_COSMOSDB_ENDPOINT", "MIDTIME_COSMOSDB_KEY", "MIDTIME_COSMOSDB_ACCOUNT"
"""In the command's environment."""


def repair(azure: Azure, note: Copy, copied: Copied, say: Say) -> None:
    """Run the command, unless every marked procedure is there already.

    :raises RestoreFailedError: it fails, or takes too long, or a procedure is missing afterwards
    """
    if not lacking(note, copied):
        return
    action = azure.spec.repair
    if action is None or action.command is None:
        raise AssertionError("the topology has seen to it")
    endpoint, key = azure.reached(note.resource_group, note.account)

    def hidden(line: str) -> str:
        return line.replace(key, "***").replace(quote(key, safe=""), "***")

    def failed(said: str) -> RestoreFailedError:
        return RestoreFailedError(
            f"store {azure.store}: the repair command failed on account {note.account}:\n{said}",
            fix="mend the command; then clear this task",
        )

    say(f"Running the repair command on account {note.account}")
    limit = ["timeout", "-k", "5", f"{action.timeout.total_seconds():g}"]
    run_tool([*limit, *action.command], env={ENDPOINT: endpoint, KEY: key, ACCOUNT: note.account}, failed=failed, hide=hidden)
    if left := lacking(note, read_copy(azure, note)):
        raise RestoreFailedError(
            f"store {azure.store}: the repair command did not put back {listed(left)}",
            fix="let it repair all tables, the Coordinator's too",
        )


def lacking(note: Copy, copied: Copied) -> list[str]:
    """The stored procedures that were marked, and are not there under their names."""
    there = {each.full_name: set(each.procedures) for each in copied.containers}
    marked = ((each.full_name, name) for each in note.marked.containers for name in each.procedures)
    return [f"{name} of {container}" for container, name in marked if name not in there.get(container, set())]

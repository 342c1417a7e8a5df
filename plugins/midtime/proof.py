"""Whether what was copied is what a window proved: asked when the midtime is chosen, and again right before the manifest is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from midtime.errors import WindowVoidError
from midtime.model.instants import to_rfc3339
from midtime.model.restore_point import StoreBackup
from midtime.model.topology import Topology
from midtime.window_clocks import choice_of


def proven_midtime(topology: Topology, captures: Sequence[Mapping[str, Any]], evidence: Mapping[str, Any] | None) -> str:
    """The midtime of a window, RFC 3339.

    :param captures: what the capturing tasks returned; none where every store is managed
    :param evidence: what the task that ended the window returned
    :raises WindowVoidError: a store was not captured in this very window, or what was copied is another capture than the reported one
    :raises WindowError: the window has no midtime
    """
    if not evidence:
        raise WindowVoidError("there is no evidence of a window", fix="see the log of the pausing task; start a new run")
    if "captures" in evidence:  # a plain chain has none: whatever it did, it did between pause and unpause
        reported = {said["store"]: said["capture"] for said in evidence["captures"].values() if said["window"] == evidence["id"]}
        copied = {each["store"]: each["capture"] for each in captures if each["window"] == evidence["id"]}
        wanted = {store.name for store in topology.stores if store.captured}
        if missing := [name for name in sorted(wanted) if name not in reported or reported[name] != copied.get(name)]:
            raise WindowVoidError(
                f"{', '.join(missing)}: not captured in window {evidence['id']}, or copied from another capture",
                fix="see the log of its task; start a new run",
            )
    return to_rfc3339(choice_of(evidence).midtime)


def require_parts(parts: Iterable[StoreBackup], captures: Sequence[Mapping[str, Any]]) -> None:
    """The parts that lie at the destination are those of these captures and marks.

    :raises WindowVoidError: another try wrote one of them, or it is of another window's mark
    """
    copied = {each["store"]: each.get("capture") for each in captures}
    if strange := [part.store for part in parts if part.details.get("capture") != copied.get(part.store)]:
        raise WindowVoidError(f"{', '.join(strange)}: another try of its task wrote what lies at the destination", fix="start a new run")

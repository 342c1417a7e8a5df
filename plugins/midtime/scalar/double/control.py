"""The words that script a double while it runs: one JSON object a line, answered with one.

=======================================================  ============================================================================
``{"outstanding": 2, "for": 1.5}``                       so many requests are under way and end after 1.5 s; without ``for`` never
``{"pause": {"delay": 3}}``                              how an RPC goes wrong (:class:`~midtime.scalar.double.script.Fault`); ``null``
                                                         puts it right; so ``unpause`` and ``check_paused``
``{"lie": {"pause": true}}``                             Pause answers OK and does nothing
``{"lie": {"check_paused": false}}``                     CheckPaused always answers that; ``null`` ends the lie
``{"foreign": "pause"}``                                 somebody else pauses, or ``"unpause"``
``{"die_on": {"check_paused": 4}}``                      the process dies with the fourth call from now
``{"refuse": true}``                                     every RPC ends as UNAVAILABLE
``{"default_limit": 0.5}``                               seconds that a Pause without a maximum waits, instead of 30
``{"reset": true}``                                      as after a start, with an empty log
``{"log": true}``                                        answers ``{"calls": [...]}`` (:class:`~midtime.scalar.double.script.Call`)
``{"state": true}``                                      answers ``{"paused": [...], "outstanding": [...]}``, by port
=======================================================  ============================================================================

With ``"endpoint": 3`` an object goes for that port only, otherwise for all. Several words in one object happen in the table's order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from midtime.errors import RequestError
from midtime.scalar.double.script import RPCS, Call
from midtime.scalar.double.server import PlayedEndpoint

Words = Mapping[str, Any]


def obey(endpoints: Sequence[PlayedEndpoint], calls: list[Call], words: Words) -> dict[str, Any]:
    """Do what one object says.

    :raises RequestError: it has a word that does not exist; nothing was done then
    """
    if unknown := words.keys() - {"endpoint", "for", "log", "state", *WORDS}:
        raise RequestError(f"the double does not know {sorted(unknown)}", fix=f"use some of {sorted(WORDS)}")
    for endpoint in [endpoints[words["endpoint"]]] if "endpoint" in words else endpoints:
        for word in WORDS.keys() & words.keys():
            WORDS[word](endpoint, words)
    if words.get("reset"):
        calls.clear()
    return _report(endpoints, calls, words)


def _report(endpoints: Sequence[PlayedEndpoint], calls: list[Call], words: Words) -> dict[str, Any]:
    result: dict[str, Any] = {"ok": True}
    if words.get("log"):
        result["calls"] = [asdict(call) for call in calls]
    if words.get("state"):
        result["paused"] = [one.gate.paused for one in endpoints]
        result["outstanding"] = [one.gate.outstanding for one in endpoints]
    return result


def _foreign(endpoint: PlayedEndpoint, words: Words) -> None:
    match words["foreign"]:
        case "pause":
            endpoint.gate.close()
        case "unpause":
            endpoint.gate.unpause()
        case other:
            raise RequestError(f"somebody else does not {other!r}", fix='give "pause" or "unpause"')


def _reset(endpoint: PlayedEndpoint, words: Words) -> None:
    if words["reset"]:
        endpoint.reset()


def _fault(rpc: str) -> Callable[[PlayedEndpoint, Words], None]:
    return lambda endpoint, words: endpoint.script.set_fault(rpc, words[rpc])


WORDS: dict[str, Callable[[PlayedEndpoint, Words], None]] = {
    "outstanding": lambda endpoint, words: endpoint.gate.let_in(words["outstanding"], words.get("for")),
    **{rpc: _fault(rpc) for rpc in RPCS},
    "lie": lambda endpoint, words: endpoint.script.tell_lies(words["lie"]),
    "foreign": _foreign,
    "die_on": lambda endpoint, words: endpoint.script.plan_deaths(words["die_on"]),
    "refuse": lambda endpoint, words: setattr(endpoint, "refuses", bool(words["refuse"])),
    "default_limit": lambda endpoint, words: setattr(endpoint.gate, "default_limit", float(words["default_limit"])),
    "reset": _reset,
}

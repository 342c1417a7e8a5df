"""Which privileges a login has on the whole of a database, read from SHOW GRANTS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

from midtime.stores.mysql.connections import Session

_LINE = re.compile(r"(GRANT|REVOKE) (.+?) ON (\*\.\*|`(?:[^`]|``)+`\.\*) (?:TO|FROM) (\S+)")
_PARTS = re.compile(r"\\.|.", re.DOTALL)
_ALL = "ALL PRIVILEGES"


@dataclass(frozen=True, slots=True)
class Grant:
    """One line of SHOW GRANTS that is about whole databases; what is granted on single tables is none."""

    grantee: str
    """The login, or one of its active roles."""
    databases: str
    """``*.*``, or a name with the wildcards of GRANT."""
    privileges: frozenset[str]
    revoked: bool = False
    """MySQL's partial revoke: of one database, from what is granted on all."""
    literal: bool = False
    """Whether ``%`` and ``_`` mean themselves, as where partial revokes are switched on."""

    def fits(self, name: str) -> float:
        """How well, as servers rank it: by what stands before the first wildcard; -1 for not at all."""
        pattern, literal = "", float("inf")
        for part in _PARTS.findall(self.databases):
            wildcard = "" if self.literal else {"%": ".*", "_": "."}.get(part, "")
            literal = min(literal, len(pattern)) if wildcard else literal
            pattern += wildcard or re.escape(part if self.literal else part[-1])
        return literal if re.fullmatch(pattern, name, re.DOTALL) else -1


def read(session: Session) -> list[Grant]:
    """What the login and its active roles hold."""
    if session.mariadb:
        return parse(text for (text,) in session.rows("SHOW GRANTS"))
    roles = session.value("SELECT CURRENT_ROLE()")
    using = f" USING {roles}" if roles != "NONE" else ""
    switches = session.rows("SHOW VARIABLES LIKE 'partial_revokes'")
    return parse(
        (text for (text,) in session.rows(f"SHOW GRANTS FOR CURRENT_USER(){using}")), literal=[value for _, value in switches] == ["ON"]
    )


def parse(lines: Iterable[str], *, literal: bool = False) -> list[Grant]:
    """The lines that are about whole databases."""
    found = (match for line in lines if (match := _LINE.match(line)))
    return [
        Grant(
            grantee,
            scope if scope == "*.*" else scope.removesuffix(".*")[1:-1].replace("``", "`"),
            frozenset(each.strip() for each in privileges.split(",")),
            revoked=verb == "REVOKE",
            literal=literal or verb == "REVOKE",
        )
        for verb, privileges, scope, grantee in (match.groups() for match in found)
    ]


def lacking(grants: Sequence[Grant], name: str, needed: Set[str]) -> set[str]:
    """Those of the needed privileges that are not held on a database. For each grantee a server heeds the best fitting line only, and ``*.*``."""
    found: set[str] = set()
    for grantee in {grant.grantee for grant in grants}:
        own = [grant for grant in grants if grant.grantee == grantee and (grant.databases == "*.*" or grant.fits(name) >= 0)]
        revoked = [grant for grant in own if grant.revoked]
        best = max(
            (grant for grant in own if not grant.revoked and grant.databases != "*.*"), key=lambda each: each.fits(name), default=None
        )
        everywhere = _of([grant for grant in own if grant.databases == "*.*"], needed) - _of(revoked, needed)
        found |= everywhere | _of([best] if best else [], needed)
    return set(needed) - found


def _of(grants: Iterable[Grant], needed: Set[str]) -> set[str]:
    return {each for each in needed for grant in grants if not {each, _ALL}.isdisjoint(grant.privileges)}

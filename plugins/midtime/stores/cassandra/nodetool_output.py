"""What nodetool prints, read: the same facts from the forms of Cassandra 4.0, 4.1 and 5.0."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from midtime.errors import ToolError

UP_AND_NORMAL = "UN"
UNREACHABLE = "UNREACHABLE"
"""The "schema version" of nodes that do not answer."""
# "Owns" is a percentage or a question mark; the load is a number with a unit, or a question mark.
_START = r"^(?P<state>[UD?][NLJMS?])\s+(?P<host>\S+)\s+(?P<load>\?|[\d.,]+ \S+)\s+"
_ID, _RACK = r"(?P<id>[0-9a-f-]{36})\s+", r"(?P<rack>\S.*?)\s*$"
_MEMBER = re.compile(rf"{_START}(?P<tokens>\d+)\s+(?P<owns>\S+)\s+{_ID}{_RACK}")
# Where every node has one token, it stands there itself.
_MEMBER_OF_ONE_TOKEN = re.compile(rf"{_START}(?P<owns>\S+)\s+{_ID}(?P<token>\S+)\s+{_RACK}")
_ANY_MEMBER = re.compile(r"^[UD?][NLJMS?]\s")
_DATA_CENTER = re.compile(r"^Datacenter:\s*(?P<name>\S.*?)\s*$")
# Names of snapshots may have spaces: the sizes behind the table's name are what can be recognised.
_SIZE = r"[\d.,]+ (?:bytes|[KMGTP]i?B)"
_SNAPSHOT = re.compile(rf"^(?P<tag>\S.*?)\s+(?P<keyspace>\w+)\s+(?P<table>\w\S*)\s+{_SIZE}\s+{_SIZE}(?:\s.*)?$")
_VERSIONED = re.compile(r"^(?P<version>\S+?):\s*\[(?P<hosts>.*)\]$")
_KEYSPACE = re.compile(r"^(?P<name>\w+) -> Replication class: (?P<strategy>\S+)\s*\{(?P<options>[^}]*)\}")


@dataclass(frozen=True, slots=True, order=True)
class RingMember:
    """One line of ``nodetool status``."""

    host: str
    host_id: str
    data_center: str
    rack: str
    tokens: int
    """How many it has."""
    state: str
    """``UN``: up and normal."""


@dataclass(frozen=True, slots=True)
class Info:
    """``nodetool info -T``: what a node says of itself."""

    host_id: str
    generation: int
    """Grows with each start."""
    data_center: str
    rack: str
    tokens: tuple[str, ...]
    gossips: bool


@dataclass(frozen=True, slots=True)
class Replication:
    """How a keyspace is replicated."""

    strategy: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Described:
    """``nodetool describecluster``."""

    name: str
    partitioner: str
    schema_versions: dict[str, tuple[str, ...]]
    """Version -> addresses; nodes that do not answer are under ``UNREACHABLE``."""
    versions: dict[str, tuple[str, ...]]
    """Cassandra's version -> addresses, without ports."""
    keyspaces: dict[str, Replication]


def status(said: str) -> tuple[RingMember, ...]:
    """All nodes of all data centres, sorted.

    :raises ToolError: there are none in it, or one of them cannot be read
    """
    found, data_center = [], ""
    for line in said.splitlines():
        if named := _DATA_CENTER.match(line):
            data_center = named["name"]
        elif member := _MEMBER.match(line) or _MEMBER_OF_ONE_TOKEN.match(line):
            tokens = int(member.groupdict().get("tokens", 1))
            found.append(RingMember(bare(member["host"]), member["id"], data_center, member["rack"], tokens, member["state"]))
        elif _ANY_MEMBER.match(line):
            raise _strange("status", line)  # such as a node whose id nobody knows yet: it must not be passed over
    if not found:
        raise _strange("status", said)
    return tuple(sorted(found))


def info(said: str) -> Info:
    """A node about itself.

    :raises ToolError: something is missing in it
    """
    pairs = [(key.strip(), value.strip()) for key, colon, value in (line.partition(":") for line in said.splitlines()) if colon]
    fields = dict(pairs)
    try:
        return Info(
            fields["ID"],
            int(fields["Generation No"]),
            fields["Data Center"],
            fields["Rack"],
            tuple(sorted(value for key, value in pairs if key == "Token" and not value.startswith("("))),
            fields["Gossip active"] == "true",
        )
    except (KeyError, ValueError):
        raise _strange("info", said) from None


def describecluster(said: str) -> Described:
    """The cluster as one node sees it.

    :raises ToolError: something is missing in it
    """
    sections = _sections(said)
    head = dict(line.partition(": ")[::2] for line in sections.get("Cluster Information", ()))
    keyspaces = {}
    for line in sections.get("Keyspaces", ()):
        if keyspace := _KEYSPACE.match(line):
            keyspaces[keyspace["name"]] = Replication(keyspace["strategy"].rpartition(".")[2], tuple(_options(keyspace["options"])))
    found = Described(
        head.get("Name", ""),
        head.get("Partitioner", ""),
        _versions(sections.get("Cluster Information", [])),
        _versions(sections.get("Database versions", [])),
        keyspaces,
    )
    if not (found.name and found.schema_versions and found.versions and found.keyspaces):
        raise _strange("describecluster", said)
    return found


def _sections(said: str) -> dict[str, list[str]]:
    """Lines that are not indented begin a section."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in said.splitlines():
        if line[:1].strip():
            current = sections.setdefault(line.strip().rstrip(":"), [])
        elif line.strip():
            current.append(line.strip())
    return sections


def _versions(lines: list[str]) -> dict[str, tuple[str, ...]]:
    found = filter(None, map(_VERSIONED.match, lines))
    return {each["version"]: tuple(sorted(bare(host.strip()) for host in each["hosts"].split(",") if host.strip())) for each in found}


def _options(text: str) -> Iterator[tuple[str, str]]:
    for option in filter(None, map(str.strip, text.split(","))):
        key, _, value = option.partition("=")
        yield key, value


def listsnapshots(said: str) -> dict[str, frozenset[str]]:
    """Tag -> ``keyspace.table`` of each table in it."""
    found: dict[str, set[str]] = {}
    for snapshot in filter(None, map(_SNAPSHOT.match, said.splitlines())):
        found.setdefault(snapshot["tag"], set()).add(f"{snapshot['keyspace']}.{snapshot['table']}")
    return {tag: frozenset(tables) for tag, tables in found.items()}


def tablestats(said: str) -> frozenset[str]:
    """``keyspace.table`` of every table, without secondary indexes: those are parts of their tables.

    :raises ToolError: it is no JSON
    """
    try:
        keyspaces = {name: body["tables"] for name, body in json.loads(said[said.index("{") :]).items() if isinstance(body, dict)}
    except (ValueError, KeyError):
        raise _strange("tablestats", said) from None
    return frozenset(f"{keyspace}.{table}" for keyspace, tables in keyspaces.items() for table in tables if "." not in table)


def bare(address: str) -> str:
    """An address without its port, spelled in one way: ``10.0.0.1:7000``, ``[::1]:7000``, ``0:0:0:0:0:0:0:1``, also with a name before a slash."""
    address = address.rpartition("/")[2]
    if bracketed := re.fullmatch(r"\[(.+)\](:\d+)?", address):
        address = bracketed[1]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def _strange(command: str, said: str) -> ToolError:
    return ToolError(
        f"nodetool {command} printed what cannot be read: {said.strip()[:200]!r}", fix="see whether that is a nodetool of 4.0 to 5.0"
    )

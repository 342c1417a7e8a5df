"""A dump on its way: read line by line while it passes, understood strictly, and given other database names when it is restored.

Only tables and their rows are in it (views, triggers and routines go another way), so there are few kinds of lines. One of another kind
means that the dump is not what we take it for, and that is an error, never a guess.

Newlines inside strings are escaped by the dump client, so a line that begins with a statement is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from xxhash import xxh3_64_intdigest as xxh

from midtime.errors import CopyError
from midtime.stores.digests import BUCKETS, ContentTally

Table = tuple[str, str]
"""(database, name)."""
TRAILER = b"-- Dump completed"
_STRING = rb"'[^'\\]*+(?:\\.[^'\\]*+)*+'"
_ROW = re.compile(rb"\((?:[^'()]++|" + _STRING + rb")*+\)", re.DOTALL)
# A client ends a statement at any semicolon outside a string, and takes a backslash there for a command of its own.
_SAFE_ROW = re.compile(rb"\((?:[\w.,+ -]++|" + _STRING + rb")*+\)", re.DOTALL)
_ONE = re.compile(rb"(?!\s*(?i:delimiter)\b)(?:[^'`\";\\/]++|/(?!\*)|/\*(?=M?!)|" + _STRING + rb"|`(?:[^`]|``)+`)*+;?", re.DOTALL)
_SETTING = re.compile(rb"/\*M?!\d+ SET [^;]*\*/;", re.DOTALL)
_COMMENT = re.compile(rb"/\*(?:[^*]|\*(?!/))*+\*/[ ;]?")
_PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,+ -"
_VALUE = re.compile(rb"['(\"]")
_MASK = BUCKETS - 1
_INSERT = re.compile(rb"INSERT INTO `((?:[^`]|``)+)` \(((?:`(?:[^`]|``)+`(?:, ?)?)+)\) VALUES ?")
_IDENTIFIER = re.compile(rb"`((?:[^`]|``)+)`")
_NAMED = re.compile(rb"(?:USE|CREATE TABLE(?: IF NOT EXISTS)?|CREATE SEQUENCE(?: IF NOT EXISTS)?) `((?:[^`]|``)+)`(?=[ ;])")
# Every identifier is a token, also one that is no qualifier: an apostrophe in it begins no string.
_QUALIFIER = re.compile(_STRING + rb"|`((?:[^`]|``)+)`(\.(?=`))?", re.DOTALL)
_MINUS_ZERO = re.compile(rb"[(,]-0[,)]")
_VALUES = re.compile(_STRING + rb"|`(?:[^`]|``)+`|(?<=[(,])-0(?=[,)])", re.DOTALL)
_WITHOUT_DATA = (
    b"--", b"/*", b"DROP TABLE IF EXISTS ", b"CREATE DATABASE ", b"SET ", b"set ", b"commit;", b"COMMIT;", b"LOCK TABLES ", b"UNLOCK TABLES",
    b"DO SETVAL(", b"SELECT SETVAL(",
)  # fmt: skip


def lines(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The whole lines of each chunk, without their ends; a row of a gigabyte is put together once."""
    pending: list[bytes] = []
    for chunk in chunks:
        head, newline, tail = chunk.partition(b"\n")
        pending.append(head)
        if newline:
            found = [b"".join(pending), *tail.split(b"\n")]
            pending = [found.pop()]
            yield found
    if rest := b"".join(pending):
        yield [rest]


@dataclass
class DumpScanner:
    """What a dump holds: its tables, and the counts and digests of their rows. Fed with lists of lines.

    :param keys: the primary key's columns of each table that is expected
    """

    keys: Mapping[Table, tuple[str, ...]]
    tallies: dict[Table, ContentTally] = field(default_factory=dict)
    sequences: set[Table] = field(default_factory=set)
    complete: bool = False
    longest: int = 0
    """Bytes of the longest line: a row, with its statement where it fills one."""
    _database: str = ""
    _creating: bool = False
    _tally: ContentTally | None = None
    _key: int = 0

    def feed(self, found: list[bytes]) -> None:
        """Go over some lines.

        :raises CopyError: a line that no dump of ours has
        """
        start, end = 0, len(found)
        self.longest = max(self.longest, max(map(len, found), default=0))
        while start < end:
            if self._tally is not None:
                start = self._rows(found, start, self._tally)
            else:
                self._statement(found[start])
                start += 1

    def _rows(self, found: list[bytes], start: int, tally: ContentTally) -> int:
        """The hot loop: a row a line, as MariaDB's client writes all but the first."""
        rows, sums, columns = tally.rows, tally.sums, self._key
        for index in range(start, len(found)):
            line = found[index]
            row = line[:-1]
            bucket = xxh(row.partition(b",")[0] if columns == 1 else _key(row, columns)) & _MASK
            rows[bucket] += 1
            sums[bucket] += xxh(row)
            if not line.endswith(b"),"):
                if not line.endswith(b");"):
                    raise _unexpected(line)
                self._tally = None
                return index + 1
        return len(found)

    def _statement(self, line: bytes) -> None:
        if self._creating:
            self._creating = not line.endswith(b";")
        elif line.startswith(b"INSERT INTO "):
            self._insert(line)
        elif line.startswith((b"CREATE TABLE ", b"CREATE SEQUENCE ")):
            self._create(line)
        elif line.startswith(b"USE "):
            self._database = _name(line)
        elif line and not line.startswith(_WITHOUT_DATA):
            raise _unexpected(line)
        self.complete = line.startswith(TRAILER) or (self.complete and not line)  # the last line, and no other

    def _create(self, line: bytes) -> None:
        table = self._database, _name(line)
        if table in self.tallies:
            raise _unexpected(line)
        if line.startswith(b"CREATE TABLE "):
            self.tallies[table] = ContentTally()
        else:
            self.sequences.add(table)
        self._creating = not line.endswith(b";")

    def _insert(self, line: bytes) -> None:
        match = _INSERT.match(line)
        if match is None:
            raise _unexpected(line)
        table = self._database, _plain(match[1])
        if table not in self.tallies:
            raise CopyError(f"the dump has rows of {'.'.join(table)} before the table itself", fix="run the backup again")
        self._tally = self.tallies[table]
        self._key = _leading(self.keys.get(table, ()), [_plain(each) for each in _IDENTIFIER.findall(match[2])])
        self._first_rows(line, match.end(), self._tally, self._key)

    def _first_rows(self, line: bytes, position: int, tally: ContentTally, columns: int) -> None:
        """The rows in the statement's own line: the first one, or, from Oracle's client, all."""
        while position < len(line) and (match := _ROW.match(line, position)):
            row = match[0]
            tally.add(_key(row, columns), row)
            position = match.end() + 1
            if line[position - 1 : position] not in (b",", b";"):
                raise _unexpected(line[match.end() :])
        if line.endswith(b");"):
            self._tally = None
        elif not line.endswith((b"),", b"VALUES ", b"VALUES")):
            raise _unexpected(line)
        if position < len(line):
            raise _unexpected(line[position:])


def _leading(primary: tuple[str, ...], columns: list[str]) -> int:
    """How many columns at a row's beginning are its key, as ScalarDB has it; 0 where the whole row has to do."""
    return len(primary) if set(columns[: len(primary)]) == set(primary) else 0


def _key(row: bytes, columns: int) -> bytes:
    """A row up to its n-th comma. Where the key's own text has one it ends sooner: still nothing but key, and rows with like keys stay together."""
    return b",".join(row.split(b",", columns)[:columns]) if columns else row


def renamed(found: Iterable[list[bytes]], databases: Mapping[str, str]) -> Iterator[bytes]:
    """The same dump with other database names, for a client's standard input. Rows stay as they are, but for the sign of a zero.

    :param found: what :func:`lines` gives
    :param databases: old name -> new name
    :raises CopyError: it enters a database that is not to be restored: an original must not be written to; or a line that no dump of ours
        has, which never comes out: whoever can write to the destination must not have a client execute what they like
    """
    inside = creating = False
    for batch in found:
        written, done = [], 0
        for index, line in enumerate(batch):
            if index < done:
                continue
            if inside:
                rows = _rows_of(batch, index)
                done, inside = index + len(rows), _more(rows)
                written += rows
            elif line.startswith(b"INSERT INTO "):
                match = _INSERT.match(line)
                if match is None:
                    raise _unexpected(line)
                inside = match.end() == len(line) or _more_after(line, match.end())
                written.append(line)
            elif creating:
                creating = not line.endswith(b";")
                written.append(rename_qualifiers(_single(line), databases))
            else:
                creating = line.startswith((b"CREATE TABLE ", b"CREATE SEQUENCE ")) and not line.endswith(b";")
                written.append(_renamed_line(line, databases))
        written.append(b"")
        text = b"\n".join(written)
        yield _signed(text) if _MINUS_ZERO.search(text) else text


def _signed(text: bytes) -> bytes:
    """``-0`` of a DOUBLE would be read as the integer 0, which has no sign."""
    return b"\n".join(
        _VALUES.sub(lambda found: b"-0e0" if found[0] == b"-0" else found[0], line) if line.startswith((b"(", b"INSERT INTO ")) else line
        for line in text.split(b"\n")
    )


def _rows_of(batch: list[bytes], start: int) -> list[bytes]:
    """The lines from here to the statement's end, or to the batch's."""
    end = start
    while end < len(batch) and batch[end][-2:] == b"),":
        end += 1
    return batch[start : end + 1]


def _more(rows: list[bytes]) -> bool:
    """Go over lines of rows.

    :return: whether more come
    """
    if _plain_rows(rows):
        return not rows[-1].endswith(b";")
    more = True
    for line in rows:
        more = more and _more_after(line, 0)
    return more


def _plain_rows(rows: list[bytes]) -> bool:
    """The hot path: whether these are one safe row a line. What this does not know is gone over row by row."""
    text = b"\n".join(rows)
    if b"\\" in text:
        text = text.replace(b"\\\\", b"\1").replace(b"\\'", b"\1")
    parts = text.split(b"'")
    outside = b"".join(parts[::2])
    end = b";" if outside.endswith(b");") else b""
    return (
        len(parts) % 2 == 1
        and outside.startswith(b"(")
        and outside.endswith((b"),", b");"))
        and outside.count(b"),\n(") == len(rows) - 1
        and outside.translate(None, _PLAIN) == b"\n".join([b"()"] * len(rows)) + end
    )


def _more_after(line: bytes, position: int) -> bool:
    """Go over the rows of one line.

    :return: whether more come
    """
    while match := _SAFE_ROW.match(line, position):
        position = match.end() + 1
        if position == len(line):
            if line.endswith(b","):
                return True
            if line.endswith(b";"):
                return False
        if line[match.end() : position] != b",":
            break
    raise _unexpected(line)


def _single(line: bytes) -> bytes:
    """A line that is (part of) one statement and no client's command."""
    if not _ONE.fullmatch(line):
        raise _unexpected(line)
    return line


def _renamed_line(line: bytes, databases: Mapping[str, str]) -> bytes:
    if line.startswith(b"CREATE DATABASE "):
        return b""  # made already, under its new name
    if line.startswith(b"USE "):
        return b"USE " + _quoted(_new_name(_name(line), databases)) + b";"
    if not line or line.startswith(b"--"):
        return line
    if line.startswith(b"/*"):
        if _SETTING.fullmatch(line):
            return line
        if not _COMMENT.fullmatch(line):
            raise _unexpected(line)
        return b""  # nothing that tables and rows need
    if line.startswith((b"CREATE TABLE ", b"CREATE SEQUENCE ")):
        _name(line)
    elif not line.startswith(_WITHOUT_DATA):
        raise _unexpected(line)
    return rename_qualifiers(_single(line), databases)


def rename_qualifiers(text: bytes, databases: Mapping[str, str]) -> bytes:
    """Other databases in names like ```bank`.`acct```; strings are left alone."""

    def other(match: re.Match[bytes]) -> bytes:
        if match[2] is None:
            return match[0]
        name = _plain(match[1])
        return _quoted(databases[name]) + match[2] if name in databases else match[0]

    return _QUALIFIER.sub(other, text)


def _new_name(name: str, databases: Mapping[str, str]) -> str:
    if name not in databases:
        raise CopyError(f"the dump enters database {name!r}, which is not part of its restore point", fix="use another restore point")
    return databases[name]


def _name(line: bytes) -> str:
    match = _NAMED.match(line)
    if match is None:
        raise _unexpected(line)
    return _plain(match[1])


def _plain(identifier: bytes) -> str:
    return identifier.replace(b"``", b"`").decode()


def _quoted(name: str) -> bytes:
    return b"`" + name.replace("`", "``").encode() + b"`"


def _unexpected(line: bytes) -> CopyError:
    shown = _VALUE.split(line[:120])[0]  # no values: an error goes into logs
    return CopyError(f"the dump has a line that is not known: {shown!r}…", fix="report this with the versions of server and client")

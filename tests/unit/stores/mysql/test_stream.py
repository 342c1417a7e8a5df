"""A dump on its way: the same counts and digests whoever wrote it and however it is cut, and nothing taken for whole that is not."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.errors import CopyError
from midtime.model.restore_point import TableContent
from midtime.stores.mysql.stream import DumpScanner, _more_after, _plain_rows, lines, rename_qualifiers, renamed

Value = str | bytes | int | float | None
Row = tuple[Value, ...]
ESCAPES = {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\0": "\\0", "\x1a": "\\Z"}
HOSTILE = [
    "),(",
    ");",
    "'",
    "\\",
    "\\'",
    "\n-- Dump completed",
    "\nUSE `bank`;\n",
    "\nINSERT INTO `t` VALUES (1);",
    "(-0,",
    ",-0)",
    "`bank`.`x`",
    "\0\x1a\r",
]
HEADER = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n\n/*!40101 SET NAMES utf8mb4 */;\n\n"
BEGIN = "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `bank`;\n\nUSE `bank`;\n"
TABLE = "CREATE TABLE `{}` (\n  `k` varchar(64) NOT NULL,\n  `v` longtext DEFAULT 'a;',\n  PRIMARY KEY (`k`)\n) ENGINE=InnoDB;\n"
TRAILER = "\n-- Dump completed on 2026-11-21 10:58:55\n"

texts = st.one_of(st.text(max_size=20), st.lists(st.sampled_from(HOSTILE), max_size=4).map("".join))
values = st.one_of(st.none(), texts, st.binary(max_size=10), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
tables = st.lists(st.lists(st.tuples(texts, values), max_size=8), min_size=1, max_size=3)


def literal(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"0x{value.hex().upper()}" if value else "''"
    if isinstance(value, str):
        return "'" + "".join(ESCAPES.get(each, each) for each in value) + "'"
    return repr(value)


def rows(content: list[Row]) -> list[str]:
    return [f"({','.join(map(literal, row))})" for row in content]


def dump(content: list[list[Row]], *, oracle: bool = False, per_statement: int = 3) -> bytes:
    text = HEADER + BEGIN
    between = "," if oracle else ",\n"
    for number, table in enumerate(content):
        text += f"\n--\n-- Table structure for table `t{number}`\n--\n\n" + TABLE.format(f"t{number}")
        written = rows(table)
        for start in range(0, len(written), per_statement):
            text += f"INSERT INTO `t{number}` (`k`, `v`) VALUES {between.join(written[start : start + per_statement])};\n"
    return (text + TRAILER).encode("utf-8", "surrogatepass")


def scan(chunks: list[bytes]) -> DumpScanner:
    scanner = DumpScanner({("bank", f"t{number}"): ("k",) for number in range(3)})
    for batch in lines(chunks):
        scanner.feed(batch)
    return scanner


def content(found: DumpScanner) -> list[TableContent]:
    return [tally.content(".".join(table), "m") for table, tally in found.tallies.items()]


def cut(data: bytes, seed: int) -> list[bytes]:
    places = sorted(random.Random(seed).choices(range(len(data) + 1), k=12))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@given(tables, st.integers())
def test_neither_client_nor_chunks_make_a_difference(generated: list[list[Row]], seed: int) -> None:
    mariadb, oracle = dump(generated), dump(generated, oracle=True, per_statement=100)
    whole = scan([mariadb])
    assert whole.complete
    assert [each.rows for each in content(whole)] == [len(table) for table in generated]
    for data in (mariadb, oracle):
        assert content(scan(cut(data, seed))) == content(whole)
    assert content(scan([bytes([each]) for each in oracle])) == content(whole)


@given(tables.filter(lambda found: bool(found[0])), st.data())
def test_every_change_of_a_row_shows(generated: list[list[Row]], data: st.DataObject) -> None:
    table = generated[0]
    index = data.draw(st.integers(0, len(table) - 1))
    other = data.draw(
        st.tuples(texts, values).filter(
            lambda row: literal(row[0]) + literal(row[1]) != literal(table[index][0]) + literal(table[index][1])
        )
    )
    before = content(scan([dump(generated)]))
    for changed in (table[:index] + table[index + 1 :], [*table, table[index]], [*table[:index], other, *table[index + 1 :]]):
        assert content(scan([dump([changed, *generated[1:]])])) != before


@given(tables, st.data())
def test_what_is_cut_short_is_never_complete(generated: list[list[Row]], data: st.DataObject) -> None:
    whole = dump(generated, oracle=data.draw(st.booleans()))
    end = data.draw(st.integers(0, len(whole) - len(TRAILER) + len("\n-- Dump complete")))
    with suppress(CopyError):
        assert not scan([whole[:end]]).complete


@given(tables)
def test_rows_reach_the_client_byte_for_byte(generated: list[list[Row]]) -> None:
    found = b"".join(renamed(lines([dump(generated)]), {"bank": "copy"}))
    assert b"USE `copy`;" in found
    assert b"CREATE DATABASE" not in found
    for row in (row for table in generated for row in rows(table)):
        expected = row if "(-0," not in row and ",-0)" not in row else None
        assert expected is None or expected.encode("utf-8", "surrogatepass") in found
    assert content(scan([found.replace(b"USE `copy`", b"USE `bank`")])) == content(scan([dump(generated)]))


def test_a_row_of_megabytes() -> None:
    table: list[Row] = [("a", "x" * 5_000_000), ("b", "),(" * 1_000_000)]
    data = dump([table])
    pieces = [data[start : start + 65_536] for start in range(0, len(data), 65_536)]
    assert content(scan(pieces)) == content(scan([dump([table], oracle=True)]))


def test_values_that_trade_places_show() -> None:
    assert content(scan([dump([[("a", "1"), ("b", "2")]])])) != content(scan([dump([[("a", "2"), ("b", "1")]])]))


def test_null_empty_and_its_name_are_three_things() -> None:
    found = [content(scan([dump([[("a", value)]])])) for value in (None, "", "NULL")]
    assert len({str(each) for each in found}) == 3


UNKNOWN = [
    "DROP TABLE `t`;", "garbage", "(1,2),", "CREATE TABLE t (", "CREATE TABLE `bank`.`t0`x", "INSERT INTO `t0` VALUES (1,2);", "USE bank;",
    "INSERT INTO `t0` (`k`, `v`) VALUES ('a',1);DROP TABLE `t0`;", "INSERT INTO `t0` (`k`, `v`) VALUES ('a',1)x('b',2);",
    "INSERT INTO `t0` (`k`, `v`) VALUES ('a',1),\nUNLOCK TABLES;", "INSERT INTO `nowhere` (`k`) VALUES (1);", "CREATE TABLE `x",
    "INSERT INTO `t0` (`k`, `v`) VALUES ('a','1);", TABLE.format("t0"),
]  # fmt: skip


@pytest.mark.parametrize("line", UNKNOWN)
def test_a_line_that_is_not_known_is_an_error(line: str) -> None:
    with pytest.raises(CopyError):
        scan([(HEADER + BEGIN + TABLE.format("t0") + line + "\n" + TRAILER).encode()])


def test_the_trailer_is_the_last_line_and_no_other() -> None:
    assert not scan([dump([[]]) + b"-- more\n"]).complete
    assert not scan([dump([[]]) + dump([[]]).replace(TRAILER.encode(), b"").replace(b"`t0`", b"`t1`")]).complete
    assert scan([dump([[]]) + b"\n\n"]).complete


def test_a_name_that_looks_like_the_trailer_in_a_comment() -> None:
    """A comment of a name with a newline goes on with `-- `; the rest of the dump must come all the same."""
    assert not scan([(HEADER + BEGIN + "-- Temporary structure for view `x\n-- Dump completed`\n" + TABLE.format("t0")).encode()]).complete


def test_sequences() -> None:
    text = "CREATE SEQUENCE `s` start with 1 minvalue 1 ENGINE=InnoDB;\nDO SETVAL(`s`, 5100, 0);\n"
    assert scan([(HEADER + BEGIN + text + TRAILER).encode()]).sequences == {("bank", "s")}


def test_the_key_decides_the_bucket_wherever_the_row_stands() -> None:
    several = {("bank", "t0"): ("k", "v")}
    found = []
    for oracle in (False, True):
        scanner = DumpScanner(several)
        for batch in lines([dump([[("a,b", "1"), ("c", "2"), ("d", "3")]], oracle=oracle)]):
            scanner.feed(batch)
        found.append(content(scanner))
    assert found[0] == found[1]


CREATE = (
    "CREATE TABLE `it's` (\n  `bank` int DEFAULT nextval(`bank`.`s`) COMMENT '`bank`.`x` it''s \\\\',\n"
    "  CONSTRAINT `fk's` FOREIGN KEY (`bank's`) REFERENCES `bank`.`p's` (`id`),\n"
    "  CONSTRAINT `fk2` FOREIGN KEY (`a`) REFERENCES `lo``ans`.`bank` (`id`)\n) ENGINE=InnoDB COMMENT='`bank`.`acct`';"
)


def test_only_qualifiers_are_renamed() -> None:
    found = b"".join(renamed(lines([f"USE `bank`;\n{CREATE}\n".encode()]), {"bank": "co`py", "lo`ans": "copy2"})).decode()
    assert (
        found
        == "USE `co``py`;\n"
        + CREATE.replace("nextval(`bank`.", "nextval(`co``py`.")
        .replace("REFERENCES `bank`.", "REFERENCES `co``py`.")
        .replace("`lo``ans`.", "`copy2`.")
        + "\n"
    )


def test_an_original_is_never_entered() -> None:
    with pytest.raises(CopyError, match="enters database 'loans', which is not part"):
        list(renamed(lines([b"USE `loans`;\n"]), {"bank": "copy"}))


def test_names_in_rows_stay() -> None:
    data = b"INSERT INTO `t` (`k`) VALUES ('USE `bank`;'),\n('`bank`.`x`'),\n('CREATE DATABASE `bank`;');\n"
    assert b"".join(renamed(lines([data]), {"bank": "copy"})) == data


def test_the_sign_of_a_zero_survives() -> None:
    """``-0`` is the integer 0 to a server."""
    data = b"INSERT INTO `it's` (`a`, `b`) VALUES (-0,'(-0,'),\n('x,-0,',-0),\n(-0.5,'it\\'s,-0,');\n"
    wanted = b"INSERT INTO `it's` (`a`, `b`) VALUES (-0e0,'(-0,'),\n('x,-0,',-0e0),\n(-0.5,'it\\'s,-0,');\n"
    assert b"".join(renamed(lines([data]), {})) == wanted


def test_rename_qualifiers_leaves_what_is_not_ours() -> None:
    assert rename_qualifiers(b"REFERENCES `other`.`t` (`id`)", {"bank": "copy"}) == b"REFERENCES `other`.`t` (`id`)"


def test_the_longest_line_is_kept() -> None:
    found = scan(cut(dump([[("a", "x"), ("b", "x" * 1000), ("c", "")]]), 7))
    assert found.longest == len(rows([("b", "x" * 1000)])[0]) + 1
    assert scan([dump([[("a", "x" * 1000)]])]).longest > 1000 + len("INSERT INTO")


BEFORE = "USE `bank`;\nCREATE TABLE `t0` (\n  `k` int,\n  PRIMARY KEY (`k`)\n) ENGINE=InnoDB;\n"
INSERT = "INSERT INTO `t0` (`k`, `v`) VALUES (1,2)"
HARMFUL = [
    "DELETE FROM `live`.`t`;", "\\! touch /tmp/x", "system touch /tmp/x", "source /etc/passwd", "delimiter //", "DROP DATABASE `bank`;", "(1,2),",
    "SET NAMES utf8; DELETE FROM live.t;", "SET @a = 1 \\! touch /tmp/x", "UNLOCK TABLES; DROP TABLE live.t;", "/*!40101 SET @a = 1 */; DROP TABLE live.t;",
    "/* */ DROP TABLE live.t;", "/*! DROP TABLE live.t */; DROP TABLE live.t;", f"{INSERT};DELETE FROM live.t;", f"{INSERT}; DELETE FROM live.t;",
    f"{INSERT},\nDELETE FROM live.t;", f"{INSERT},\n(1;DELETE FROM live.t;2);", f"{INSERT},\n(1,2);DELETE FROM live.t where (1);", f"{INSERT} ON x;",
    f"{INSERT},\n(1 \\! touch /tmp/x\n,2);", f"{INSERT},\n(1,(SELECT 1)),", f"{INSERT},\n(1,\"'),\",'2');", "INSERT INTO `live`.`t` (`a`) VALUES (1);",
    "INSERT INTO `t0` SELECT * FROM live.t;", "CREATE TABLE `x` (\n  `a` int); DELETE FROM live.t;", "CREATE TABLE `x` (\n  `a` int\n\\! touch /tmp/x\n);",
    "CREATE TABLE `x` (\ndelimiter //\n);", "CREATE TABLE `x` (\n/* ' */; DELETE FROM live.t; /* ' */\n);", "CREATE TABLE live.x (", "CREATE VIEW `v` AS",
    "CREATE TABLE `x` (\n  `a` int \"'\"; DELETE FROM live.t; -- '\n);",
]  # fmt: skip


@pytest.mark.parametrize("line", HARMFUL)
def test_a_line_that_is_no_dump_s_never_reaches_the_client(line: str) -> None:
    """Whoever can write to the destination is not thereby a user of the server."""
    with pytest.raises(CopyError, match="not known"):
        list(renamed([(BEFORE + line).encode().split(b"\n")], {"bank": "copy"}))


KNOWN = [
    "/*!40101 SET NAMES utf8mb4 */;", "/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;", "SET autocommit=0;", "COMMIT;",
    "UNLOCK TABLES;", "DO SETVAL(`s`, 5100, 0);", "LOCK TABLES `t0` WRITE;", "-- Dump completed", "DROP TABLE IF EXISTS `t0`;",
    "CREATE TABLE `x` (\n  `a's` longtext DEFAULT 'a;\\'' COMMENT '\"\\\\! /* x',\n  `g` int /*!80023 INVISIBLE */ CHECK (`g` / 2 > 1)\n)"
    "\n/*!50100 PARTITION BY KEY () */;",
    "INSERT INTO `t0` (`k`, `v`) VALUES (-1.5e+30,_binary 'x;\\''),(NULL,0xAB);", "INSERT INTO `t0` (`k`, `v`) VALUES\n(1,2),\n(3,'); DROP');",
]  # fmt: skip


@pytest.mark.parametrize("line", KNOWN)
def test_what_dumps_have_passes(line: str) -> None:
    found = b"".join(renamed(lines([(BEFORE + line + "\n").encode()]), {"bank": "bank"})).decode()
    assert found == BEFORE + line + "\n"


def test_comments_that_are_no_settings_are_left_out() -> None:
    """Percona's client asks for its own storage engine."""
    found = b"".join(renamed(lines([b"/*!50717 PREPARE s FROM @x */;\n/*M!999999\\- enable the sandbox mode */ \nCOMMIT;\n"]), {}))
    assert found == b"\n\nCOMMIT;\n"


@pytest.mark.parametrize("row", ["('4111-1111',2", "(4111,'4111-1111');DROP", "('4111-1111'),('4111-1111'x"])
def test_an_error_repeats_no_values(row: str) -> None:
    data = (BEFORE + "INSERT INTO `t0` (`k`, `v`) VALUES (1,2),\n" + row + "\n").encode()
    with pytest.raises(CopyError) as scanned:
        scan([data])
    with pytest.raises(CopyError) as restored:
        list(renamed(lines([data]), {"bank": "copy"}))
    assert "4111" not in str(scanned.value) + str(restored.value)


@given(
    st.lists(
        st.lists(st.sampled_from([b"(", b")", b"1", b"'", b"\\", b";", b",", b"x", b" ", b"),", b'"']), max_size=8), min_size=1, max_size=3
    )
)
def test_the_fast_way_knows_nothing_that_the_thorough_one_does_not(generated: list[list[bytes]]) -> None:
    found = [b"(" + b"".join(parts) + b")" + (b"," if number < len(generated) - 1 else b";") for number, parts in enumerate(generated)]
    if _plain_rows(found):
        assert [_more_after(line, 0) for line in found] == [True] * (len(found) - 1) + [False]

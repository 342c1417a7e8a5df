"""A dump's position, as the clients write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midtime.stores.mysql_pitr.fulls import Seen
from midtime.stores.mysql_pitr.reading import Position

DUMP = b"""-- MariaDB dump 10.19-11.4.5-MariaDB
--
-- Position to start replication or point-in-time recovery from
--

-- %s

--
-- Current Database: `bank`
--
INSERT INTO `t` (`a`) VALUES ('\\n-- CHANGE MASTER TO MASTER_LOG_FILE=\\'x\\', MASTER_LOG_POS=1;');
"""


@given(st.lists(st.integers(1, 60)), st.sampled_from(["MASTER TO MASTER", "REPLICATION SOURCE TO SOURCE"]))
def test_whatever_the_chunks(cuts: list[int], words: str) -> None:
    said = f"CHANGE {words}_LOG_FILE='mysql-bin.000012', {words.split()[-1]}_LOG_POS=4711;"
    dump, seen, chunks = DUMP % said.encode(), Seen(), []
    rest = dump
    for cut in cuts:
        chunks.append(rest[:cut])
        rest = rest[cut:]
    assert b"".join(seen.passing(iter([*chunks, rest]))) == dump
    assert seen.position == Position("mysql-bin.000012", 4711)


@pytest.mark.parametrize(
    "said", [b"nothing", b"CHANGE MASTER TO MASTER_LOG_FILE='a'", b"' -- CHANGE MASTER TO MASTER_LOG_FILE='a', MASTER_LOG_POS=3;"]
)
def test_none(said: bytes) -> None:
    seen = Seen()
    list(seen.passing(iter([DUMP % said])))
    assert seen.position is None

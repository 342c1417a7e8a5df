"""A database as a ScalarDB bank leaves it, as large as one likes: made on the server, the same for the same number of rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.stack.postgres import Postgres

SETTINGS: dict[str, str | int] = {"wal_level": "minimal", "max_wal_senders": 0, "max_wal_size": "4GB", "autovacuum": "off"}
"""Only the load gains from them; nothing here changes how a table is read."""
_SCHEMA = """
CREATE SCHEMA bank; CREATE SCHEMA coordinator; CREATE SCHEMA scalardb;
CREATE TABLE scalardb.metadata (
    full_table_name text, column_name text, data_type text, key_type text, clustering_order text, indexed boolean, ordinal_position int,
    PRIMARY KEY (full_table_name, column_name));
"""
_ACCOUNTS = """
BEGIN;
CREATE TABLE bank.acct_{number} (
    id int, balance int, owner text,
    tx_id text, tx_state int, tx_version int, tx_prepared_at bigint, tx_committed_at bigint,
    before_balance int, before_owner text,
    before_tx_id text, before_tx_state int, before_tx_version int, before_tx_prepared_at bigint, before_tx_committed_at bigint);
-- Half of the accounts were transferred to or from since they were opened, so they have an image of before.
INSERT INTO bank.acct_{number}
    SELECT id, (random() * 100000)::int, owner, gen_random_uuid()::text, 3, 1 + moved, at, at + 4 + id % 9,
        CASE moved WHEN 1 THEN 1000 END, CASE moved WHEN 1 THEN owner END, CASE moved WHEN 1 THEN gen_random_uuid()::text END,
        CASE moved WHEN 1 THEN 3 END, moved, CASE moved WHEN 1 THEN at - 86400000 END, CASE moved WHEN 1 THEN at - 86399995 END
    FROM (
        SELECT id, id % 2 AS moved, 1763700000000 + (random() * 86400000)::bigint AS at, 'owner ' || (random() * 1000000)::int AS owner
        FROM generate_series(1, {rows}) id) opened;
ALTER TABLE bank.acct_{number} ADD PRIMARY KEY (id);
INSERT INTO scalardb.metadata VALUES ('bank.acct_{number}', 'id', 'INT', 'PARTITION', NULL, false, 1);
COMMIT;
"""
_COORDINATOR = """
BEGIN;
CREATE TABLE coordinator.state (tx_id text, tx_child_ids text, tx_state int, tx_created_at bigint);
INSERT INTO coordinator.state SELECT gen_random_uuid()::text, '', 3, 1763700000000 + id * 17 FROM generate_series(1, {rows}) id;
ALTER TABLE coordinator.state ADD PRIMARY KEY (tx_id);
COMMIT;
"""


def create(server: Postgres, name: str, *, rows: int, tables: int) -> int:
    """Make the database and leave it vacuumed, its pages read once.

    :param rows: in all tables together; one in ten is the Coordinator's
    :param tables: tables of accounts, of equal size
    :return: its size in bytes
    """
    server.create_database(name)
    server.execute(_SCHEMA, name)
    state = rows // 10
    shares = [(rows - state + number) // tables for number in range(tables)]
    statements = [_ACCOUNTS.format(number=number, rows=share) for number, share in enumerate(shares)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda each: server.execute(each, name), [*statements, _COORDINATOR.format(rows=state)]))
    server.execute("VACUUM (FREEZE, ANALYZE)", name)
    ((size,),) = server.execute("SELECT pg_database_size(current_database())", name)
    return int(size)

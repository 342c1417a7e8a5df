"""PostgreSQL, copied by ``pg_dump`` from one exported snapshot of the whole database."""

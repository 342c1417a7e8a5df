"""Azure Database for PostgreSQL and for MySQL (flexible servers), restored by the service itself into a new server."""

"""PostgreSQL restored to a point of its own history: base backups, the WAL archive, and a named restore point inside the window."""

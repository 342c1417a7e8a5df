"""SQLite, copied by its own online backup from one read transaction, restored by swapping the file."""

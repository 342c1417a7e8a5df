"""A database inside a managed server: RDS, Aurora and Azure Database differ in how they are restored, not in how they are read."""

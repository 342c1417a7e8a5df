"""Apache Cassandra: one snapshot of every node at once, files kept by their content, whole clusters put back."""

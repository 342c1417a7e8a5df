"""MySQL and MariaDB: a ScalarDB namespace is a database of the server, and all of them go into one dump."""

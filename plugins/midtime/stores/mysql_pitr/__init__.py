"""MySQL and MariaDB, restored to a position of their binary log: a full dump now and then, and the log from its position to the point."""

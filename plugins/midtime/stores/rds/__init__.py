"""Amazon RDS and Aurora: one instance or one cluster, marked and restored by the service to an instant of its own clock."""

"""What deferred tasks wait for, in the triggerer. It asks no store and no service anything: connections are the workers'."""

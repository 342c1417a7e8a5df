"""What all stores that Azure manages have in common: the login, ARM's long-running operations, rights, refusals, and whose a copy is."""

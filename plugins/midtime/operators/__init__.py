"""The verbs: one file each, thin, knowing no engine."""

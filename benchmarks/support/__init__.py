"""What the benchmarks share; nothing to run by hand."""

"""Numbers that Midtime has to meet, as ratios or differences in one run with a peer; see docs/benchmarks.md. Never part of the tests."""

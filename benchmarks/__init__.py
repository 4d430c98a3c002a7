"""What Fleet costs, measured: `make bench` runs it all and writes docs/benchmarks.md with its plots."""

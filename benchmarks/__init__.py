"""Measures what Fleet costs. `make bench` runs everything and writes docs/benchmarks.md."""

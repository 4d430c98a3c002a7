"""Headless jobs: `claude -p` as a dependable queue."""

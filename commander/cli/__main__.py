"""`python -m commander.cli`, for an environment whose scripts are not on PATH."""

from commander.cli import main

main(prog_name="fleet")

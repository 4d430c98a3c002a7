"""`python -m commander.cli`, for an environment whose scripts are not on PATH."""

from commander.__main__ import main

main()

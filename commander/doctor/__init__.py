"""`fleet doctor`: the checks, which only read, and the bug report. Nothing here drains."""

"""`fleet doctor`: the checks of an installation and the report for a bug. Reads only and never drains."""

"""`fleet doctor`: is everything as it should be, and if not, what mends it. Reads only, and never drains."""
